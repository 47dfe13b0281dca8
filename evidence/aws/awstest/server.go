// Package awstest is a stand-in for AWS that tests run unchanged product code
// against: one HTTP server on loopback for all services and regions, which the
// SDK reaches through AWS_ENDPOINT_URL.
//
// # How a request finds its service
//
// By the scope of its SigV4 signature, "Credential=AK/date/region/service/
// aws4_request", in the Authorization header or, presigned, in the query. The
// signature itself is not checked.
//
// # The journal
//
// Every call that changes something is written down in order, with what it was
// called with; calls with DryRun stand apart. Most tests are assertions on it. A
// call that a fault refused is not in it; one whose answer was lost is.
//
// # Faults
//
// A Fault hits a share of the calls of an action, or its k-th to n-th call, with
// one of the kinds below.
//
// What it does not do: check signatures or policies as AWS does, and know more of
// a service than the product calls. It is the project's own, so it must not be
// the only judge: the same flows are run against an independent emulator.
package awstest

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"time"
)

// maxBody bounds what a request may send.
const maxBody = 16 << 20

// Request is one call as it came in.
type Request struct {
	Service string // as in the signature's scope: ec2, iam, sts, ebs, s3, ssm…
	Region  string
	Account string // of the access key
	Action  string
	Form    url.Values // of ec2, iam and sts
	Body    []byte
	HTTP    *http.Request
	ID      string // the request id of the answer
}

// Call is a line of the journal.
type Call struct {
	Service, Region, Account, Action, ID string
	Form                                 url.Values
	Body                                 []byte
}

// A Service answers the calls of one AWS service. Its methods are called with
// the server's lock held, so that state needs no other.
type Service interface {
	// Action names the call and says whether it changes something.
	Action(r *Request) (name string, mutates bool)
	// Serve answers. A *Error is written in the service's own form by Fail.
	Serve(w http.ResponseWriter, r *Request) error
	// Fail writes an error.
	Fail(w http.ResponseWriter, r *Request, e *Error)
}

// Error is what a service refuses with.
type Error struct {
	Status  int
	Code    string
	Message string
	Reason  string // of ebs
}

func (e *Error) Error() string { return e.Code + ": " + e.Message }

// FaultKind says what goes wrong.
type FaultKind int

// The kinds of fault.
const (
	Throttle    FaultKind = iota + 1 // refused: slow down
	Unavailable                      // 500 in the service's own form
	HTML                             // 500 with a page, as an emulator without the call gives
	Denied                           // 403
	Expired                          // the credentials have expired
	Reset                            // the connection is cut in the middle of the answer
	LostAnswer                       // the change is made, the answer never comes
	ShortBody                        // the answer is a byte short and says so in no header
	WrongSum                         // one bit of the body is flipped
)

// Fault makes calls go wrong.
type Fault struct {
	Service, Action string // empty means any
	Kind            FaultKind
	First, Last     int     // the calls it hits, from 1, counted for this fault; 0 and 0 mean every one
	Share           float64 // of the calls within First to Last; 0 means all
	Error           *Error  // instead of the kind's own, for those which refuse
	calls           int
}

// Server is the stand-in.
type Server struct {
	URL string
	// Now is the clock of everything that the server dates.
	Now func() time.Time
	// Latency is waited before each answer, outside the lock.
	Latency func(*Request) time.Duration
	// Accounts gives the account of an access key id; others belong to Account.
	Accounts map[string]string
	Account  string

	mu       sync.Mutex
	services map[string]Service
	journal  []Call
	dryRuns  []Call
	faults   []*Fault
	random   *rand.Rand
	counts   map[string]int
	http     *httptest.Server
}

// New starts a server with these services, by their name in the signature, and
// with this clock. Close stops it. seed decides which calls a share of faults hits.
func New(seed uint64, now func() time.Time, services map[string]Service) *Server {
	s := &Server{
		Now: now, Account: "111122223333", Accounts: map[string]string{}, services: services,
		random: rand.New(rand.NewPCG(seed, 1)), counts: map[string]int{},
	}
	s.http = httptest.NewServer(s)
	s.URL = s.http.URL
	return s
}

