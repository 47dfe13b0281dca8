package store

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"snapcase/evidence"
	"snapcase/imaging"
)

// Findings are the detections over all sources, and what the examiner found.
// Detections are numbered in their order: level, first time, rule, title; the
// same evidence gives the same ones (F1, F2, …). The examiner's own have the
// number of their record in the ledger (E7).
func (c *Case) Findings(ctx context.Context) ([]evidence.Finding, error) {
	q, err := c.ask(ctx)
	if err != nil {
		return nil, fmt.Errorf("findings: %w", err)
	}
	defer q.end() //nolint:errcheck // read-only
	var all []evidence.Finding
	for _, rule := range []func(context.Context) ([]evidence.Finding, error){
		q.keysOnDisk, q.newRegions, q.madeByFoundKeys, q.echoFindings, q.echoFlows, q.conflicts,
	} {
		some, err := rule(ctx)
		if err != nil {
			return nil, fmt.Errorf("findings: %w", err)
		}
		all = append(all, some...)
	}
	order := func(a, b evidence.Finding) int {
		return cmp.Or(cmp.Compare(slices.Index(levels, a.Level), slices.Index(levels, b.Level)), a.First.Compare(b.First), strings.Compare(a.Rule, b.Rule), strings.Compare(a.Title, b.Title))
	}
	slices.SortStableFunc(all, order)
	for i := range all {
		all[i].ID = fmt.Sprintf("F%d", i+1)
	}
	own, err := c.ownFindings(ctx)
	if err != nil {
		return nil, fmt.Errorf("findings: %w", err)
	}
	for _, o := range own {
		if !o.withdrawn {
			all = append(all, o.Finding)
		}
	}
	slices.SortStableFunc(all, order)
	return all, nil
}

// shownRecords is how many records a finding names.
const shownRecords = 20

// keysOnDisk finds the keys that lie in the evidence and were used.
func (q *question) keysOnDisk(ctx context.Context) ([]evidence.Finding, error) {
	keys, err := q.keys(ctx, false)
	if err != nil {
		return nil, err
	}
	var out []evidence.Finding
	for _, k := range keys {
		if k.Events == 0 || k.Documentation {
			continue
		}
		f := evidence.Finding{Rule: "key-on-disk-used", Level: "high", First: k.First, Last: k.Last, Entities: slices.Concat([]string{k.KeyID}, k.Principals)}
		f.Title = fmt.Sprintf("Access key %s lies in the evidence and was used", k.KeyID)
		places, secret := map[string]int{}, false
		for _, p := range k.Places {
			if p.Status == "log" {
				continue
			}
			places[p.Status]++
			secret = secret || p.Secret
			if p.Address != nil && !slices.Contains(f.Events, *p.Address) && len(f.Events) < shownRecords/2 {
				f.Events = append(f.Events, *p.Address)
			}
		}
		var where []string
		for _, s := range []string{"allocated", "deleted", "slack", "unallocated", "memory"} {
			if places[s] > 0 {
				where = append(where, fmt.Sprintf("%d %s", places[s], s))
			}
		}
		f.Observed = fmt.Sprintf("found in %s places; %s made by %s in %s", strings.Join(where, ", "), countOf(k.Events, "call"), cmp.Or(strings.Join(k.Principals, ", "), "a principal that the records do not name"), strings.Join(k.Regions, ", "))
		if secret {
			f.Observed += "; its secret lies beside it"
		}
		f.Limits = "that a key lies on a disk does not show who read it, and a call shows the key, not the person"
		records, err := q.recordsOfKey(ctx, k.KeyID)
		if err != nil {
			return nil, err
		}
		f.Events = append(f.Events, records...)
		out = append(out, f)
	}
	return out, nil
}

