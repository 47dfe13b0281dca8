package awstest

import (
	"fmt"
	"html"
	"net/http"
	"net/url"
	"strings"
)

// IAM is the IAM API: profiles, roles and users with inline policies, keys.
type IAM struct {
	Account  string
	Deny     map[string]bool
	Profiles map[string][]string          // roles by profile name
	Roles    map[string]map[string]string // policy documents by role and name
	Users    map[string]map[string]string
	Keys     map[string]*Key // by id
}

// Key is a user's access key.
type Key struct{ User, Status string }

// NewIAM is an empty account.
func NewIAM(account string) *IAM {
	return &IAM{Account: account, Deny: map[string]bool{}, Profiles: map[string][]string{}, Roles: map[string]map[string]string{}, Users: map[string]map[string]string{}, Keys: map[string]*Key{}}
}

// Action names the call.
func (i *IAM) Action(r *Request) (string, bool) {
	a := r.Form.Get("Action")
	return a, !strings.HasPrefix(a, "Get") && !strings.HasPrefix(a, "List")
}

// Fail writes an error as the query services do.
func (i *IAM) Fail(w http.ResponseWriter, r *Request, x *Error) { failQuery(w, r, x) }

func failQuery(w http.ResponseWriter, r *Request, x *Error) {
	w.Header().Set("Content-Type", "text/xml")
	w.WriteHeader(x.Status)
	_, _ = fmt.Fprintf(w, `<ErrorResponse><Error><Type>Sender</Type><Code>%s</Code><Message>%s</Message></Error><RequestId>%s</RequestId></ErrorResponse>`, x.Code, html.EscapeString(x.Message), r.ID)
}

func answerQuery(w http.ResponseWriter, r *Request, body string) error {
	w.Header().Set("Content-Type", "text/xml")
	_, err := fmt.Fprintf(w, `<%sResponse><%sResult>%s</%sResult><ResponseMetadata><RequestId>%s</RequestId></ResponseMetadata></%sResponse>`, r.Action, r.Action, body, r.Action, r.ID, r.Action)
	return err
}

func absent(what string) *Error {
	return &Error{Status: http.StatusNotFound, Code: "NoSuchEntity", Message: what + " cannot be found."}
}

// Serve answers.
func (i *IAM) Serve(w http.ResponseWriter, r *Request) error {
	if i.Deny[r.Action] {
		return &Error{Status: http.StatusForbidden, Code: "AccessDenied", Message: "User is not authorized to perform: iam:" + r.Action}
	}
	body, err := i.answer(r.Action, r.Form)
	if err != nil {
		return err
	}
	return answerQuery(w, r, body)
}

func (i *IAM) answer(action string, f url.Values) (string, error) {
	role, user := i.Roles[f.Get("RoleName")], i.Users[f.Get("UserName")]
	if f.Has("RoleName") && role == nil {
		return "", absent("The role with name " + f.Get("RoleName"))
	}
	if f.Has("UserName") && user == nil {
		return "", absent("The user with name " + f.Get("UserName"))
	}
	name := f.Get("PolicyName")
	switch action {
	case "GetInstanceProfile":
		return i.profile(f.Get("InstanceProfileName"))
	case "GetRole":
		return el("Role", txt("RoleName", f.Get("RoleName")), txt("Arn", "arn:aws:iam::"+i.Account+":role/"+f.Get("RoleName"))), nil
	case "ListRolePolicies":
		return el("PolicyNames", members(keysOf(role))...) + txt("IsTruncated", false), nil
	case "ListAttachedRolePolicies":
		return el("AttachedPolicies") + txt("IsTruncated", false), nil
	case "GetRolePolicy":
		return inline(role, name)
	case "GetUserPolicy":
		return inline(user, name)
	case "PutRolePolicy":
		role[name] = f.Get("PolicyDocument")
	case "PutUserPolicy":
		user[name] = f.Get("PolicyDocument")
	case "DeleteRolePolicy", "DeleteUserPolicy":
		of := role
		if action == "DeleteUserPolicy" {
			of = user
		}
		if of[name] == "" {
			return "", absent("The policy with name " + name)
		}
		delete(of, name)
	default:
		return i.keys(action, f)
	}
	return "", nil
}

func (i *IAM) keys(action string, f url.Values) (string, error) {
	k := i.Keys[f.Get("AccessKeyId")]
	switch action {
	case "ListAccessKeys":
		var all []string
		for _, id := range keysOf(i.Keys) {
			if i.Keys[id].User == f.Get("UserName") {
				all = append(all, el("member", txt("AccessKeyId", id), txt("UserName", i.Keys[id].User), txt("Status", i.Keys[id].Status)))
			}
		}
		return el("AccessKeyMetadata", all...) + txt("IsTruncated", false), nil
	case "GetAccessKeyLastUsed":
		if k == nil {
			return "", absent("The Access Key with id " + f.Get("AccessKeyId"))
		}
		return txt("UserName", k.User) + el("AccessKeyLastUsed", txt("ServiceName", "sts"), txt("Region", "eu-west-1")), nil
	case "UpdateAccessKey":
		if k == nil {
			return "", absent("The Access Key with id " + f.Get("AccessKeyId"))
		}
		k.Status = f.Get("Status")
		return "", nil
	}
	return "", &Error{Status: http.StatusBadRequest, Code: "InvalidAction", Message: "Could not find operation " + action}
}

func (i *IAM) profile(name string) (string, error) {
	roles, ok := i.Profiles[name]
	if !ok {
		return "", absent("Instance Profile " + name)
	}
	var all []string
	for _, r := range roles {
		all = append(all, el("member", txt("RoleName", r), txt("Arn", "arn:aws:iam::"+i.Account+":role/service/"+r)))
	}
	return el("InstanceProfile", txt("InstanceProfileName", name), txt("Arn", "arn:aws:iam::"+i.Account+":instance-profile/"+name), el("Roles", all...)), nil
}

func members(all []string) []string {
	out := make([]string, 0, len(all))
	for _, s := range all {
		out = append(out, txt("member", s))
	}
	return out
}

func inline(of map[string]string, name string) (string, error) {
	doc, ok := of[name]
	if !ok {
		return "", absent("The policy with name " + name)
	}
	return txt("PolicyName", name) + txt("PolicyDocument", url.QueryEscape(doc)), nil
}
