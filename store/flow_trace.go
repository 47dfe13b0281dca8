package store

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"

	"snapcase/evidence"
	"snapcase/evidence/flowlog"
	"snapcase/imaging"
)

// endpoints are whose traffic is summed: numbers of dict.
type endpoints struct {
	interfaces, instances, addresses []int64
}

// peers sums the traffic of endpoints by remote address and protocol, most
// bytes first. Records of the endpoints' own interfaces count first. An
// address is asked for on other interfaces only where no flow log has its own
// interface, and in captures only where no flow log has it at all: so nothing
// counts twice.
func (q *question) peers(ctx context.Context, e endpoints) ([]evidence.TracePeer, error) {
	p := &peerSums{all: map[peerKey]*evidence.TracePeer{}, words: lookup{}}
	ifaces, rest, err := q.ownInterfaces(ctx, e)
	if err != nil {
		return nil, err
	}
	lost, err := q.lostFlows(ctx)
	if err != nil {
		return nil, err
	}
	var w cond
	w.and("(iface IN (SELECT value FROM json_each(?)) OR instance IN (SELECT value FROM json_each(?)))", list(ifaces), list(e.instances))
	sums, err := q.keptSums(ctx, w)
	if err != nil {
		return nil, err
	}
	if err := q.findRemote(ctx, sums); err != nil {
		return nil, err
	}
	mine := set(e.addresses)
	for _, s := range sums {
		if s.peer == 0 { // an address of the entity is its own side
			switch {
			case mine[s.lsrc] && !mine[s.ldst]:
				s.peer, s.egress = s.dst, true
			case mine[s.ldst] && !mine[s.lsrc]:
				s.peer = s.src
			}
		}
		s.sides(func(s *storedSum, peer int64, out bool) { p.add(s, peer, out, lost.of(s)) })
	}
	seen := map[int64]bool{}
	for _, a := range rest {
		found, err := q.addressSums(ctx, p, a, lost)
		if err != nil {
			return nil, err
		}
		seen[a] = found
	}
	if err := q.captured(ctx, p, rest, seen); err != nil {
		return nil, err
	}
	return p.list(ctx, q)
}

func set(ids []int64) map[int64]bool {
	m := make(map[int64]bool, len(ids))
	for _, id := range ids {
		m[id] = true
	}
	return m
}

// ownInterfaces are the interfaces of endpoints that have flow logs, and the
// addresses for which there is none.
func (q *question) ownInterfaces(ctx context.Context, e endpoints) (ifaces, rest []int64, err error) {
	ifaces = slices.Clone(e.interfaces)
	logged, _, err := q.number(ctx, "SELECT EXISTS (SELECT 1 FROM flow_sums WHERE iface IN (SELECT value FROM json_each(?)) OR instance IN (SELECT value FROM json_each(?)))", list(e.interfaces), list(e.instances))
	if err != nil {
		return nil, nil, err
	}
	for _, a := range e.addresses {
		if logged != 0 {
			// The address of an instance whose flow log is there already.
			covered, _, err := q.number(ctx, "SELECT EXISTS (SELECT 1 FROM instances a WHERE a.attr IN ('private', 'public') AND a.value = ? AND (EXISTS (SELECT 1 FROM instances i JOIN flow_sums s ON s.iface = i.value WHERE i.instance = a.instance AND i.attr = 'interface') OR EXISTS (SELECT 1 FROM flow_sums s WHERE s.instance = a.instance)))", a)
			if err != nil {
				return nil, nil, err
			}
			if covered != 0 {
				continue
			}
		}
		own := len(ifaces) // those behind have the address on their own side
		err := q.rows(ctx, "SELECT DISTINCT iface FROM flow_sums NOT INDEXED WHERE iface IS NOT NULL AND (lsrc = ? AND peer = dst AND src IS NOT dst OR ldst = ? AND peer = src AND src IS NOT dst)", []any{a, a}, func(r *sql.Rows) error {
			var i int64
			err := r.Scan(&i)
			ifaces = append(ifaces, i)
			return err
		})
		if err != nil {
			return nil, nil, err
		}
		if len(ifaces) == own {
			rest = append(rest, a)
		}
	}
	return ifaces, rest, nil
}

// addressSums adds what other interfaces saw of an address.
func (q *question) addressSums(ctx context.Context, p *peerSums, address int64, lost *lostFlows) (found bool, err error) {
	var w cond
	w.and("(src = ? OR dst = ?)", address, address)
	sums, err := q.keptSums(ctx, w)
	for _, s := range sums {
		switch address {
		case s.src:
			p.add(s, s.dst, true, lost.of(s))
		default:
			p.add(s, s.src, false, lost.of(s))
		}
	}
	return len(sums) > 0, err
}

