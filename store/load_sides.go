package store

import (
	"cmp"
	"context"
	"database/sql/driver"
	"errors"
	"maps"
	"slices"
)

// eventSides writes what few records have: issued keys, created things, and
// what is seen of instances.
type eventSides struct {
	in              *eventInsert
	issues, created *bulk
	shown           map[instanceFact]struct{}
}

func newEventSides(in *eventInsert) (s *eventSides, err error) {
	s = &eventSides{in: in, shown: map[instanceFact]struct{}{}}
	if s.issues, err = newBulk(in.t, "issues", "event,x,ts,caller,issued,assumed,principal,session,service,permanent"); err != nil {
		return nil, err
	}
	s.created, err = newBulk(in.t, "created", "event,x,type,name")
	s.issues.line, s.created.line = in.on, in.on
	return s, err
}

func (s *eventSides) word(text string) int64 { return s.in.dict.id(text, colOther) }

// add writes the side of event id.
func (s *eventSides) add(id int64, ts driver.Value, words *eventWords, packed []byte) error {
	side, err := unpackSide(packed)
	if err != nil {
		return err
	}
	in := s.in
	for _, k := range side.issued {
		principal := k.ARN
		if principal == "" {
			principal = k.User
		}
		if err := s.issues.add(in.ctx, id, int64(in.x), ts, null(words[wordKey]), s.word(k.KeyID), null(s.word(k.Principal)), null(s.word(principal)), null(s.word(side.roleName)), null(s.word(side.service)), flag(k.Permanent)); err != nil {
			return err
		}
	}
	for _, c := range side.created {
		if err := s.created.add(in.ctx, id, int64(in.x), c.Type, in.dict.id(c.Name, colResourceName)); err != nil {
			return err
		}
	}
	region := int64(words[wordRegion])
	for _, i := range side.instances {
		s.facts(i.ID, region, "private", i.PrivateIPs)
		s.facts(i.ID, region, "public", i.PublicIPs)
		s.facts(i.ID, region, "interface", i.Interfaces)
		if i.Launched {
			s.facts(i.ID, region, "launched", []string{i.ID})
		}
		s.facts(i.ID, region, "seen", []string{i.ID})
	}
	return nil
}

// end writes what is left; the line has ended.
func (s *eventSides) end(ctx context.Context) error {
	if err := errors.Join(s.issues.end(ctx), s.created.end(ctx)); err != nil {
		return err
	}
	b, err := newBulk(s.in.t, "instances", "x,instance,region,attr,value")
	if err != nil {
		return err
	}
	for _, f := range sorted(s.shown, func(a, b instanceFact) int {
		return cmp.Or(cmp.Compare(a.instance, b.instance), cmp.Compare(a.attr, b.attr), cmp.Compare(a.value, b.value), cmp.Compare(a.region, b.region))
	}) {
		if err := b.add(ctx, int64(s.in.x), f.instance, f.region, f.attr, f.value); err != nil {
			return err
		}
	}
	return b.end(ctx)
}

// insertSums writes what is summed over all records: sessions, mentions, parts
// of names, and the uses by who.
func (l *eventLoad) insertSums(ctx context.Context) error {
	l.countRows()
	return errors.Join(l.insertSessions(ctx), l.insertUses(ctx))
}

type instanceFact struct {
	instance, region int64
	attr             string
	value            int64
}

func (s *eventSides) facts(id string, region int64, attr string, values []string) {
	for _, v := range values {
		if id != "" && v != "" {
			s.shown[instanceFact{s.word(id), region, attr, s.word(v)}] = struct{}{}
		}
	}
}

func sorted[K comparable, V any](m map[K]V, by func(a, b K) int) []K {
	keys := make([]K, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, by)
	return keys
}

