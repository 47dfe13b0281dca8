package awstest

import "slices"

// Flow is a connection of an interface. Security groups judge only what is not
// being tracked: a tracked flow lives on whatever groups are put on the
// interface, until it times out.
//
// A flow is untracked while the groups let everything through both ways, for its
// own family of addresses: "-1 0.0.0.0/0" or "-1 ::/0" in and out. A flow that is
// being tracked becomes untracked when such groups are put on, and then ends at
// once when they go. Pinned flows (ICMP, and what goes through NAT or a load
// balancer) are always tracked.
type Flow struct {
	Net     string
	V6      bool
	Pinned  bool
	Tracked bool
	Alive   bool
}

// Connect opens a flow out of an interface; nil where the groups do not let it.
func (e *EC2) Connect(net string, v6, pinned bool) *Flow {
	if !e.Allowed(net, v6, true) {
		return nil
	}
	n := e.Nets[net]
	f := &Flow{Net: net, V6: v6, Pinned: pinned, Alive: true, Tracked: pinned || !e.open(n, v6)}
	e.Flows = append(e.Flows, f)
	return f
}

func everywhere(v6 bool) string {
	if v6 {
		return "-1 ::/0"
	}
	return "-1 0.0.0.0/0"
}

// Allowed says whether a new flow may begin at an interface: out of it, or into it.
func (e *EC2) Allowed(net string, v6, out bool) bool {
	for _, id := range e.Nets[net].Groups {
		rules := e.Groups[id].In
		if out {
			rules = e.Groups[id].Out
		}
		if slices.Contains(rules, everywhere(v6)) {
			return true
		}
	}
	return false
}

// open says whether everything goes through both ways.
func (e *EC2) open(n *Net, v6 bool) bool {
	return e.Allowed(n.ID, v6, true) && e.Allowed(n.ID, v6, false)
}

// track applies the groups of an interface to its flows.
func (e *EC2) track(n *Net) {
	for _, f := range e.Flows {
		if f.Net != n.ID || !f.Alive {
			continue
		}
		switch {
		case f.Pinned:
		case e.open(n, f.V6):
			f.Tracked = false
		case !f.Tracked:
			f.Alive = e.Allowed(n.ID, f.V6, true)
			f.Tracked = f.Alive
		}
	}
}

// retrack applies a group whose rules changed.
func (e *EC2) retrack(group string) {
	for _, n := range e.Nets {
		if slices.Contains(n.Groups, group) {
			e.track(n)
		}
	}
}