// Serve adds a service, or puts another one in its place.
func (s *Server) Serve(name string, service Service) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.services[name] = service
}

// Close stops the server.
func (s *Server) Close() { s.http.CloseClientConnections(); s.http.Close() }

// Break adds a fault.
func (s *Server) Break(f Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = append(s.faults, &f)
}

// Mend removes all faults.
func (s *Server) Mend() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = nil
}

// Journal is what was changed, in order.
func (s *Server) Journal() []Call {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Call(nil), s.journal...)
}

// DryRuns are the calls that only asked whether they might.
func (s *Server) DryRuns() []Call {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Call(nil), s.dryRuns...)
}

// Count is how often an action was called, faults included.
func (s *Server) Count(service, action string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.counts[service+":"+action]
}

// Locked runs f while no call is served, for tests that look at a service's state.
func (s *Server) Locked(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
}

// ServeHTTP answers one call.
func (s *Server) ServeHTTP(w http.ResponseWriter, h *http.Request) {
	r, err := s.read(h)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	s.mu.Lock()
	service := s.services[r.Service]
	s.mu.Unlock()
	if service == nil {
		htmlError(w)
		return
	}
	answer, fault := s.answer(service, r)
	if s.Latency != nil {
		time.Sleep(s.Latency(r))
	}
	send(w, answer, fault)
}

// answer runs the call under the lock and keeps what it says.
func (s *Server) answer(service Service, r *Request) (*httptest.ResponseRecorder, FaultKind) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var mutates bool
	r.Action, mutates = service.Action(r)
	s.counts[r.Service+":"+r.Action]++
	r.ID = requestID(r.Service, r.Action, s.counts[r.Service+":"+r.Action])
	w := httptest.NewRecorder()
	w.Header().Set("Date", s.Now().UTC().Format(http.TimeFormat))
	w.Header().Set("x-amzn-RequestId", r.ID)
	fault := s.fault(r)
	if fault != nil {
		if fault.Kind == HTML {
			htmlError(w)
			return w, 0
		}
		if e := fault.refusal(r); e != nil {
			service.Fail(w, r, e)
			return w, 0
		}
	}
	call := Call{r.Service, r.Region, r.Account, r.Action, r.ID, r.Form, r.Body}
	if err := service.Serve(w, r); err != nil {
		e, ok := err.(*Error) //nolint:errorlint // made here, never wrapped
		if !ok {
			e = &Error{Status: http.StatusInternalServerError, Code: "InternalError", Message: err.Error()}
		}
		if e.Code == "DryRunOperation" {
			s.dryRuns = append(s.dryRuns, call)
		}
		service.Fail(w, r, e)
		return w, 0
	}
	if mutates {
		s.journal = append(s.journal, call)
	}
	if fault != nil {
		return w, fault.Kind
	}
	return w, 0
}

func (s *Server) fault(r *Request) *Fault {
	var hit *Fault
	for _, f := range s.faults {
		if f.Service != "" && f.Service != r.Service || f.Action != "" && f.Action != r.Action {
			continue
		}
		f.calls++
		if f.First > 0 && f.calls < f.First || f.Last > 0 && f.calls > f.Last {
			continue
		}
		if f.Share > 0 && s.random.Float64() >= f.Share {
			continue
		}
		if hit == nil {
			hit = f
		}
	}
	return hit
}

