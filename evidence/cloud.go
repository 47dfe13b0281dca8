package evidence

import (
	"errors"
	"fmt"
	"time"
)

// CloudCall is one call to the API of a cloud service, as its documentation
// names it.
type CloudCall struct {
	Service string         // "ec2", "iam", "sts", "ssm", "s3", "cloudtrail", "kms"
	Action  string         // "DescribeInstances"
	Params  map[string]any // by the API's own names; values are those of JSON
}

// Name is the call as a policy writes it: "ec2:DescribeInstances".
func (c CloudCall) Name() string { return c.Service + ":" + c.Action }

// CloudAnswer is what a call came back with.
type CloudAnswer struct {
	Body      []byte // as JSON, by the API's own names
	Raw       []byte // as it came over the wire
	RequestID string
	Time      time.Time // on this host, when the answer was there
	SkewMS    int64     // the service's clock less this host's, in milliseconds
}

// CloudErrorKind sorts the ways in which a call fails by what they mean for the
// caller.
type CloudErrorKind int

// The kinds of failure.
const (
	CloudRefused     CloudErrorKind = iota // the service will not: the call as it is changes nothing
	CloudDryRun                            // DryRun: the call would have been allowed
	CloudDenied                            // the caller lacks a permission
	CloudCredentials                       // no credentials, expired ones, or wrong ones
	CloudThrottled                         // too fast: nothing was done, ask again later
	CloudNotFound                          // the thing that it names is not there
	CloudMissing                           // this endpoint does not know the call
	CloudLost                              // no answer, or one of a broken service: it may have been done
)

// CloudError is a call that failed.
type CloudError struct {
	Call      string // "ec2:DescribeInstances"
	Kind      CloudErrorKind
	Code      string // of the service; "" where there was no answer
	Message   string
	RequestID string
	Err       error // the client's own
}

func (e *CloudError) Error() string {
	s := e.Call + ": "
	switch {
	case e.Kind == CloudMissing:
		s += "the endpoint does not know this call"
	case e.Code != "":
		s += e.Code + ": " + e.Message
	case e.Message != "":
		s += e.Message
	case e.Err != nil:
		s += e.Err.Error()
	}
	if e.RequestID != "" {
		s += fmt.Sprintf(" (request %s)", e.RequestID)
	}
	return s
}

func (e *CloudError) Unwrap() error { return e.Err }

// Hint says what the examiner can do next, by kind.
func (e *CloudError) Hint() string {
	switch e.Kind {
	case CloudDenied:
		return "the caller needs the permission " + e.Call + "; snapcase policy prints what each role needs"
	case CloudCredentials:
		return "renew the credentials (aws sso login, or the AWS_* variables) and run the same command again: it goes on where it stopped"
	case CloudThrottled:
		return "the account is at its request limit; run the same command again in some minutes"
	case CloudNotFound:
		return "look at the id, the region (--region) and the account (aws sts get-caller-identity)"
	case CloudMissing:
		return "AWS_ENDPOINT_URL names an emulator without this call; against AWS itself unset it"
	case CloudLost:
		return "run the same command again: it asks the service what was done before it repeats anything"
	case CloudRefused, CloudDryRun:
	}
	return "the service's own words say why; nothing was changed by this call"
}

// CloudKind gives the kind of a call's failure; ok is false for other errors.
func CloudKind(err error) (kind CloudErrorKind, ok bool) {
	var e *CloudError
	if errors.As(err, &e) {
		return e.Kind, true
	}
	return 0, false
}
