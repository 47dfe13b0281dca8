package store

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"snapcase/evidence"
	"snapcase/evidence/flowlog"
	"snapcase/imaging"
)

// FlowPeers sums the records of status OK that q selects, accepted and
// rejected alike, by remote address and protocol, most bytes first. Copies in
// other flow logs are not summed.
//
// In and out are as the record's interface sees them. Where a record does not
// tell which side is the interface's own, both sides are a peer of each other:
// the record counts as bytes out to its destination and as bytes in from its
// source. Ports are the lower ports of the records: where one side is a
// service, its port. Lower is set when records of the interface were lost, or a sum
// is larger than its number can be.
func (c *Case) FlowPeers(ctx context.Context, q FlowQuery) ([]evidence.FlowPeer, error) {
	a, err := c.ask(ctx)
	if err != nil {
		return nil, fmt.Errorf("flow peers: %w", err)
	}
	defer a.end() //nolint:errcheck // read-only
	peers, err := a.flowPeers(ctx, q)
	if err == nil {
		err = a.listPeers(ctx, peers)
	}
	if err != nil {
		return nil, fmt.Errorf("flow peers: %w", err)
	}
	return peers, nil
}

// flowPeers is FlowPeers for who has a question open.
func (q *question) flowPeers(ctx context.Context, f FlowQuery) ([]evidence.FlowPeer, error) {
	sums, foreign, err := q.sumsOf(ctx, f)
	if err != nil {
		return nil, err
	}
	if err := q.findRemote(ctx, sums); err != nil {
		return nil, err
	}
	lost, err := q.lostFlows(ctx)
	if err != nil {
		return nil, err
	}
	type key struct{ peer, proto int64 }
	all := map[key]*evidence.FlowPeer{}
	words := lookup{}
	add := func(s *storedSum, peer int64, out bool) {
		k := key{peer, s.proto}
		p := all[k]
		if p == nil {
			p = &evidence.FlowPeer{Ports: []int64{}, Lists: []string{}, Protocol: flowlog.ProtocolName(s.proto)}
			all[k], words[peer] = p, ""
		}
		p.Records += s.records
		p.Accepted += s.accepted
		p.Rejected += s.rejected
		if out {
			p.PacketsOut, p.BytesOut = plus(p.PacketsOut, s.packets), plus(p.BytesOut, s.bytes)
		} else {
			p.PacketsIn, p.BytesIn = plus(p.PacketsIn, s.packets), plus(p.BytesIn, s.bytes)
		}
		p.First, p.Last = span2(p.First, p.Last, s.first, s.last)
		p.Ports = append(p.Ports, s.ports...)
		p.Lower = p.Lower || lost.of(s) || ranOver(p.PacketsIn, p.PacketsOut, p.BytesIn, p.BytesOut)
	}
	for _, s := range sums {
		s.sides(add)
	}
	if err := q.texts(ctx, words); err != nil {
		return nil, err
	}
	maps.Copy(words, foreign)
	out := make([]evidence.FlowPeer, 0, len(all))
	for k, p := range all {
		p.Peer = words[k.peer]
		slices.Sort(p.Ports)
		p.Ports = slices.Compact(p.Ports)
		out = append(out, *p)
	}
	slices.SortFunc(out, func(a, b evidence.FlowPeer) int {
		return cmp.Or(cmp.Compare(plus(b.BytesIn, b.BytesOut), plus(a.BytesIn, a.BytesOut)), strings.Compare(a.Peer, b.Peer), strings.Compare(a.Protocol, b.Protocol))
	})
	return out, nil
}

// span2 widens a span of time.
func span2(first, last, f, l imaging.Time) (imaging.Time, imaging.Time) {
	if f.Set && (!first.Set || f.Compare(first) < 0) {
		first = f
	}
	if l.Set && (!last.Set || l.Compare(last) > 0) {
		last = l
	}
	return first, last
}

// storedSum is a sum of records that share interface, addresses, protocol and
// direction; 0 stands for a number of the dictionary that is missing.
type storedSum struct {
	x                                int
	iface, instance, direction, peer int64
	src, dst, lsrc, ldst             int64
	proto                            int64
	records, packets, bytes          int64
	accepted, rejected               int64
	first, last                      imaging.Time
	ports                            []int64
	egress                           bool
}

// sides gives the peers of a sum: one, or both sides where the own side cannot
// be told.
func (s *storedSum) sides(add func(s *storedSum, peer int64, out bool)) {
	if s.peer != 0 {
		add(s, s.peer, s.egress || s.peer == s.dst && s.peer != s.src)
		return
	}
	if s.dst != 0 {
		add(s, s.dst, true)
	}
	if s.src != 0 && s.src != s.dst {
		add(s, s.src, false)
	}
}

