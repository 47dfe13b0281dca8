package report

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"snapcase/evidence"
	"snapcase/imaging"
)

// answer is what a trace says, arranged as an auditor asks it.
type answer struct {
	Trace  evidence.Trace
	Key    *evidence.Key // of the trace's entity, where it is one that was found
	Level  string        // of the gravest finding that concerns it
	Steps  []step
	Claims []claim
	Chain  node
	Peers  []peer
	Issued int64        // calls of the keys it issued
	Since  imaging.Time // first and last call, the issued keys' included
	Until  imaging.Time
	More   map[string]int
}

// step is one line of what happened, in the order of time.
type step struct {
	Time   imaging.Time
	What   string // constant words
	Thing  string // from evidence
	Detail string // from evidence
	Record string
	Mark   bool
}

// claim is one statement with what it rests on.
type claim struct {
	What, Basis string
	Strength    string // recorded, joined, consistent with
}

// node is a box of the chain: a key, a thing made, a peer.
type node struct {
	Kind, Title, Sub, Detail string
	Mark                     string // why it stands out
	Children                 []node
}

// peer is a remote address with a bar as long as its share.
type peer struct {
	evidence.TracePeer
	Out, In int // per cent of the largest peer's bytes
	Verdict string
}

func newAnswer(in Input, t evidence.Trace) answer {
	a := answer{Trace: t, Level: "medium", More: map[string]int{}}
	for i, k := range in.Keys {
		if k.KeyID == t.Entity.ID {
			a.Key = &in.Keys[i]
		}
	}
	for _, f := range in.Findings {
		if slices.Contains(f.Entities, t.Entity.ID) && rank(f.Level) > rank(a.Level) {
			a.Level = f.Level
		}
	}
	for _, i := range t.Issued {
		a.Issued += i.Events
	}
	for _, r := range t.Regions {
		if r.First.Set && (!a.Since.Set || r.First.Compare(a.Since) < 0) {
			a.Since = r.First
		}
		if r.Last.Set && (!a.Until.Set || r.Last.Compare(a.Until) > 0) {
			a.Until = r.Last
		}
	}
	a.Peers = peers(t)
	a.Steps = steps(t)
	a.Claims = claims(in, t)
	a.Chain = chain(t)
	a.More["peers"] = max(0, len(t.Peers)-maxRows)
	a.More["created"] = max(0, len(t.Created)-maxRows)
	a.More["calls"] = max(0, len(t.Calls)-maxRows)
	a.Trace.Created = t.Created[:min(len(t.Created), maxRows)]
	a.Trace.Calls = t.Calls[:min(len(t.Calls), maxRows)]
	return a
}

func rank(level string) int {
	return slices.Index([]string{"informational", "low", "medium", "high", "critical"}, level)
}

// peers are the remote addresses, the busiest first, each with its verdict.
func peers(t evidence.Trace) []peer {
	all := slices.Clone(t.Peers)
	slices.SortStableFunc(all, func(a, b evidence.TracePeer) int { return cmp.Compare(b.BytesOut+b.BytesIn, a.BytesOut+a.BytesIn) })
	var most int64 = 1
	for _, p := range all {
		most = max(most, p.BytesOut, p.BytesIn)
	}
	var out []peer
	for _, p := range all[:min(len(all), maxRows)] {
		x := peer{TracePeer: p, Out: share(p.BytesOut, most), In: share(p.BytesIn, most)}
		for _, i := range t.ICMP {
			if i.Peer == p.IP && strings.HasPrefix(p.Protocol, "icmp") {
				x.Verdict = i.Verdict
			}
		}
		out = append(out, x)
	}
	return out
}

func share(n, most int64) int {
	if n <= 0 {
		return 0
	}
	return max(1, int(float64(n)/float64(most)*100))
}

