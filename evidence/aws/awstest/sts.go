package awstest

import "net/http"

// STS tells who the caller is.
type STS struct{ Arn string }

// Action names the call.
func (s *STS) Action(r *Request) (string, bool) { return r.Form.Get("Action"), false }

// Fail writes an error as the query services do.
func (s *STS) Fail(w http.ResponseWriter, r *Request, x *Error) { failQuery(w, r, x) }

// Serve answers.
func (s *STS) Serve(w http.ResponseWriter, r *Request) error {
	if r.Action != "GetCallerIdentity" {
		return &Error{Status: http.StatusBadRequest, Code: "InvalidAction", Message: "Could not find operation " + r.Action}
	}
	return answerQuery(w, r, txt("Arn", s.Arn)+txt("UserId", "AIDATEST")+txt("Account", r.Account))
}