func (l *eventLoad) insertSessions(ctx context.Context) error {
	ses, err := newBulk(l.t, "sessions", "x,key,pid,created")
	if err != nil {
		return err
	}
	men, err := newBulk(l.t, "mentions", "x,key,file,n,off")
	if err != nil {
		return err
	}
	all, first, parts := map[sessionKey]struct{}{}, map[uint32]mention{}, map[[2]uint32]struct{}{}
	for _, w := range l.workers {
		for k := range w.sessions {
			all[k] = struct{}{}
		}
		for k, m := range w.mentions {
			if o, ok := first[k]; !ok || m.file < o.file || m.file == o.file && m.n < o.n {
				first[k] = m
			}
		}
		for p := range w.parts {
			parts[p] = struct{}{}
		}
	}
	for _, k := range sorted(all, func(a, b sessionKey) int {
		return cmp.Or(cmp.Compare(a.key, b.key), cmp.Compare(a.pid, b.pid), cmp.Compare(a.created, b.created))
	}) {
		if err := ses.add(ctx, int64(l.x), int64(k.key), int64(k.pid), k.created); err != nil {
			return err
		}
	}
	for _, k := range sorted(first, cmp.Compare[uint32]) {
		m := first[k]
		if err := men.add(ctx, int64(l.x), int64(k), l.fileIDs[m.file], int64(m.n), m.off); err != nil {
			return err
		}
	}
	prt, err := newBulk(l.t, "name_parts", "part,name")
	if err != nil {
		return err
	}
	prt.head = "INSERT OR IGNORE" + prt.head[len("INSERT"):]
	if prt.many, err = prt.prepare(prt.rows); err != nil {
		return err
	}
	for _, p := range sorted(parts, func(a, b [2]uint32) int { return cmp.Or(cmp.Compare(a[0], b[0]), cmp.Compare(a[1], b[1])) }) {
		if err := prt.add(ctx, int64(p[0]), int64(p[1])); err != nil {
			return err
		}
	}
	return errors.Join(ses.end(ctx), men.end(ctx), prt.end(ctx))
}

type useKey struct {
	key, arn, region uint32
	service          bool
}

type use struct {
	n, failed   int64
	first, last int64
	timed       bool
}

// use adds an event to the sums by key, principal and region; copies do not
// count.
func (l *eventLoad) use(h *eventHead, words *eventWords, ts driver.Value) {
	k := useKey{words[wordKey], words[wordARN], words[wordRegion], h.flags&flagService != 0}
	u := l.uses[k]
	if u == nil {
		u = &use{}
		l.uses[k] = u
	}
	u.n++
	if words[wordCode] != 0 || words[wordMessage] != 0 {
		u.failed++
	}
	if ns, ok := ts.(int64); ok {
		if !u.timed || ns < u.first {
			u.first = ns
		}
		if !u.timed || ns > u.last {
			u.last = ns
		}
		u.timed = true
	}
}

func (l *eventLoad) insertUses(ctx context.Context) error {
	b, err := newBulk(l.t, "uses", "x,key,arn,region,service,n,failed,first,last")
	if err != nil {
		return err
	}
	for _, k := range sorted(l.uses, func(a, b useKey) int {
		return cmp.Or(cmp.Compare(a.key, b.key), cmp.Compare(a.arn, b.arn), cmp.Compare(a.region, b.region))
	}) {
		u := l.uses[k]
		var first, last any
		if u.timed {
			first, last = u.first, u.last
		}
		service := int64(0)
		if k.service {
			service = 1
		}
		if err := b.add(ctx, int64(l.x), null(k.key), null(k.arn), null(k.region), service, u.n, u.failed, first, last); err != nil {
			return err
		}
	}
	return b.end(ctx)
}

// countRows completes the exhibit's figures: records are distinct plus
// duplicates.
func (l *eventLoad) countRows() {
	regions := map[uint32]struct{}{}
	for _, w := range l.workers {
		l.stats.Records += w.rows
		l.stats.seen(w.seen.First)
		l.stats.seen(w.seen.Last)
		maps.Copy(regions, w.regions)
	}
	l.stats.Duplicates = l.stats.Records - l.stats.Distinct
	words := l.dict.texts()
	for r := range regions {
		l.stats.Regions = append(l.stats.Regions, words[int64(r)])
	}
	slices.Sort(l.stats.Regions)
}

// priorEvents adds to the events of earlier exhibits the copies that this one
// delivers, and counts those events. first is the first number of this one's.
func (l *eventLoad) priorEvents(ctx context.Context, first int64) (n int64, err error) {
	err = l.t.conn.QueryRowContext(ctx, "SELECT count(DISTINCT event) FROM copies WHERE x = ? AND event < ?", l.x, first).Scan(&n)
	if err != nil || n == 0 {
		return n, err
	}
	return n, l.t.exec(ctx, "UPDATE events SET copies = copies + k.n FROM (SELECT event, count(*) AS n FROM copies WHERE x = ? AND event < ? GROUP BY event) k WHERE events.id = k.event", l.x, first)
}