// sumsOf are the sums that a query selects: from those kept while loading,
// where they know what is asked, else from the records. foreign are the
// addresses that the dictionary has not, under numbers of their own.
func (q *question) sumsOf(ctx context.Context, f FlowQuery) (sums []*storedSum, foreign lookup, err error) {
	if f.Port != nil || f.Action != "" || f.From.Set || f.To.Set || len(f.Format) > 0 {
		l, err := q.flowStreams(ctx, f)
		if err != nil {
			return nil, nil, err
		}
		var again *formatted
		if len(f.Format) > 0 {
			again = q.newFormatted(f)
			if err := again.read(ctx, l); err != nil {
				return nil, nil, err
			}
		}
		if sums, err = q.sumsOfRecords(ctx, l); err != nil || again == nil {
			return sums, nil, err
		}
		more, foreign, err := again.sums(ctx)
		return append(sums, more...), foreign, err
	}
	w, err := q.flowConditions(ctx, f, []string{"src", "dst", "lsrc", "ldst"})
	if err != nil || w.none {
		return nil, nil, err
	}
	if f.Exhibit != "" {
		w.and("x = (SELECT x FROM loads WHERE exhibit = ?)", f.Exhibit)
	}
	sums, err = q.keptSums(ctx, w)
	return sums, nil, err
}

func (q *question) keptSums(ctx context.Context, w cond) (all []*storedSum, err error) {
	egress, err := q.word(ctx, "egress")
	if err != nil {
		return nil, err
	}
	query := "SELECT x, coalesce(iface, 0), coalesce(instance, 0), coalesce(direction, 0), coalesce(peer, 0), coalesce(src, 0), coalesce(dst, 0), coalesce(lsrc, 0), coalesce(ldst, 0), coalesce(proto, -1), records, packets, bytes, accepted, rejected, first, last, ports FROM flow_sums WHERE true" + w.text()
	err = q.rows(ctx, query, w.args, func(r *sql.Rows) error {
		s := &storedSum{}
		var first, last sql.NullInt64
		var ports sql.RawBytes
		if err := r.Scan(&s.x, &s.iface, &s.instance, &s.direction, &s.peer, &s.src, &s.dst, &s.lsrc, &s.ldst, &s.proto, &s.records, &s.packets, &s.bytes, &s.accepted, &s.rejected, &first, &last, &ports); err != nil {
			return err
		}
		s.first, s.last = timeOrNone(first), timeOrNone(last)
		s.ports = unpackPorts(ports)
		s.egress = s.direction != 0 && s.direction == egress
		all = append(all, s)
		return nil
	})
	return all, err
}

// timeOrNone is a time of the index.
func timeOrNone(ns sql.NullInt64) imaging.Time {
	if !ns.Valid {
		return imaging.Time{}
	}
	return ofNano(ns.Int64)
}

