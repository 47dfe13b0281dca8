package store

import (
	"context"
	"database/sql"
	"fmt"
	"iter"
	"net/netip"
	"strconv"
	"strings"

	"snapcase/evidence"
	"snapcase/evidence/flowlog"
)

// Flows yields the flow records that q selects; a record that another flow log
// holds too is there twice, and one of the two says that it is a copy.
// With a Format the files that have no header line are read again from the
// exhibit with it, for this call only.
func (c *Case) Flows(ctx context.Context, q FlowQuery) iter.Seq2[evidence.Flow, error] {
	return func(yield func(evidence.Flow, error) bool) {
		a, l, err := c.flowListing(ctx, q)
		if err != nil {
			yield(evidence.Flow{}, fmt.Errorf("flows: %w", err))
			return
		}
		defer a.end() //nolint:errcheck // read-only
		if len(q.Format) == 0 {
			each(ctx, l, 0, a.flows, yield)
			return
		}
		if err := a.flowsWithFormat(ctx, l, q, yield); err != nil {
			yield(evidence.Flow{}, fmt.Errorf("flows: %w", err))
		}
	}
}

// FlowPage is a page of what Flows yields; it takes no Format.
func (c *Case) FlowPage(ctx context.Context, q FlowQuery, r PageRequest) (Page[evidence.Flow], error) {
	if len(q.Format) > 0 {
		return Page[evidence.Flow]{}, fmt.Errorf("flows: pages take no format: %w", evidence.ErrUsage)
	}
	a, l, err := c.flowListing(ctx, q)
	if err != nil {
		return Page[evidence.Flow]{}, fmt.Errorf("flows: %w", err)
	}
	defer a.end() //nolint:errcheck // read-only
	f, err := l.page(ctx, r)
	if err != nil {
		return Page[evidence.Flow]{}, fmt.Errorf("flows: %w", err)
	}
	return toPage(ctx, f, a.flows)
}

// flowListing is the flow records that a query selects, as a listing of a
// question that the caller ends.
func (c *Case) flowListing(ctx context.Context, q FlowQuery) (*question, *listing, error) {
	a, err := c.ask(ctx)
	if err != nil {
		return nil, nil, err
	}
	l, err := a.flowStreams(ctx, q)
	if err != nil {
		a.end() //nolint:errcheck // read-only
		return nil, nil, err
	}
	return a, l, nil
}

func (q *question) flowStreams(ctx context.Context, f FlowQuery) (*listing, error) {
	if err := q.known(f.Exhibit); err != nil {
		return nil, err
	}
	w, err := q.flowConditions(ctx, f, []string{"src", "dst", "psrc", "pdst"})
	if err != nil {
		return nil, err
	}
	if f.Port != nil && (*f.Port < 0 || *f.Port > 65535) {
		return nil, evidence.WithHint(fmt.Errorf("port %d: %w", *f.Port, evidence.ErrUsage), "ports are 0 to 65535")
	}
	if f.Port != nil {
		w.and("(sport = ? OR dport = ?)", *f.Port, *f.Port)
	}
	if err := q.knownAction(ctx, f.Action); err != nil {
		return nil, err
	}
	if err := w.equal(ctx, q, "action", f.Action); err != nil {
		return nil, err
	}
	l := &listing{q: q}
	for _, sp := range q.spansOf("flows", f.Exhibit) {
		l.streams = append(l.streams, newStream(sp, 0, "", w))
	}
	return l, l.between(ctx, f.From, f.To)
}

// knownAction refuses an action that flow logs do not have and the records of
// this case do not either.
func (q *question) knownAction(ctx context.Context, action string) error {
	if action == "" || action == "ACCEPT" || action == "REJECT" {
		return nil
	}
	id, err := q.word(ctx, action)
	if err != nil || id != 0 {
		return err
	}
	return evidence.WithHint(fmt.Errorf("action %q: %w", action, evidence.ErrUsage), "actions are ACCEPT and REJECT")
}