// refusal is the error of a fault that keeps the call from being made.
func (f *Fault) refusal(r *Request) *Error {
	if f.Error != nil {
		return f.Error
	}
	switch f.Kind {
	case Throttle:
		switch r.Service {
		case "ec2":
			return &Error{Status: http.StatusServiceUnavailable, Code: "RequestLimitExceeded", Message: "Request limit exceeded."}
		case "s3":
			return &Error{Status: http.StatusServiceUnavailable, Code: "SlowDown", Message: "Please reduce your request rate."}
		case "ebs":
			return &Error{Status: http.StatusBadRequest, Code: "RequestThrottledException", Reason: "RESOURCE_LEVEL_THROTTLE", Message: "The request was throttled."}
		}
		return &Error{Status: http.StatusBadRequest, Code: "ThrottlingException", Message: "Rate exceeded"}
	case Unavailable:
		return &Error{Status: http.StatusInternalServerError, Code: "InternalError", Message: "An internal error has occurred"}
	case Denied:
		code := map[string]string{"ec2": "UnauthorizedOperation", "s3": "AccessDenied", "iam": "AccessDenied", "sts": "AccessDenied"}[r.Service]
		if code == "" {
			code = "AccessDeniedException"
		}
		return &Error{Status: http.StatusForbidden, Code: code, Message: "You are not authorized to perform this operation.", Reason: "UNAUTHORIZED_ACCOUNT"}
	case Expired:
		code := map[string]string{"ec2": "RequestExpired", "s3": "ExpiredToken", "iam": "ExpiredToken", "sts": "ExpiredToken"}[r.Service]
		if code == "" {
			code = "ExpiredTokenException"
		}
		return &Error{Status: http.StatusBadRequest, Code: code, Message: "The security token included in the request is expired"}
	case HTML, Reset, LostAnswer, ShortBody, WrongSum:
	}
	return nil
}

// read takes a request apart.
func (s *Server) read(h *http.Request) (*Request, error) {
	scope := h.URL.Query().Get("X-Amz-Credential")
	if _, rest, ok := strings.Cut(h.Header.Get("Authorization"), "Credential="); ok {
		scope, _, _ = strings.Cut(rest, ",")
	}
	parts := strings.Split(scope, "/")
	if len(parts) != 5 {
		return nil, fmt.Errorf("no SigV4 scope in %s %s", h.Method, h.URL.Path)
	}
	body, err := io.ReadAll(io.LimitReader(h.Body, maxBody))
	if err != nil {
		return nil, err
	}
	r := &Request{Service: parts[3], Region: parts[2], Account: s.Account, Body: body, HTTP: h}
	if a, ok := s.Accounts[parts[0]]; ok {
		r.Account = a
	}
	if strings.HasPrefix(h.Header.Get("Content-Type"), "application/x-www-form-urlencoded") {
		if r.Form, err = url.ParseQuery(string(body)); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// send passes an answer on, or what a fault leaves of it.
func send(w http.ResponseWriter, a *httptest.ResponseRecorder, fault FaultKind) {
	body := a.Body.Bytes()
	for k, v := range a.Header() {
		w.Header()[k] = v
	}
	switch fault {
	case LostAnswer:
		panic(http.ErrAbortHandler)
	case Reset:
		w.Header().Set("Content-Length", fmt.Sprint(len(body)+1))
		w.WriteHeader(a.Code)
		_, _ = w.Write(body[:len(body)/2])
		panic(http.ErrAbortHandler)
	case ShortBody:
		body = body[:max(len(body)-1, 0)]
	case WrongSum:
		if len(body) > 0 {
			body = bytes.Clone(body)
			body[len(body)/2] ^= 1
		}
	case Throttle, Unavailable, HTML, Denied, Expired:
	}
	w.Header().Set("Content-Length", fmt.Sprint(len(body)))
	w.WriteHeader(a.Code)
	_, _ = w.Write(body)
}

func htmlError(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "text/html")
	w.WriteHeader(http.StatusInternalServerError)
	_, _ = io.WriteString(w, "<!doctype html><title>500 Internal Server Error</title>")
}

func requestID(service, action string, n int) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s:%s:%d", service, action, n))
	x := hex.EncodeToString(sum[:16])
	return strings.Join([]string{x[:8], x[8:12], x[12:16], x[16:20], x[20:]}, "-")
}