func countOf(n int64, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// recordsOfKey are the first calls made with a key.
func (q *question) recordsOfKey(ctx context.Context, key string) ([]string, error) {
	id, err := q.word(ctx, key)
	if err != nil {
		return nil, err
	}
	return q.recordsWhere(ctx, "key = ?", id)
}

func (q *question) recordsWhere(ctx context.Context, where string, args ...any) ([]string, error) {
	var ids []int64
	err := q.rows(ctx, "SELECT id FROM events WHERE "+where+" ORDER BY ts, id LIMIT ?", append(args, shownRecords/2), func(r *sql.Rows) error {
		var id int64
		err := r.Scan(&id)
		ids = append(ids, id)
		return err
	})
	if err != nil {
		return nil, err
	}
	events, err := q.eventsByID(ctx, ids)
	if err != nil {
		return nil, err
	}
	var out []string
	for i := range events {
		out = append(out, events[i].Record.String())
	}
	return out, nil
}

// settled is how long the evidence must have run before the first use of a
// region says anything.
const settled = 24 * 3600

// newRegions finds regions whose first use comes after the evidence has run
// for a while, by whom, and what was made there.
func (q *question) newRegions(ctx context.Context) ([]evidence.Finding, error) {
	start, ok, err := q.number(ctx, "SELECT min(first) FROM uses")
	if err != nil || !ok {
		return nil, err
	}
	from := ofNano(start)
	from.Sec += settled
	least, _ := nano(from)
	type first struct{ region, ts int64 }
	var regions []first
	err = q.rows(ctx, "SELECT region, min(first) FROM uses WHERE service = 0 AND region IS NOT NULL AND first IS NOT NULL GROUP BY region HAVING min(first) >= ? ORDER BY 2", []any{least}, func(r *sql.Rows) error {
		var f first
		err := r.Scan(&f.region, &f.ts)
		regions = append(regions, f)
		return err
	})
	if err != nil {
		return nil, err
	}
	var out []evidence.Finding
	for _, r := range regions {
		f, err := q.newRegion(ctx, r.region, r.ts, ofNano(start))
		if err != nil {
			return nil, err
		}
		out = append(out, f)
	}
	return out, nil
}

func (q *question) newRegion(ctx context.Context, region, ts int64, start imaging.Time) (f evidence.Finding, err error) {
	names := lookup{region: ""}
	if err := q.texts(ctx, names); err != nil {
		return f, err
	}
	f = evidence.Finding{Rule: "region-first-used", Level: "medium", First: ofNano(ts), Title: fmt.Sprintf("Region %s was never used before", names[region]), Entities: []string{names[region]}}
	const here = "region = ? AND flags & 16 = 0"
	var last sql.NullInt64
	var n, bad int64
	if err := q.rows(ctx, "SELECT count(*), sum("+failed+"), max(ts) FROM events WHERE "+here, []any{region}, func(r *sql.Rows) error { return r.Scan(&n, &bad, &last) }); err != nil {
		return f, err
	}
	f.Last = latest(imaging.Time{}, last)
	var made []string
	err = q.rows(ctx, "SELECT c.type, d.text FROM created c JOIN dict d ON d.id = c.name WHERE c.event IN (SELECT id FROM events WHERE "+here+") ORDER BY c.event", []any{region}, func(r *sql.Rows) error {
		var typ, name string
		err := r.Scan(&typ, &name)
		if len(made) < shownRecords {
			made = append(made, typ+" "+name)
		}
		if typ == "AWS::EC2::Instance" {
			f.Entities = insertEnd(f.Entities, name)
		}
		return err
	})
	if err != nil {
		return f, err
	}
	var who []string
	err = q.rows(ctx, "SELECT DISTINCT d.text FROM uses u JOIN dict d ON d.id = u.arn WHERE u.region = ? AND u.service = 0 ORDER BY 1 LIMIT 20", []any{region}, func(r *sql.Rows) error {
		var s string
		err := r.Scan(&s)
		who = append(who, s)
		return err
	})
	if err != nil {
		return f, err
	}
	f.Entities = append(f.Entities, who...)
	first, err := q.numbers(ctx, "SELECT id FROM events WHERE "+here+" AND ts IS NOT NULL ORDER BY ts, id LIMIT 1", region)
	if err != nil {
		return f, err
	}
	events, err := q.eventsByID(ctx, first)
	if err != nil {
		return f, err
	}
	by := "a principal that the records do not name"
	for i := range events {
		by = cmp.Or(caller(&events[i]), by)
	}
	f.Observed = fmt.Sprintf("the evidence begins at %s; the first call in %s came at %s, by %s; since then %s, %d of them failed, by %s", start, names[region], f.First, by, countOf(n, "call"), bad, countOf(int64(len(who)), "principal"))
	if len(made) > 0 {
		f.Level = "high"
		f.Observed += "; made there: " + strings.Join(made, ", ")
	}
	f.Limits = "before the evidence begins, or in logs that were not acquired, the region may have been used"
	f.Events, err = q.recordsWhere(ctx, here, region)
	return f, err
}

func insertEnd(all []string, s string) []string {
	if slices.Contains(all, s) {
		return all
	}
	return append(all, s)
}

// madeByFoundKeys finds permanent keys that were made with a key that lies in
// the evidence, or with one that it issued: a way back in.
func (q *question) madeByFoundKeys(ctx context.Context) ([]evidence.Finding, error) {
	found, err := q.numbers(ctx, "SELECT DISTINCT key FROM hits WHERE status <> 'log' AND doc = 0")
	if err != nil || len(found) == 0 {
		return nil, err
	}
	steps, err := q.down(ctx, found, nil)
	if err != nil {
		return nil, err
	}
	steps = slices.DeleteFunc(steps, func(s step) bool { return !s.permanent })
	keys, err := q.issuedKeys(ctx, steps, false)
	if err != nil {
		return nil, err
	}
	var out []evidence.Finding
	for _, k := range keys {
		records, err := q.recordsWhere(ctx, "eid = ?", idValue(k.ByEvent))
		if err != nil {
			return nil, err
		}
		out = append(out, evidence.Finding{
			Rule: "permanent-key-made", Level: "high", First: k.Time, Last: k.Time, Events: records, Entities: []string{k.By, k.KeyID, k.Principal},
			Title:    fmt.Sprintf("A permanent key, %s, was made with %s", k.KeyID, k.By),
			Observed: fmt.Sprintf("%s made %s for %s; it was used for %s", k.By, k.KeyID, k.Principal, countOf(k.Events, "call")),
			Limits:   "the record does not show where the new key was taken to",
		})
	}
	return out, nil
}

// numbers are the integers that a query gives.
func (q *question) numbers(ctx context.Context, query string, args ...any) (all []int64, err error) {
	err = q.rows(ctx, query, args, func(r *sql.Rows) error {
		var n int64
		err := r.Scan(&n)
		all = append(all, n)
		return err
	})
	return all, err
}

// echoFindings are the pairs of addresses whose pings are none.
func (q *question) echoFindings(ctx context.Context) ([]evidence.Finding, error) {
	pairs, err := q.echoes(ctx)
	if err != nil {
		return nil, err
	}
	var out []evidence.Finding
	for _, p := range pairs {
		f := evidence.Finding{Rule: "icmp-" + p.Verdict, First: p.First, Last: p.Last, Entities: []string{p.Local, p.Peer}}
		switch p.Verdict {
		case "tunnel":
			f.Level, f.Title = "high", fmt.Sprintf("ICMP between %s and %s carries data, as a tunnel does", p.Local, p.Peer)
		case "unusual":
			f.Level, f.Title = "low", fmt.Sprintf("ICMP between %s and %s is no known ping", p.Local, p.Peer)
		default:
			continue
		}
		f.Observed = fmt.Sprintf("%d requests, %d replies, %d payload bytes, %.2f bits a byte: %s", p.Requests, p.Replies, p.PayloadBytes, p.Entropy, strings.Join(p.Reasons, "; "))
		f.Limits = "a capture shows that data was carried, not what it meant; frames that the mirror lost are not in it"
		for i, r := range p.Records {
			if i == shownRecords/2 {
				break
			}
			f.Events = append(f.Events, r.String())
		}
		out = append(out, f)
	}
	return out, nil
}

// echoFlows finds, in flow logs, ICMP with a public peer that is too much or
// too large for pings, where no capture tells more.
func (q *question) echoFlows(ctx context.Context) ([]evidence.Finding, error) {
	pairs, err := q.echoes(ctx)
	if err != nil {
		return nil, err
	}
	judged := map[string]bool{}
	for _, p := range pairs {
		judged[p.Peer], judged[p.Local] = true, true
	}
	peers, err := q.flowPeers(ctx, FlowQuery{Protocol: "icmp"})
	if err != nil {
		return nil, err
	}
	var out []evidence.Finding
	for _, p := range peers {
		a, err := netip.ParseAddr(p.Peer)
		if err != nil || !public(a) || judged[p.Peer] {
			continue
		}
		packets, bytes := p.PacketsIn+p.PacketsOut, p.BytesIn+p.BytesOut
		mean := int64(0)
		if packets > 0 {
			mean = bytes/packets - 28
		}
		lopsided := p.BytesOut > 3*p.BytesIn && p.BytesIn > 0 || p.BytesIn == 0 && p.BytesOut > 0
		if packets <= 20 || mean <= 128 && !lopsided {
			continue
		}
		out = append(out, evidence.Finding{
			Rule: "icmp-flow-size", Level: "medium", First: p.First, Last: p.Last, Entities: []string{p.Peer},
			Title:    fmt.Sprintf("More or larger ICMP with %s than pings need", p.Peer),
			Observed: fmt.Sprintf("%d packets out, %d in, %d bytes out, %d in, mean payload %d bytes", p.PacketsOut, p.PacketsIn, p.BytesOut, p.BytesIn, mean),
			Limits:   "flow logs hold no ICMP type, code or content: only a capture can tell a ping from a channel",
		})
	}
	return out, nil
}

// public says that an address is one of the Internet.
func public(a netip.Addr) bool {
	return a.IsGlobalUnicast() && !a.IsPrivate() && !netip.MustParsePrefix("100.64.0.0/10").Contains(a)
}

// conflicts finds event ids under which different records were delivered.
func (q *question) conflicts(ctx context.Context) ([]evidence.Finding, error) {
	ids, err := q.numbers(ctx, "SELECT id FROM events WHERE flags & 32 <> 0 ORDER BY eid, id LIMIT 200")
	if err != nil || len(ids) == 0 {
		return nil, err
	}
	events, err := q.eventsByID(ctx, ids)
	if err != nil {
		return nil, err
	}
	byID := map[string]*evidence.Finding{}
	var order []string
	for i := range events {
		e := &events[i]
		f := byID[e.EventID]
		if f == nil {
			f = &evidence.Finding{
				Rule: "event-id-reused", Level: "medium", First: e.Time, Last: e.Time, Entities: []string{e.EventID},
				Title:  fmt.Sprintf("Different records share the event id %s", e.EventID),
				Limits: "it may be an edited log, or an error of who copied it; the digest files tell which record is AWS's own",
			}
			byID[e.EventID], order = f, append(order, e.EventID)
		}
		f.Events = append(f.Events, e.Record.String())
		f.First, f.Last = minTime(f.First, e.Time), maxTime(f.Last, e.Time)
	}
	out := make([]evidence.Finding, 0, len(order))
	for _, id := range order {
		f := byID[id]
		f.Observed = fmt.Sprintf("%d records with this id differ in more than the order of their keys", len(f.Events))
		out = append(out, *f)
	}
	return out, nil
}

func minTime(a, b imaging.Time) imaging.Time {
	if b.Compare(a) < 0 {
		return b
	}
	return a
}

func maxTime(a, b imaging.Time) imaging.Time {
	if !a.Set || b.Set && b.Compare(a) > 0 {
		return b
	}
	return a
}