// flowConditions are the conditions that records and their sums both know;
// sides are the columns of addresses.
func (q *question) flowConditions(ctx context.Context, f FlowQuery, sides []string) (w cond, err error) {
	for _, text := range []string{f.IP, f.Peer} {
		if text == "" {
			continue
		}
		a, err := netip.ParseAddr(text)
		if err != nil {
			return w, evidence.WithHint(fmt.Errorf("address %q: %w", text, evidence.ErrUsage), "an address looks like 198.51.100.7 or 2001:db8::7")
		}
		id, err := q.word(ctx, a.Unmap().String())
		if err != nil {
			return w, err
		}
		w.none = w.none || id == 0
		var some cond
		for _, s := range sides {
			some.and(s+" = ?", id)
		}
		w.and("("+strings.Join(some.sql, " OR ")+")", some.args...)
	}
	if err := w.equal(ctx, q, "iface", f.Interface); err != nil {
		return w, err
	}
	if f.Instance != "" {
		id, err := q.word(ctx, f.Instance)
		if err != nil {
			return w, err
		}
		w.none = w.none || id == 0
		w.and("(instance = ? OR instance IS NULL AND iface IN (SELECT value FROM instances WHERE instance = ? AND attr = 'interface'))", id, id)
	}
	if f.Protocol != "" {
		n, err := protocolNumber(f.Protocol)
		if err != nil {
			return w, err
		}
		w.and("proto = ?", n)
	}
	return w, nil
}

// protocolNumber is the IANA number of a protocol's name or number.
func protocolNumber(s string) (int64, error) {
	for _, n := range []int64{1, 6, 17, 58} {
		if flowlog.ProtocolName(n) == s {
			return n, nil
		}
	}
	n, err := strconv.ParseUint(s, 10, 8)
	if err != nil {
		return 0, evidence.WithHint(fmt.Errorf("protocol %q: %w", s, evidence.ErrUsage), "a protocol is icmp, tcp, udp, icmpv6 or a number up to 255")
	}
	return int64(n), nil //nolint:gosec // 8 bits
}

// flowColumns is where a text search looks in flow records.
var flowColumns = []textColumn{
	{colAddress, "src IN %s"},
	{colAddress, "dst IN %s"},
	{colAddress, "psrc IN %s"},
	{colAddress, "pdst IN %s"},
	{colFlow, "iface IN %s"},
	{colFlow, "instance IN %s"},
	{colFlow, "account IN %s"},
	{colFlow, "vpc IN %s"},
	{colFlow, "subnet IN %s"},
	{colFlow, "action IN %s"},
	{colFlow, "status IN %s"},
	{colFlow, "direction IN %s"},
	{colFlow, "region IN %s"},
	{colFlow, "other IN %s"},
}

// storedFlow is a row of flows.
type storedFlow struct {
	id      int64
	x       int
	ts, te  sql.NullInt64
	file, n int64
	words   [14]sql.NullInt64 // account … other, as in flowRowColumns
	numbers [7]sql.NullInt64  // version … tcp
	copied  bool
}

const flowRowColumns = "id, x, ts, te, file, n, account, iface, instance, vpc, subnet, src, dst, psrc, pdst, action, status, direction, region, other, version, sport, dport, proto, packets, bytes, tcp, copy"

func (f *storedFlow) scan(r *sql.Rows) error {
	w, n := &f.words, &f.numbers
	return r.Scan(&f.id, &f.x, &f.ts, &f.te, &f.file, &f.n, &w[0], &w[1], &w[2], &w[3], &w[4], &w[5], &w[6], &w[7], &w[8], &w[9], &w[10], &w[11], &w[12], &w[13],
		&n[0], &n[1], &n[2], &n[3], &n[4], &n[5], &n[6], &f.copied)
}