// sumsOfRecords reads the records and sums them.
func (q *question) sumsOfRecords(ctx context.Context, l *listing) (all []*storedSum, err error) {
	var words [4]int64 // OK, ACCEPT, REJECT, egress
	for i, s := range []string{"OK", "ACCEPT", "REJECT", "egress"} {
		if words[i], err = q.word(ctx, s); err != nil {
			return nil, err
		}
	}
	type key [9]int64
	for _, s := range l.streams {
		if s.where.none || s.lo > s.hi {
			continue
		}
		sums := map[key]*storedSum{}
		query := "SELECT coalesce(iface, 0), coalesce(instance, 0), coalesce(direction, 0), coalesce(peer, 0), coalesce(psrc, src, 0), coalesce(pdst, dst, 0), coalesce(src, 0), coalesce(dst, 0), coalesce(proto, -1), coalesce(packets, 0), coalesce(bytes, 0), coalesce(action, 0), coalesce(sport, -1), coalesce(dport, -1), ts, te FROM flows WHERE id >= ? AND id <= ? AND copy = 0 AND (status = ? OR status IS NULL) AND (src IS NOT NULL OR dst IS NOT NULL)" + s.where.text()
		err := q.rows(ctx, query, slices.Concat([]any{s.lo, s.hi, words[0]}, s.where.args), func(r *sql.Rows) error {
			var k key
			var packets, bytes, action int64
			var sport, dport int32
			var ts, te sql.NullInt64
			if err := r.Scan(&k[0], &k[1], &k[2], &k[3], &k[4], &k[5], &k[6], &k[7], &k[8], &packets, &bytes, &action, &sport, &dport, &ts, &te); err != nil {
				return err
			}
			u := sums[k]
			if u == nil {
				u = &storedSum{x: s.x, iface: k[0], instance: k[1], direction: k[2], peer: k[3], src: k[4], dst: k[5], lsrc: k[6], ldst: k[7], proto: k[8], egress: k[2] != 0 && k[2] == words[3]}
				sums[k] = u
				all = append(all, u)
			}
			u.records++
			u.packets, u.bytes = plus(u.packets, packets), plus(u.bytes, bytes)
			if action != 0 && action == words[1] {
				u.accepted++
			}
			if action != 0 && action == words[2] {
				u.rejected++
			}
			u.first, u.last = span2(u.first, u.last, timeOrNone(ts), timeOrNone(te))
			if p, ok := servicePort(int32(u.proto), sport, dport); ok { //nolint:gosec // a protocol
				if i, have := slices.BinarySearch(u.ports, int64(p)); !have {
					u.ports = slices.Insert(u.ports, i, int64(p))
				}
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return all, nil
}

// lostFlows says of which interfaces records were lost.
type lostFlows struct {
	ifaces   map[int64]bool
	exhibits map[int]bool // lines that could have been of any interface
}

func (l *lostFlows) of(s *storedSum) bool { return l.ifaces[s.iface] || l.exhibits[s.x] }

func (q *question) lostFlows(ctx context.Context) (*lostFlows, error) {
	l := &lostFlows{map[int64]bool{}, map[int]bool{}}
	err := q.rows(ctx, "SELECT x, iface FROM flow_gaps", nil, func(r *sql.Rows) error {
		var x int
		var iface sql.NullInt64
		if err := r.Scan(&x, &iface); err != nil {
			return err
		}
		if iface.Valid {
			l.ifaces[iface.Int64] = true
		} else {
			l.exhibits[x] = true
		}
		return nil
	})
	return l, err
}

// findRemote tells the remote side of sums where their exhibit alone does not:
// by all records of the interface in the case, by the private addresses of
// the instance that has the interface, and, as an interface shows its private
// address, by the one side that is private.
func (q *question) findRemote(ctx context.Context, sums []*storedSum) error {
	ifaces, words := map[int64]struct{}{}, lookup{}
	for _, s := range sums {
		if s.peer == 0 && s.lsrc != s.ldst && s.lsrc != 0 && s.ldst != 0 {
			ifaces[s.iface] = struct{}{}
			words[s.lsrc], words[s.ldst] = "", ""
		}
	}
	if len(ifaces) == 0 {
		return nil
	}
	own, err := q.ownAddresses(ctx, ifaces)
	if err != nil {
		return err
	}
	if err := q.texts(ctx, words); err != nil {
		return err
	}
	for _, s := range sums {
		if s.peer != 0 || s.lsrc == s.ldst || s.lsrc == 0 || s.ldst == 0 {
			continue
		}
		mine := own[s.iface]
		a, b := mine[s.lsrc], mine[s.ldst]
		if a == b {
			a, b = inside(words[s.lsrc]), inside(words[s.ldst])
		}
		switch {
		case a && !b:
			s.peer, s.egress = s.dst, true
		case b && !a:
			s.peer = s.src
		}
	}
	return nil
}

// inside says that an address is of a private range.
func inside(text string) bool {
	a, err := netip.ParseAddr(text)
	return err == nil && a.IsPrivate()
}

// ownAddresses are the addresses that the case knows as those of interfaces.
func (q *question) ownAddresses(ctx context.Context, ifaces map[int64]struct{}) (map[int64]map[int64]bool, error) {
	var ids []int64
	for i := range ifaces {
		if i != 0 {
			ids = append(ids, i)
		}
	}
	slices.Sort(ids)
	own := map[int64]map[int64]bool{}
	add := func(r *sql.Rows) error {
		var iface, address int64
		if err := r.Scan(&iface, &address); err != nil {
			return err
		}
		if own[iface] == nil {
			own[iface] = map[int64]bool{}
		}
		own[iface][address] = true
		return nil
	}
	if err := q.rows(ctx, "SELECT i.value, p.value FROM instances i JOIN instances p ON p.instance = i.instance AND p.attr = 'private' WHERE i.attr = 'interface' AND i.value IN (SELECT value FROM json_each(?))", []any{list(ids)}, add); err != nil {
		return nil, err
	}
	// Of the own address of an interface, other exhibits may know more: there
	// it is the side that is not the peer.
	err := q.rows(ctx, "SELECT DISTINCT iface, CASE WHEN peer = dst THEN lsrc ELSE ldst END FROM flow_sums WHERE peer IS NOT NULL AND src IS NOT dst AND lsrc IS NOT NULL AND ldst IS NOT NULL AND iface IN (SELECT value FROM json_each(?))", []any{list(ids)}, add)
	return own, err
}
