package aws

import (
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/aws/smithy-go"
)

func TestAnswerOf(t *testing.T) {
	const answer = `<?xml version="1.0"?><XResponse xmlns="urn:x"><XResult><Groups><member><Name>a&amp;b</Name><Empty/></member><member><Name>c</Name></member></Groups></XResult></XResponse>`
	got, err := answerOf(200, "X", []byte(answer))
	want := map[string]any{"Groups": []any{map[string]any{"Name": "a&b", "Empty": ""}, map[string]any{"Name": "c"}}}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, %v", got, err)
	}
	_, err = answerOf(400, "X", []byte(`<ErrorResponse><Error><Code>AccessDenied</Code><Message>no</Message></Error></ErrorResponse>`))
	var api smithy.APIError
	if !errors.As(err, &api) || api.ErrorCode() != "AccessDenied" {
		t.Errorf("error %v", err)
	}
	for _, bad := range []string{"", "<a>", answer[:60], strings.Repeat("<a>", 100)} {
		if _, err := answerOf(200, "X", []byte(bad)); err == nil {
			t.Errorf("%q was read", bad)
		}
	}
}

// FuzzAnswerOf holds that no answer ends the program.
func FuzzAnswerOf(f *testing.F) {
	f.Add(200, []byte(`<XResponse><XResult><A><member>1</member></A></XResult></XResponse>`))
	f.Add(500, []byte(`<ErrorResponse><Error><Code>c</Code></Error></ErrorResponse>`))
	f.Add(200, []byte("<!doctype html><title>500"))
	f.Fuzz(func(t *testing.T, status int, b []byte) {
		if v, err := answerOf(status, "X", b); err == nil && v == nil {
			t.Error("neither an answer nor an error")
		}
	})
}
