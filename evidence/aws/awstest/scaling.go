package awstest

import (
	"net/http"
	"strings"
)

// Scaling is Auto Scaling and the load balancers' targets, one service for both.
type Scaling struct {
	Members map[string]*Member         // by instance
	Targets map[string]map[string]bool // by target group, then "instance:port"
}

// Member is an instance of a group.
type Member struct {
	Group, State string // InService, Standby
	Protected    bool
}

// NewScaling is an empty one.
func NewScaling() *Scaling {
	return &Scaling{Members: map[string]*Member{}, Targets: map[string]map[string]bool{}}
}

// Action names the call.
func (s *Scaling) Action(r *Request) (string, bool) {
	a := r.Form.Get("Action")
	return a, !strings.HasPrefix(a, "Describe")
}

// Fail writes an error as the query services do.
func (s *Scaling) Fail(w http.ResponseWriter, r *Request, x *Error) { failQuery(w, r, x) }

// Serve answers.
func (s *Scaling) Serve(w http.ResponseWriter, r *Request) error {
	f := r.Form
	id, port := f.Get("InstanceIds.member.1"), f.Get("Targets.member.1.Port")
	m := s.Members[id]
	target := f.Get("Targets.member.1.Id") + ":" + port
	group := s.Targets[f.Get("TargetGroupArn")]
	body := ""
	switch r.Action {
	case "DescribeAutoScalingInstances":
		if m != nil {
			body = el("member", txt("InstanceId", id), txt("AutoScalingGroupName", m.Group), txt("LifecycleState", m.State), txt("ProtectedFromScaleIn", m.Protected))
		}
		body = el("AutoScalingInstances", body)
	case "SetInstanceProtection", "EnterStandby", "ExitStandby":
		if m == nil || m.Group != f.Get("AutoScalingGroupName") {
			return bad("ValidationError", "The instance %s is not part of Auto Scaling group", id)
		}
		switch r.Action {
		case "SetInstanceProtection":
			m.Protected = f.Get("ProtectedFromScaleIn") == "true"
		case "EnterStandby":
			m.State = "Standby"
		default:
			m.State = "InService"
		}
	case "DescribeTargetGroups":
		for _, k := range keysOf(s.Targets) {
			body += el("member", txt("TargetGroupArn", k))
		}
		body = el("TargetGroups", body)
	case "DescribeTargetHealth":
		for _, k := range keysOf(group) {
			i, p, _ := strings.Cut(k, ":")
			body += el("member", el("Target", txt("Id", i), txt("Port", p)), el("TargetHealth", txt("State", "healthy")))
		}
		body = el("TargetHealthDescriptions", body)
	case "DeregisterTargets":
		delete(group, target)
	case "RegisterTargets":
		group[target] = true
	default:
		return bad("InvalidAction", "Could not find operation %s", r.Action)
	}
	return answerQuery(w, r, body)
}
