package aws

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"snapcase/evidence"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// maxAnswer bounds the answer of one call.
const maxAnswer = 64 << 20

// maxPages bounds the pages of one listing.
const maxPages = 100_000

// Calls makes API calls by name: a call and its parameters are data, the answer
// is JSON by the API's own names beside the bytes as they came. It is safe for
// concurrent use.
type Calls struct {
	a       *Account
	dryRuns bool // the endpoint is known to honour DryRun
	reads   map[string]operation
	changes map[string]operation
}

// An operation makes one call with parameters as JSON.
type operation func(ctx context.Context, params []byte) (answer any, err error)

// CallOptions say how patient reads are.
type CallOptions struct {
	Backoff time.Duration // longest wait between two attempts of a read; 0: 20 s
	// DryRuns says that the endpoint honours DryRun though it is not AWS: emulators
	// make calls that they were only asked about.
	DryRuns bool
	// Attempts is how often a read is tried; 0: 10.
	Attempts int
}

// Calls gives the calls of this account. Reads are tried ten times; what changes
// something is sent once: whoever asks for it must find out himself what became
// of a call without an answer.
func (a *Account) Calls(o CallOptions) *Calls {
	if o.Backoff == 0 {
		o.Backoff = 20 * time.Second
	}
	if o.Attempts == 0 {
		o.Attempts = 10
	}
	c := a.config.Copy()
	c.APIOptions = append(c.APIOptions, a.keepAnswer)
	c.Retryer = func() sdk.Retryer {
		return retry.NewStandard(func(s *retry.StandardOptions) {
			s.MaxAttempts, s.RateLimiter, s.MaxBackoff = o.Attempts, noQuota{}, o.Backoff
		})
	}
	once := c.Copy()
	once.Retryer = func() sdk.Retryer { return sdk.NopRetryer{} }
	all := &Calls{a: a, dryRuns: o.DryRuns || !a.elsewhere(), reads: reads(c), changes: changes(once)}
	maps.Copy(all.reads, readsOfScaling(a))
	maps.Copy(all.changes, changesOfScaling(a))
	return all
}

// elsewhere says whether calls go to an endpoint that is not AWS's own.
func (a *Account) elsewhere() bool {
	for _, name := range []string{"AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_EC2"} {
		if u := os.Getenv(name); u != "" && !isAWS(u) {
			return true
		}
	}
	return a.config.BaseEndpoint != nil && !isAWS(*a.config.BaseEndpoint)
}

func isAWS(endpoint string) bool {
	u, err := url.Parse(endpoint)
	if err != nil {
		return false
	}
	for _, d := range []string{".amazonaws.com", ".amazonaws.com.cn", ".api.aws"} {
		if strings.HasSuffix(u.Hostname(), d) {
			return true
		}
	}
	return false
}

// op makes an operation of a method of a service's client.
func op[In, Out, Opt any](f func(context.Context, *In, ...func(*Opt)) (*Out, error)) operation {
	return func(ctx context.Context, params []byte) (any, error) {
		var in In
		d := json.NewDecoder(bytes.NewReader(params))
		d.DisallowUnknownFields()
		if err := d.Decode(&in); err != nil {
			return nil, fmt.Errorf("parameters: %w", err)
		}
		out, err := f(ctx, &in)
		if err != nil {
			return nil, err
		}
		return out, nil
	}
}

// Read makes a call that changes nothing, and gives every page of its answer. A
// call that would change something is made here only with DryRun.
func (c *Calls) Read(ctx context.Context, call evidence.CloudCall) ([]evidence.CloudAnswer, error) {
	f, ok := c.reads[call.Name()]
	if !ok {
		if dry, _ := call.Params["DryRun"].(bool); dry && call.Service == "ec2" {
			if f, ok = c.changes[call.Name()]; ok && !c.dryRuns {
				return nil, &evidence.CloudError{Call: call.Name(), Kind: evidence.CloudMissing, Message: "this endpoint may make the call that it is only asked about"}
			}
		}
	}
	if !ok {
		return nil, fmt.Errorf("%s: this is no call that reads", call.Name())
	}
	params := map[string]any{}
	for k, v := range call.Params {
		params[k] = v
	}
	var all []evidence.CloudAnswer
	last := ""
	for range maxPages {
		a, err := c.do(ctx, f, call.Name(), params)
		if err != nil {
			return nil, err
		}
		all = append(all, a)
		more, token := next(a.Body, params)
		if !more {
			return all, nil
		}
		if token == last {
			return nil, fmt.Errorf("%s: the service gives the same page again and again", call.Name())
		}
		last = token
	}
	return nil, fmt.Errorf("%s: more than %d pages", call.Name(), maxPages)
}

// Change makes a call that changes something, once.
func (c *Calls) Change(ctx context.Context, call evidence.CloudCall) (evidence.CloudAnswer, error) {
	f, ok := c.changes[call.Name()]
	if !ok {
		return evidence.CloudAnswer{}, fmt.Errorf("%s: this call is not made here", call.Name())
	}
	return c.do(ctx, f, call.Name(), call.Params)
}