// flows loads the records at some positions.
func (q *question) flows(ctx context.Context, at []position) ([]evidence.Flow, error) {
	ids := make([]int64, len(at))
	for i, p := range at {
		ids[i] = p.id
	}
	rows := make(map[int64]*storedFlow, len(ids))
	strs, files := lookup{}, map[int64]string{}
	err := q.byIDs(ctx, "SELECT "+flowRowColumns+" FROM flows WHERE id", ids, func(r *sql.Rows) error {
		f := &storedFlow{}
		if err := f.scan(r); err != nil {
			return err
		}
		rows[f.id] = f
		strs.want(f.words[:]...)
		files[f.file] = ""
		return nil
	})
	if err != nil {
		return nil, err
	}
	instances, err := q.instancesOf(ctx, rows, strs)
	if err != nil {
		return nil, err
	}
	if err := q.texts(ctx, strs); err != nil {
		return nil, err
	}
	if err := q.fileNames(ctx, files); err != nil {
		return nil, err
	}
	out := make([]evidence.Flow, 0, len(ids))
	for _, id := range ids {
		f := rows[id]
		if f == nil {
			return nil, fmt.Errorf("flow record %d is not in the index", id)
		}
		v := f.flow(strs)
		v.Record = evidence.Record{Exhibit: q.exhibit(f.x), File: files[f.file], N: f.n}
		if v.Instance == nil && f.words[1].Valid {
			if i, ok := instances[f.words[1].Int64]; ok {
				s := strs[i]
				v.Instance = &s
			}
		}
		if v.Start, err = q.exact(ctx, "flows", id, "ts", f.ts); err != nil {
			return nil, err
		}
		if v.End, err = q.exact(ctx, "flows", id, "te", f.te); err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return out, nil
}

// instancesOf are the instances that the case knows for the interfaces of
// rows. An interface that was seen at two instances has none: the record does
// not tell at which it was.
func (q *question) instancesOf(ctx context.Context, rows map[int64]*storedFlow, strs lookup) (map[int64]int64, error) {
	wanted := map[int64]struct{}{}
	for _, f := range rows {
		if f.words[1].Valid && !f.words[2].Valid {
			wanted[f.words[1].Int64] = struct{}{}
		}
	}
	known := map[int64]int64{}
	if len(wanted) == 0 {
		return known, nil
	}
	var ids []int64
	for id := range wanted {
		ids = append(ids, id)
	}
	err := q.rows(ctx, "SELECT value, min(instance) FROM instances WHERE attr = 'interface' AND value IN (SELECT value FROM json_each(?)) GROUP BY value HAVING min(instance) = max(instance)", []any{list(ids)}, func(r *sql.Rows) error {
		var iface, instance int64
		if err := r.Scan(&iface, &instance); err != nil {
			return err
		}
		known[iface], strs[instance] = instance, ""
		return nil
	})
	return known, err
}

func (f *storedFlow) flow(s lookup) evidence.Flow {
	w, n := &f.words, &f.numbers
	v := evidence.Flow{
		Account: s.opt(w[0]), Interface: s.opt(w[1]), Instance: s.opt(w[2]), VPC: s.opt(w[3]), Subnet: s.opt(w[4]),
		Src: s.opt(w[5]), Dst: s.opt(w[6]), PktSrc: s.opt(w[7]), PktDst: s.opt(w[8]),
		Action: s.opt(w[9]), Status: s.opt(w[10]), Direction: s.opt(w[11]), Region: s.opt(w[12]),
		Version: number(n[0]), SrcPort: number(n[1]), DstPort: number(n[2]), Packets: number(n[4]), Bytes: number(n[5]), TCPFlags: number(n[6]), Copy: f.copied,
	}
	if n[3].Valid {
		p := flowlog.ProtocolName(n[3].Int64)
		v.Protocol = &p
	}
	v.Other = otherFields(s.of(w[13]))
	return v
}

// number is a column that may be missing.
func number(n sql.NullInt64) *int64 {
	if !n.Valid {
		return nil
	}
	return &n.Int64
}