// captured adds the conversations of addresses that no flow log has.
func (q *question) captured(ctx context.Context, p *peerSums, addresses []int64, seen map[int64]bool) error {
	for _, a := range addresses {
		if seen[a] {
			continue
		}
		err := q.rows(ctx, "SELECT x, src, dst, coalesce(proto, -1), packets, bytes, first, last FROM conversations WHERE (src = ? OR dst = ?) AND src IS NOT NULL AND dst IS NOT NULL", []any{a, a}, func(r *sql.Rows) error {
			s := &storedSum{}
			var first, last sql.NullInt64
			if err := r.Scan(&s.x, &s.src, &s.dst, &s.proto, &s.packets, &s.bytes, &first, &last); err != nil {
				return err
			}
			s.first, s.last = timeOrNone(first), timeOrNone(last)
			if s.src == a {
				p.add(s, s.dst, true, false)
			} else {
				p.add(s, s.src, false, false)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

type peerKey struct{ peer, proto int64 }

// peerSums collects the peers of a trace.
type peerSums struct {
	all   map[peerKey]*evidence.TracePeer
	words lookup
}

func (p *peerSums) add(s *storedSum, peer int64, out, lower bool) {
	k := peerKey{peer, s.proto}
	t := p.all[k]
	if t == nil {
		t = &evidence.TracePeer{Lists: []string{}}
		p.all[k], p.words[peer] = t, ""
	}
	if out {
		t.BytesOut = plus(t.BytesOut, s.bytes)
	} else {
		t.BytesIn = plus(t.BytesIn, s.bytes)
	}
	t.Packets = plus(t.Packets, s.packets)
	t.First, t.Last = span2(t.First, t.Last, s.first, s.last)
	t.Lower = t.Lower || lower || ranOver(t.BytesIn, t.BytesOut, t.Packets)
}

func (p *peerSums) list(ctx context.Context, q *question) ([]evidence.TracePeer, error) {
	if err := q.texts(ctx, p.words); err != nil {
		return nil, err
	}
	out := make([]evidence.TracePeer, 0, len(p.all))
	for k, t := range p.all {
		t.IP, t.Protocol = p.words[k.peer], protocolText(k.proto)
		out = append(out, *t)
	}
	slices.SortFunc(out, func(a, b evidence.TracePeer) int {
		return cmp.Or(cmp.Compare(plus(b.BytesIn, b.BytesOut), plus(a.BytesIn, a.BytesOut)), strings.Compare(a.IP, b.IP), strings.Compare(a.Protocol, b.Protocol))
	})
	return out, nil
}

// protoARP is ARP in the columns of protocols: its EtherType, which no IP
// protocol can be.
const protoARP = 0x0806

// protocolText is the name of a protocol of the index.
func protocolText(n int64) string {
	if n == protoARP {
		return "arp"
	}
	return flowlog.ProtocolName(n)
}

// flowMoments are the records at some positions as lines of the timeline.
func (q *question) flowMoments(ctx context.Context, at []position) ([]evidence.Moment, error) {
	flows, err := q.flows(ctx, at)
	if err != nil {
		return nil, err
	}
	out := make([]evidence.Moment, len(flows))
	for i := range flows {
		out[i] = flowMoment(&flows[i])
	}
	return out, nil
}

func flowMoment(f *evidence.Flow) evidence.Moment {
	m := evidence.Moment{Time: f.Start, Source: "flow", Exhibit: f.Record.Exhibit, Record: f.Record.String(), Tags: []string{}, Actor: cmp.Or(f.Instance, f.Interface)}
	status := optText(f.Status)
	if m.Type = cmp.Or(optText(f.Action), status); status == "NODATA" || status == "SKIPDATA" {
		m.Type = status
	}
	m.Summary = flowSummary(f)
	if f.Start.Set && f.End.Set {
		if w, ok := window(f.Start, f.End); ok {
			m.Uncertain = &w
		}
	}
	return m
}

func optText(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// window says how wide the window of a record is.
func window(start, end imaging.Time) (string, bool) {
	if end.Compare(start) < 0 || end.Sec > start.Sec+1<<40 {
		return "", false
	}
	return fmt.Sprintf("%d s window", end.Sec-start.Sec), true
}

// flowSummary is a record in one line.
func flowSummary(f *evidence.Flow) string {
	where := cmp.Or(optText(f.Interface), "an interface that the record does not name")
	switch optText(f.Status) {
	case "NODATA":
		return "no traffic at " + where
	case "SKIPDATA":
		return "records of " + where + " were lost (SKIPDATA): what went on is not known"
	}
	src, dst := cmp.Or(optText(f.PktSrc), optText(f.Src), "?"), cmp.Or(optText(f.PktDst), optText(f.Dst), "?")
	port := func(addr string, p *int64) string {
		if p == nil || optText(f.Protocol) == "icmp" || optText(f.Protocol) == "icmpv6" {
			return addr
		}
		return net.JoinHostPort(addr, strconv.FormatInt(*p, 10))
	}
	s := port(src, f.SrcPort) + " → " + port(dst, f.DstPort)
	if f.Protocol != nil {
		s += " " + *f.Protocol
	}
	for _, n := range []struct {
		n    *int64
		what string
	}{{f.Packets, "packets"}, {f.Bytes, "bytes"}} {
		if n.n != nil {
			s += fmt.Sprintf(" %d %s", *n.n, n.what)
		}
	}
	return s
}