// Names lists the calls that are made here, sorted: those that read, and those
// that change something.
func (c *Calls) Names() (reads, changes []string) {
	return slices.Sorted(maps.Keys(c.reads)), slices.Sorted(maps.Keys(c.changes))
}

// next puts into params what asks for the page after this answer.
func next(body []byte, params map[string]any) (more bool, token string) {
	var v struct {
		NextToken            string
		IsTruncated          bool
		Marker               string
		NextPartNumberMarker string
		NextKeyMarker        string
		NextUploadIDMarker   string `json:"NextUploadIdMarker"`
		NextMarker           string
	}
	if json.Unmarshal(body, &v) != nil {
		return false, ""
	}
	switch {
	case v.NextToken != "":
		params["NextToken"] = v.NextToken
		return true, v.NextToken
	case v.IsTruncated && v.NextPartNumberMarker != "":
		params["PartNumberMarker"] = v.NextPartNumberMarker
		return true, v.NextPartNumberMarker
	case v.IsTruncated && v.NextKeyMarker != "":
		params["KeyMarker"], params["UploadIdMarker"] = v.NextKeyMarker, v.NextUploadIDMarker
		return true, v.NextKeyMarker + "\x00" + v.NextUploadIDMarker
	case v.NextMarker != "":
		params["Marker"] = v.NextMarker
		return true, v.NextMarker
	case v.IsTruncated && v.Marker != "":
		params["Marker"] = v.Marker
		return true, v.Marker
	}
	return false, ""
}

// kept is what a call brought over the wire, by its last attempt.
type kept struct {
	status  int
	kind    string // content type
	request string
	raw     []byte
	date    time.Time
}

type keptKey struct{}

// keepAnswer keeps the bytes of an answer beside what the SDK makes of them.
func (a *Account) keepAnswer(stack *middleware.Stack) error {
	return stack.Deserialize.Add(middleware.DeserializeMiddlewareFunc("keepAnswer", func(ctx context.Context, in middleware.DeserializeInput, next middleware.DeserializeHandler) (middleware.DeserializeOutput, middleware.Metadata, error) {
		out, md, err := next.HandleDeserialize(ctx, in)
		resp, ok := out.RawResponse.(*smithyhttp.Response)
		k, want := ctx.Value(keptKey{}).(*kept)
		if !ok || !want || resp.Response == nil {
			return out, md, err
		}
		raw, rerr := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
		cerr := resp.Body.Close()
		if rerr == nil && len(raw) > maxAnswer {
			rerr = fmt.Errorf("an answer of more than %d bytes", maxAnswer)
		}
		resp.Body = io.NopCloser(bytes.NewReader(raw))
		*k = kept{status: resp.StatusCode, kind: resp.Header.Get("Content-Type"), raw: raw, request: requestIDOf(resp.Header)}
		if t, perr := http.ParseTime(resp.Header.Get("Date")); perr == nil {
			k.date = t
		}
		if rerr != nil {
			return out, md, &lostError{errors.Join(rerr, cerr)}
		}
		return out, md, err
	}), middleware.After)
}

// lostError is an answer that did not come whole.
type lostError struct{ error }

func (e *lostError) Unwrap() error { return e.error }

func requestIDOf(h http.Header) string {
	for _, n := range []string{"x-amzn-RequestId", "x-amz-request-id", "x-amz-requestid"} {
		if v := h.Get(n); v != "" {
			return v
		}
	}
	return ""
}

func (c *Calls) do(ctx context.Context, f operation, name string, params map[string]any) (evidence.CloudAnswer, error) {
	if params == nil {
		params = map[string]any{}
	}
	b, err := json.Marshal(params)
	if err != nil {
		return evidence.CloudAnswer{}, fmt.Errorf("%s: %w", name, err)
	}
	var k kept
	out, err := f(context.WithValue(ctx, keptKey{}, &k), b)
	if err != nil {
		return evidence.CloudAnswer{}, failure(ctx, name, &k, err)
	}
	body, err := json.Marshal(out)
	if err != nil {
		return evidence.CloudAnswer{}, fmt.Errorf("%s: %w", name, err)
	}
	a := evidence.CloudAnswer{Body: body, Raw: k.raw, RequestID: k.request, Time: c.a.now().UTC()}
	if a.RequestID == "" {
		a.RequestID = requestIDIn(k.raw)
	}
	if !k.date.IsZero() {
		a.SkewMS = k.date.Sub(a.Time).Truncate(time.Millisecond).Milliseconds()
	}
	return a, nil
}

// requestIDIn finds the request id in an XML answer of ec2 or iam.
func requestIDIn(raw []byte) string {
	for _, tag := range []string{"requestId", "RequestId"} {
		_, rest, ok := strings.Cut(string(raw[:min(len(raw), 1<<20)]), "<"+tag+">")
		if id, _, end := strings.Cut(rest, "</"+tag+">"); ok && end && len(id) <= 64 {
			return id
		}
	}
	return ""
}
