package store

import (
	"cmp"
	"context"
	"errors"
	"slices"
)

// insertSides writes what few records have: issued keys, instances, created
// things, sessions; and the sums by who.
func (l *eventLoad) insertSides(ctx context.Context) error {
	return errors.Join(l.insertIssues(ctx), l.insertSessions(ctx), l.insertUses(ctx))
}

func (l *eventLoad) insertIssues(ctx context.Context) error {
	iss, err := newBulk(l.t, "issues", "event,x,ts,caller,issued,assumed,principal,session,service,permanent")
	if err != nil {
		return err
	}
	cre, err := newBulk(l.t, "created", "event,x,type,name")
	if err != nil {
		return err
	}
	ins, err := newBulk(l.t, "instances", "x,instance,region,attr,value")
	if err != nil {
		return err
	}
	shown := map[instanceFact]struct{}{}
	word := func(s string) int64 { return l.dict.id(s, colOther) }
	for wi, w := range l.workers {
		for _, s := range w.sides {
			id, kept := l.ids[rowRef{uint16(wi), s.row}] //nolint:gosec // few workers
			if !kept {
				continue // a copy
			}
			r := w.rows.at(int(s.row))
			for _, k := range s.issued {
				principal := k.ARN
				if principal == "" {
					principal = k.User
				}
				permanent := int64(0)
				if k.Permanent {
					permanent = 1
				}
				var ts any
				if r.timed {
					ts = r.ts
				}
				if err := iss.add(ctx, id, int64(l.x), ts, null(r.key), word(k.KeyID), null(word(k.Principal)), null(word(principal)), null(word(s.roleName)), null(word(s.service)), permanent); err != nil {
					return err
				}
			}
			for _, c := range s.created {
				if err := cre.add(ctx, id, int64(l.x), c.Type, l.dict.id(c.Name, colResourceName)); err != nil {
					return err
				}
			}
			for _, i := range s.instances {
				l.facts(shown, word, i.ID, int64(r.region), "private", i.PrivateIPs)
				l.facts(shown, word, i.ID, int64(r.region), "public", i.PublicIPs)
				l.facts(shown, word, i.ID, int64(r.region), "interface", i.Interfaces)
				if i.Launched {
					l.facts(shown, word, i.ID, int64(r.region), "launched", []string{i.ID})
				}
				l.facts(shown, word, i.ID, int64(r.region), "seen", []string{i.ID})
			}
		}
	}
	for _, f := range sorted(shown, func(a, b instanceFact) int {
		return cmp.Or(cmp.Compare(a.instance, b.instance), cmp.Compare(a.attr, b.attr), cmp.Compare(a.value, b.value), cmp.Compare(a.region, b.region))
	}) {
		if err := ins.add(ctx, int64(l.x), f.instance, f.region, f.attr, f.value); err != nil {
			return err
		}
	}
	return errors.Join(iss.end(ctx), cre.end(ctx), ins.end(ctx))
}

type instanceFact struct {
	instance, region int64
	attr             string
	value            int64
}

func (l *eventLoad) facts(shown map[instanceFact]struct{}, word func(string) int64, id string, region int64, attr string, values []string) {
	for _, v := range values {
		if id != "" && v != "" {
			shown[instanceFact{word(id), region, attr, word(v)}] = struct{}{}
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

// insertUses sums the events, copies apart, by key, principal and region.
func (l *eventLoad) insertUses(ctx context.Context) error {
	sums := map[useKey]*use{}
	for _, ref := range l.order {
		r := l.at(ref)
		k := useKey{r.key, r.arn, r.region, r.flags&flagService != 0}
		u := sums[k]
		if u == nil {
			u = &use{}
			sums[k] = u
		}
		u.n++
		if r.code != 0 || r.message != 0 {
			u.failed++
		}
		if r.timed {
			if !u.timed || r.ts < u.first {
				u.first = r.ts
			}
			if !u.timed || r.ts > u.last {
				u.last = r.ts
			}
			u.timed = true
		}
	}
	b, err := newBulk(l.t, "uses", "x,key,arn,region,service,n,failed,first,last")
	if err != nil {
		return err
	}
	for _, k := range sorted(sums, func(a, b useKey) int {
		return cmp.Or(cmp.Compare(a.key, b.key), cmp.Compare(a.arn, b.arn), cmp.Compare(a.region, b.region))
	}) {
		u := sums[k]
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
func (l *eventLoad) countRows(records, kept int) {
	l.stats.Records = int64(records)
	l.stats.Distinct = int64(kept)
	own := map[int64]struct{}{} // events of earlier exhibits that this one delivers too
	for _, id := range l.prior {
		own[id] = struct{}{}
	}
	l.stats.Distinct += int64(len(own))
	l.stats.Duplicates = l.stats.Records - l.stats.Distinct
	regions := map[uint32]struct{}{}
	for _, w := range l.workers {
		for i := range w.rows.n {
			r := w.rows.at(i)
			if r.region != 0 {
				regions[r.region] = struct{}{}
			}
			if !r.timed {
				continue
			}
			t := ofNano(r.ts)
			if exact, ok := w.beyond[uint32(i)]; ok { //nolint:gosec // rows of one exhibit in memory
				t = exact
			}
			l.stats.seen(t)
		}
	}
	words := l.dict.texts()
	for r := range regions {
		l.stats.Regions = append(l.stats.Regions, words[int64(r)])
	}
	slices.Sort(l.stats.Regions)
}