// steps tells the trace in the order of time.
func steps(t evidence.Trace) []step {
	var s []step
	for _, i := range t.IssuedBy {
		if i.Time.Set {
			s = append(s, step{Time: i.Time, What: "The key is issued by " + i.EventName, Detail: cmp.Or(i.Principal, i.KeyID)})
		}
	}
	for _, a := range t.Addresses {
		s = append(s, step{Time: a.First, What: "First use from", Thing: a.IP, Detail: many(a.Events, "call", "calls") + " until " + stamp(a.Last)})
	}
	for _, i := range t.Issued {
		used := "never used in the logs that were acquired"
		if i.Events > 0 {
			used = many(i.Events, "call", "calls")
		}
		s = append(s, step{Time: i.Time, What: i.EventName + " gives", Thing: i.KeyID, Detail: joinText(", ", i.Principal, used), Mark: i.Permanent})
	}
	for _, r := range t.Regions {
		if r.Unusual {
			s = append(s, step{Time: r.First, What: "First call in", Thing: r.Region, Detail: "no other user or role had acted there before, in the logs that were acquired", Mark: true})
		}
	}
	for i, c := range t.Created {
		if i == maxRows {
			break
		}
		s = append(s, step{Time: c.Time, What: "Creates " + kind(c.Type), Thing: c.ID, Detail: "in " + c.Region, Record: c.Record.String(), Mark: strings.HasSuffix(c.Type, "Instance") || strings.HasSuffix(c.Type, "AccessKey")})
	}
	for _, p := range t.ICMP {
		if p.Verdict == "ordinary" {
			continue
		}
		first := p.First
		for _, f := range t.Peers {
			if f.IP == p.Peer && f.Protocol == "icmp" && f.First.Set && f.First.Compare(first) < 0 {
				first = f.First
			}
		}
		s = append(s, step{Time: first, What: "ICMP begins with", Thing: p.Peer, Detail: "judged from a capture: " + verdictWords(p.Verdict), Mark: true})
	}
	slices.SortStableFunc(s, func(a, b step) int { return a.Time.Compare(b.Time) })
	return s
}

func joinText(sep string, parts ...string) string {
	return strings.Join(slices.DeleteFunc(parts, func(s string) bool { return s == "" }), sep)
}

func verdictWords(v string) string {
	switch v {
	case "tunnel":
		return "consistent with a tunnel"
	case "unusual":
		return "unusual for ping"
	}
	return "ordinary ping"
}

// claims says of each part of the answer what it rests on.
func claims(in Input, t evidence.Trace) []claim {
	var c []claim
	if n := len(t.FoundAt); n > 0 {
		byStatus := map[string]int{}
		for _, p := range t.FoundAt {
			byStatus[p.Status]++
		}
		var parts []string
		for _, s := range []string{"allocated", "deleted", "slack", "unallocated", "memory", "log"} {
			if byStatus[s] > 0 {
				parts = append(parts, fmt.Sprintf("%d %s", byStatus[s], s))
			}
		}
		c = append(c, claim{"The key lies in the evidence", "its bytes, at the offsets below, in sealed images: " + strings.Join(parts, ", "), "recorded"})
	}
	if t.Events > 0 {
		c = append(c, claim{"The key made the calls", fmt.Sprintf("%s name it as the caller", many(t.Events, "CloudTrail record", "CloudTrail records")), "recorded"})
	}
	byJoin := map[string]int64{}
	for _, i := range t.Issued {
		byJoin[i.Join]++
	}
	if n := byJoin["key-id"]; n > 0 {
		c = append(c, claim{"It obtained " + many(n, "further key", "further keys"), "the key id stands in the answer of the call that issued it", "recorded"})
	}
	if n := byJoin["session"]; n > 0 {
		c = append(c, claim{"It obtained " + many(n, "key of a session", "keys of sessions"), "same session name and same second of creation; the issued key id itself was not seen in use", "joined"})
	}
	for _, r := range t.Regions {
		if r.Unusual {
			c = append(c, claim{r.Region + " was not in use before", "judged against " + trailSpan(in.Exhibits), "joined"})
		}
	}
	if len(t.Instances) > 0 {
		c = append(c, claim{"The instances are its own", "the answers of its successful RunInstances calls, or of the keys it obtained", "recorded"})
	}
	if len(t.Peers) > 0 {
		c = append(c, claim{"The instances talked to these addresses", "flow-log records of their interfaces; a flow log shows sizes and times, not contents", "recorded"})
	}
	for _, i := range t.ICMP {
		if i.Verdict != "ordinary" {
			c = append(c, claim{"ICMP with " + i.Peer + " is " + verdictWords(i.Verdict), strings.Join(i.Reasons, "; "), "consistent with"})
		}
	}
	return c
}

func trailSpan(all []evidence.ExhibitStats) string {
	for _, x := range all {
		if x.Kind == evidence.KindCloudTrail {
			return fmt.Sprintf("%s of %s", many(x.Distinct, "event", "events"), span(x.First, x.Last))
		}
	}
	return "the acquired logs"
}
