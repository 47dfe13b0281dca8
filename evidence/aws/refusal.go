package aws

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"snapcase/evidence"
	"snapcase/imaging"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	ebs "github.com/aws/aws-sdk-go-v2/service/ebs/types"
	"github.com/aws/smithy-go"
)

// refusal is what a service answered instead of doing what it was asked.
type refusal struct {
	status    int // 0 when no answer came
	code      string
	reason    string // of the EBS direct API
	message   string
	operation string // "ebs:GetSnapshotBlock"
	request   string
}

// refused takes an error of the SDK apart.
func refused(err error) refusal {
	var r refusal
	if op := (*smithy.OperationError)(nil); errors.As(err, &op) {
		r.operation = strings.ToLower(op.Service()) + ":" + op.Operation()
	}
	if e := (*awshttp.ResponseError)(nil); errors.As(err, &e) {
		r.status, r.request = e.HTTPStatusCode(), e.ServiceRequestID()
	}
	var api smithy.APIError
	if errors.As(err, &api) {
		r.code, r.message = api.ErrorCode(), api.ErrorMessage()
	}
	r.reason = reason(err)
	return r
}

func reason(err error) string {
	if e := (*ebs.AccessDeniedException)(nil); errors.As(err, &e) {
		return string(e.Reason)
	}
	if e := (*ebs.ValidationException)(nil); errors.As(err, &e) {
		return string(e.Reason)
	}
	if e := (*ebs.RequestThrottledException)(nil); errors.As(err, &e) {
		return string(e.Reason)
	}
	if e := (*ebs.ResourceNotFoundException)(nil); errors.As(err, &e) {
		return string(e.Reason)
	}
	if e := (*ebs.ServiceQuotaExceededException)(nil); errors.As(err, &e) {
		return string(e.Reason)
	}
	return ""
}

func (r *refusal) expired() bool {
	return slices.Contains([]string{"ExpiredToken", "ExpiredTokenException", "RequestExpired", "TokenRefreshRequired"}, r.code)
}

func (r *refusal) unknownKey() bool {
	return slices.Contains([]string{"UnrecognizedClientException", "InvalidClientTokenId", "AuthFailure", "InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidSignatureException"}, r.code)
}

func (r *refusal) throttled() bool {
	return r.status == http.StatusTooManyRequests || slices.Contains([]string{"ThrottlingException", "RequestThrottledException", "RequestThrottled", "Throttling", "RequestLimitExceeded", "SlowDown", "ConcurrentLimitExceededException"}, r.code)
}

func (r *refusal) staleToken() bool {
	return r.reason == string(ebs.ValidationExceptionReasonInvalidBlockToken) || r.reason == string(ebs.ValidationExceptionReasonInvalidPageToken)
}

func (r *refusal) denied() bool {
	return r.status == http.StatusForbidden || slices.Contains([]string{"UnauthorizedOperation", "AccessDenied", "AccessDeniedException"}, r.code)
}

// explain says in a sentence what was being done, why it could not be, and what
// to do next. A cancellation is passed on as it is.
func (a *Account) explain(doing string, err error) error {
	if evidence.Canceled(err) {
		return fmt.Errorf("%s: %w", doing, err)
	}
	r := refused(err)
	why, hint := a.sentence(&r, err)
	id := ""
	if r.request != "" {
		id = ", request " + r.request
	}
	if r.code != "" {
		why += fmt.Sprintf(" (%s%s: %s%s)", r.code, dotted(r.reason), r.message, id)
	}
	return evidence.WithHint(&gone{fmt.Sprintf("%s in %s: %s", doing, a.Region, why), err}, "%s", hint)
}

// gone is an error that hits the whole source, as a sentence for people.
type gone struct {
	text string
	err  error
}

func (g *gone) Error() string   { return g.text }
func (g *gone) Unwrap() []error { return []error{imaging.ErrGone, g.err} }

func dotted(reason string) string {
	if reason == "" {
		return ""
	}
	return "." + reason
}

func (a *Account) sentence(r *refusal, err error) (why, hint string) {
	const again = "and run the same command again: it resumes"
	switch {
	case r.expired():
		return "the credentials have expired", "renew them (aws sso login, or a new session of the role) " + again
	case r.unknownKey():
		return "the service does not accept the credentials", "check AWS_PROFILE or --profile, and the clock of this host; then run the same command again"
	case r.reason == string(ebs.AccessDeniedExceptionReasonDependencyAccessDenied):
		return "the key that encrypts the snapshot may not be used", "ask the key's owner for kms:Decrypt and kms:DescribeKey, or copy the snapshot to a key of your own; then run the same command again: it resumes"
	case r.denied():
		return "it is not allowed", "ask for the permission " + permission(r) + "; if the snapshot belongs to another account, have it shared and copy it to this account first (snapcase policy examiner prints what is needed)"
	case r.status == http.StatusPaymentRequired:
		return "a quota of the account is used up", "raise the quota, or wait, " + again
	case r.throttled():
		return "the service still asks to slow down after every attempt", "end what else reads from the account, or wait, " + again
	case r.status == http.StatusInternalServerError && r.code == "" || strings.Contains(err.Error(), "deserialization failed"):
		return "the answer is none of this service: " + err.Error(), "not available here: check AWS_ENDPOINT_URL and --region"
	case r.status == 0 && strings.Contains(err.Error(), "get credentials"), strings.Contains(err.Error(), "no EC2 IMDS role found"):
		return "no credentials were found", "set AWS_PROFILE or give --profile, or run on an instance with a role"
	case errors.Is(err, errBody):
		return err.Error() + ", however often it is asked for", "something between here and the service changes what it sends: check AWS_ENDPOINT_URL and any proxy, " + again
	case r.status == http.StatusNotFound:
		return "the snapshot is gone", "it was deleted, or is no longer shared; what was read is kept"
	case r.status == 0:
		return "no answer came: " + inner(err).Error(), "check the network and --region, " + again
	case r.status >= 500:
		return "the service is not well", "wait " + again
	}
	if r.code == "" {
		return err.Error(), "see the error; run the same command again when it is solved"
	}
	return "the service refused", "see the service's own words; run the same command again when it is solved"
}

// inner is what lies below the address of a request that failed.
func inner(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}

func permission(r *refusal) string {
	if r.operation == "" {
		return "that the error names"
	}
	return r.operation
}
