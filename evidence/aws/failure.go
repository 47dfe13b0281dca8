package aws

import (
	"context"
	"errors"
	"strings"

	"snapcase/evidence"

	"github.com/aws/smithy-go"
)

// Codes of services, by what they mean for the caller.
var (
	deniedCodes = map[string]bool{
		"UnauthorizedOperation": true, "AccessDenied": true, "AccessDeniedException": true, "Forbidden": true, "Client.UnauthorizedOperation": true,
		"UnauthorizedAccess": true, "OptInRequired": true, "KMSAccessDeniedException": true,
	}
	credentialCodes = map[string]bool{
		"ExpiredToken": true, "ExpiredTokenException": true, "RequestExpired": true, "InvalidClientTokenId": true, "UnrecognizedClientException": true,
		"AuthFailure": true, "SignatureDoesNotMatch": true, "InvalidAccessKeyId": true, "MissingAuthenticationToken": true, "IncompleteSignature": true, "InvalidToken": true,
	}
	throttleCodes = map[string]bool{
		"RequestLimitExceeded": true, "Throttling": true, "ThrottlingException": true, "ThrottledException": true, "TooManyRequestsException": true,
		"RequestThrottled": true, "RequestThrottledException": true, "EC2ThrottledException": true, "SlowDown": true, "LimitExceededException": false,
	}
	missingCodes = map[string]bool{
		"InvalidAction": true, "UnknownOperationException": true, "NotImplemented": true, "UnknownAction": true, "NotImplementedError": true,
	}
	absentCodes = map[string]bool{
		"NoSuchEntity": true, "NotFoundException": true, "TrailNotFoundException": true, "NoSuchUpload": true, "NoSuchKey": true, "NoSuchBucket": true,
		"NotFound": true, "InvocationDoesNotExist": true, "NoSuchKeyException": true,
	}
)

// failure sorts the error of a call by what it means: a *evidence.CloudError, or
// the context's own error where that ended it.
func failure(ctx context.Context, name string, k *kept, err error) error {
	e := &evidence.CloudError{Call: name, RequestID: k.request, Err: err, Kind: evidence.CloudLost}
	if e.RequestID == "" {
		e.RequestID = requestIDIn(k.raw)
	}
	if ctx.Err() != nil {
		e.Err = errors.Join(ctx.Err(), err)
		return e
	}
	var lost *lostError
	if errors.As(err, &lost) {
		e.Message = "the answer broke off"
		return e
	}
	var api smithy.APIError
	if !errors.As(err, &api) {
		if e.Kind = unanswered(k, err); e.Kind == evidence.CloudCredentials {
			e.Message = "no AWS credentials were found, or they could not be renewed"
		}
		return e
	}
	e.Code, e.Message, e.Err = api.ErrorCode(), api.ErrorMessage(), err
	e.Kind = kindOf(e.Code, k)
	return e
}

// unanswered sorts errors that no service wrote: credentials that cannot be had,
// parameters that the client refuses, answers that are no answers.
func unanswered(k *kept, err error) evidence.CloudErrorKind {
	var invalid smithy.InvalidParamsError
	switch {
	case errors.As(err, &invalid), strings.HasPrefix(err.Error(), "parameters: "):
		return evidence.CloudRefused
	case k.status == 0 && noCredentials(err):
		return evidence.CloudCredentials
	case page(k):
		return evidence.CloudMissing
	}
	return evidence.CloudLost
}

func noCredentials(err error) bool {
	s := err.Error()
	return strings.Contains(s, "get identity: get credentials") || strings.Contains(s, "failed to refresh cached credentials") || strings.Contains(s, "no EC2 IMDS role found")
}

// page says whether the answer is a web page: what an emulator without a call
// gives. 501 says the same in words.
func page(k *kept) bool {
	return k.status == 501 || k.status >= 400 && (strings.HasPrefix(k.kind, "text/html") || strings.HasPrefix(strings.TrimSpace(strings.ToLower(string(k.raw[:min(len(k.raw), 64)]))), "<!doctype"))
}

func kindOf(code string, k *kept) evidence.CloudErrorKind {
	switch {
	case code == "DryRunOperation":
		return evidence.CloudDryRun
	case deniedCodes[code]:
		return evidence.CloudDenied
	case credentialCodes[code]:
		return evidence.CloudCredentials
	case throttleCodes[code] || k.status == 429:
		return evidence.CloudThrottled
	case missingCodes[code], page(k):
		return evidence.CloudMissing
	case absentCodes[code], strings.HasSuffix(code, ".NotFound"), strings.HasSuffix(code, ".Unknown"), strings.HasSuffix(code, "NotFoundException"):
		return evidence.CloudNotFound
	case k.status >= 500:
		return evidence.CloudLost
	}
	return evidence.CloudRefused
}
