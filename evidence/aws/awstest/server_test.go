package awstest

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// echo is a service of one call that changes something.
type echo struct{ made int }

func (e *echo) Action(*Request) (string, bool) { return "Make", true }

func (e *echo) Serve(w http.ResponseWriter, r *Request) error {
	e.made++
	_, err := io.WriteString(w, r.Region)
	return err
}

func (e *echo) Fail(w http.ResponseWriter, _ *Request, x *Error) { http.Error(w, x.Code, x.Status) }

func TestServer(t *testing.T) {
	e := &echo{}
	s := New(1, time.Now, map[string]Service{"echo": e})
	t.Cleanup(s.Close)
	call := func(service string) (string, int, error) {
		r, err := http.NewRequest(http.MethodPost, s.URL, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=AKIA/20261127/eu-west-1/"+service+"/aws4_request, SignedHeaders=host")
		a, err := http.DefaultClient.Do(r)
		if err != nil {
			return "", 0, err
		}
		defer a.Body.Close()
		b, err := io.ReadAll(a.Body)
		return string(b), a.StatusCode, err
	}
	if b, _, err := call("echo"); err != nil || b != "eu-west-1" {
		t.Fatalf("answer %q, %v", b, err)
	}
	if b, code, _ := call("other"); code != 500 || !strings.Contains(b, "<title>") {
		t.Errorf("an unknown service answered %d %q", code, b)
	}
	s.Break(Fault{Kind: Throttle, First: 1, Last: 1})
	s.Break(Fault{Kind: LostAnswer, First: 2, Last: 2})
	s.Break(Fault{Kind: Reset, First: 3, Last: 3})
	s.Break(Fault{Kind: ShortBody, First: 4, Last: 4})
	s.Break(Fault{Kind: WrongSum, First: 5, Last: 5})
	if b, code, _ := call("echo"); code != 400 || !strings.Contains(b, "ThrottlingException") {
		t.Errorf("throttled: %d %q", code, b)
	}
	if _, _, err := call("echo"); err == nil {
		t.Error("a lost answer came")
	}
	if _, _, err := call("echo"); err == nil {
		t.Error("a cut answer came whole")
	}
	if b, _, err := call("echo"); err != nil || b != "eu-west-" {
		t.Errorf("short: %q %v", b, err)
	}
	if b, _, err := call("echo"); err != nil || b == "eu-west-1" || len(b) != 9 {
		t.Errorf("flipped: %q %v", b, err)
	}
	if n := len(s.Journal()); n != 5 || e.made != 5 {
		t.Errorf("%d in the journal, %d made, want 5: what was refused is not in it, what was lost is", n, e.made)
	}
	if n := s.Count("echo", "Make"); n != 6 {
		t.Errorf("%d calls counted, want 6", n)
	}
}
