package lvm

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"snapcase/imaging"
)

const (
	maxNested = 8       // volumes on volumes
	maxWork   = 1 << 24 // steps for the ways back, of all groups
	maxGaps   = 1 << 12 // listed of one volume
)

// builder makes the volumes of a group from a text.
type builder struct {
	g       *Group
	m       *metadata
	sources []imaging.Source
	pvs     map[string]int
	lvs     map[string]int
	state   []buildState
	work    *int
	cows    map[string]string // volume that holds the changes of a snapshot → why it is not read
	merging map[string]string // origin → snapshot that is merged into it
}

type buildState uint8

const (
	untouched buildState = iota
	underway
	built
)

// build fills the LVs of g.
func build(g *Group, m *metadata, sources []imaging.Source, work *int) {
	b := &builder{
		g: g, m: m, sources: sources, pvs: map[string]int{}, lvs: map[string]int{}, state: make([]buildState, len(m.lvs)),
		work: work, cows: map[string]string{}, merging: map[string]string{},
	}
	for i, p := range m.pvs {
		b.pvs[p.name] = i
	}
	for i, l := range m.lvs {
		b.lvs[l.name] = i
	}
	b.snapshots()
	g.LVs = make([]LV, len(m.lvs))
	for i := range g.LVs {
		b.volume(i, 0)
	}
	b.overlaps()
}

// snapshots finds which volumes are the store of one: they look like others.
func (b *builder) snapshots() {
	for _, l := range b.m.lvs {
		for _, s := range l.segments {
			if s.kind != "snapshot" {
				continue
			}
			origin := s.s.text("origin")
			if cow := s.s.text("cow_store"); cow != "" {
				b.cows[cow] = fmt.Sprintf("it is a snapshot of %s, kept as changed blocks: snapshots are not read", origin)
			}
			if cow := s.s.text("merging_store"); cow != "" {
				b.cows[cow] = fmt.Sprintf("it is a snapshot that is being merged into %s: snapshots are not read", origin)
				b.merging[origin] = cow
			}
		}
	}
}

// volume makes volume i once.
func (b *builder) volume(i, depth int) *LV {
	v, t := &b.g.LVs[i], &b.m.lvs[i]
	if b.state[i] != untouched {
		return v
	}
	b.state[i] = underway
	*v = LV{Name: t.name, UUID: t.uuid, Status: t.status, Created: t.created, Host: t.host, Seqno: b.m.seqno, Visible: slices.Contains(t.status, "VISIBLE")}
	p := &plan{}
	slices.SortStableFunc(t.segments, func(x, y segmentText) int { return cmp.Compare(x.start, y.start) })
	for k := range t.segments {
		b.segment(v, p, &t.segments[k], depth)
	}
	v.Size = p.size
	if t.expected >= 0 && t.expected != int64(len(t.segments)) {
		v.damaged("partial: the text has %d of its %d segments", len(t.segments), t.expected)
	}
	if why := b.cows[t.name]; why != "" {
		v.Reason = why
	}
	if cow := b.merging[t.name]; cow != "" {
		v.damaged("partial: snapshot %s is being merged into it, what is not merged yet is missing here", cow)
	}
	if slices.Contains(t.status, "NOTSYNCED") || slices.Contains(t.status, "LV_NOTSYNCED") {
		v.damaged("partial: the legs were never brought into step")
	}
	b.finish(v, p)
	b.state[i] = built
	return v
}

// finish sets source, gaps and the way back.
func (b *builder) finish(v *LV, p *plan) {
	if v.Reason == "" && len(v.Segments) == 0 {
		v.Reason = "the text has no segment of it"
	}
	if v.Reason != "" {
		v.Gaps = nil
		if len(v.Segments) > 0 {
			v.Kind = v.Segments[0].Type
		}
		if b.cows[v.Name] != "" {
			v.Kind = "snapshot"
		}
		return
	}
	for _, g := range v.Gaps {
		p.missing += g.Size / int64(g.Stripes)
	}
	p.gaps = v.Gaps
	if !p.index(b.work) {
		v.damaged("range: it has too many areas: not every byte can be traced back")
	}
	v.plan, v.Source = p, p
	for i, g := range v.Gaps {
		if i == 16 {
			v.damaged("partial: %d more gaps", len(v.Gaps)-i)
			break
		}
		if g.Stripes > 1 {
			v.damaged("partial: of bytes %d to %d each %d of %d stripes of %d bytes reads as zeros: %s", g.Start, g.Start+g.Size-1, g.Stripe+1, g.Stripes, g.StripeSize, g.What)
		} else {
			v.damaged("partial: bytes %d to %d read as zeros: %s", g.Start, g.Start+g.Size-1, g.What)
		}
	}
}

func (v *LV) gap(g Gap) {
	if len(v.Gaps) < maxGaps && g.Size > 0 {
		v.Gaps = append(v.Gaps, g)
	}
}

// segment adds one segment to the plan.
func (b *builder) segment(v *LV, p *plan, t *segmentText, depth int) {
	start, ok1 := mul(t.start, b.g.ExtentSize)
	size, ok2 := mul(t.count, b.g.ExtentSize)
	if !ok1 || !ok2 || size == 0 || start > 1<<62-size {
		v.damaged("range: segment of %d extents from extent %d of %d bytes", t.count, t.start, b.g.ExtentSize)
		return
	}
	switch {
	case start > p.size:
		v.gap(Gap{Start: p.size, Size: start - p.size, Stripes: 1, What: "no segment describes them"})
	case start < p.size:
		v.damaged("overlap: the segment from byte %d overlaps the one before, which ends at %d: it is left out", start, p.size)
		return
	}
	s := Segment{Start: start, Size: size, Type: t.kind}
	q := part{start: start, size: size}
	kind, _, _ := strings.Cut(t.kind, "+")
	switch kind {
	case "striped", "linear":
		b.stripes(v, &s, &q, t, pairs(t.s, "stripes"), depth)
	case "raid0", "raid0_meta":
		b.stripes(v, &s, &q, t, names(t.s.words("raid0_lvs")), depth)
	case "mirror":
		b.mirror(v, &s, &q, pairs(t.s, "mirrors"), nil, depth)
	case "raid1":
		b.raid1(v, &s, &q, t, depth)
	case "zero":
		q.legs = []leg{{source: -1, size: size}}
	case "error":
		q.legs = []leg{{source: -1, size: size}}
		v.gap(Gap{Start: start, Size: size, Stripes: 1, What: "the group says that they cannot be read"})
	default:
		v.unread(kind, t.s)
	}
	v.Segments = append(v.Segments, s)
	p.size = start + size
	if v.Reason == "" && len(q.legs) > 0 {
		p.parts = append(p.parts, q)
	}
}

// unread says why a type has no source.
func (v *LV) unread(kind string, s *section) {
	why := "it is not known"
	switch kind {
	case "thin-pool":
		why = "a pool holds the blocks of thin volumes in no order of its own"
	case "thin":
		why = fmt.Sprintf("the map of its blocks in pool %s is not read", s.text("thin_pool"))
	case "cache", "cache-pool", "writecache":
		why = "what the cache holds and has not written back is not read"
		if o := s.text("origin"); o != "" {
			why += fmt.Sprintf("; %s is the volume below it, as it lies on disk", o)
		}
	case "snapshot":
		why = "snapshots kept as changed blocks are not read"
	case "raid4", "raid5", "raid6", "raid10":
		why = "parity and striped mirrors are not read"
	case "vdo", "vdo-pool":
		why = "deduplicated blocks are not read"
	case "integrity":
		why = "its data lies interleaved with, or behind, a journal that is not read"
	}
	if strings.HasPrefix(kind, "raid") && why == "it is not known" {
		why = "parity and striped mirrors are not read"
	}
	if v.Reason == "" {
		v.Reason = fmt.Sprintf("segment type %s: %s", kind, why)
	}
}

// areaText is the name and the offset in extents of an area.
type areaText struct {
	name string
	off  int64
}

// pairs reads ["pv0", 7, "pv1", 0]; nil when it is not of that form.
func pairs(s *section, key string) []areaText {
	list := s.values[key]
	if len(list)%2 != 0 {
		return nil
	}
	var all []areaText
	for i := 0; i < len(list); i += 2 {
		if list[i].number || !list[i+1].number {
			return nil
		}
		all = append(all, areaText{list[i].text, list[i+1].num})
	}
	return all
}

func names(list []string) []areaText {
	var all []areaText
	for _, n := range list {
		all = append(all, areaText{name: n})
	}
	return all
}

// stripes makes a part of one or more legs that take turns.
func (b *builder) stripes(v *LV, s *Segment, q *part, t *segmentText, areas []areaText, depth int) {
	n := int64(len(areas))
	count := t.s.num("stripe_count")
	if n == 0 || count >= 0 && count != n || t.count%n != 0 {
		v.Reason = fmt.Sprintf("range: the segment from byte %d has %d extents and names %d areas for %d stripes", s.Start, t.count, n, count)
		return
	}
	size := s.Size / n
	if n > 1 {
		chunk, ok := mul(t.s.num("stripe_size"), sectorSize)
		if !ok || chunk == 0 || size%chunk != 0 {
			v.Reason = fmt.Sprintf("range: the segment from byte %d has stripes of %d sectors", s.Start, t.s.num("stripe_size"))
			return
		}
		q.chunk, s.StripeSize = chunk, chunk
	}
	for i, a := range areas {
		l, what := b.leg(v, s, a, size, depth)
		if v.Reason != "" {
			return
		}
		q.legs = append(q.legs, l)
		if missing := l.missing(); missing > 0 {
			v.legGap(s, q, &l, i, int(n), missing, what)
		}
	}
}

// legGap lists what a leg lacks: its end, unless volumes below have gaps.
func (v *LV) legGap(s *Segment, q *part, l *leg, i, n int, missing int64, what string) {
	from := l.size - min(missing, l.size)
	if l.sub != nil && l.sub.missing > 0 {
		if n == 1 {
			v.gapsBelow(s, l, what)
			return
		}
		from, what = 0, what+" has gaps"
	}
	if n > 1 {
		from = from / q.chunk * q.chunk * int64(n)
	}
	v.gap(Gap{Start: s.Start + from, Size: s.Size - from, Stripe: i, Stripes: n, StripeSize: s.StripeSize, What: what})
}

// gapsBelow lists the gaps of the volume that a leg lies in.
func (v *LV) gapsBelow(s *Segment, l *leg, name string) {
	for _, g := range l.sub.gaps {
		from, to := max(g.Start, l.base), min(g.Start+g.Size, l.base+l.size)
		if from < to {
			g.Start, g.Size, g.What = s.Start+from-l.base, to-from, name+": "+g.What
			v.gap(g)
		}
	}
	if end := l.base + l.size - l.sub.size; end > 0 {
		end = min(end, l.size)
		v.gap(Gap{Start: s.Start + l.size - end, Size: end, Stripes: 1, What: name + " ends before them"})
	}
}

// leg finds an area and says what is to be said when bytes of it are missing.
func (b *builder) leg(v *LV, s *Segment, a areaText, size int64, depth int) (l leg, what string) {
	at, ok := mul(a.off, b.g.ExtentSize)
	l = leg{source: -1, size: size}
	if !ok || at > 1<<62-size {
		v.Reason = fmt.Sprintf("range: an area of %s begins at extent %d", a.name, a.off)
		return l, ""
	}
	if i, ok := b.pvs[a.name]; ok {
		p := &b.g.PVs[i]
		s.Areas = append(s.Areas, Area{Name: a.name, PV: i, Start: p.Start + at, Size: size})
		l.src, l.source, l.base = b.sources[i], p.Source, p.Start+at
		if p.Start > 1<<62-at-size {
			l.src, l.base = nil, 0
		}
		if end, ok := mul(p.Extents, b.g.ExtentSize); ok && end > 0 && at+size > end {
			v.damaged("range: it takes extents up to %d of %s, which has %d", (at+size)/b.g.ExtentSize, p.Name, p.Extents)
		}
		if b.m.pvs[i].missing {
			v.damaged("partial: %s was missing when the group was last changed, so its bytes may be older", p.Name)
		}
		if l.src == nil {
			return l, p.Name + " is not among the sources"
		}
		return l, p.Name + " ends before them"
	}
	i, ok := b.lvs[a.name]
	switch {
	case !ok:
		v.Reason = fmt.Sprintf("range: it lies on %q, which the text does not describe", a.name)
		return l, ""
	case b.state[i] == underway:
		v.Reason = fmt.Sprintf("loop: it lies on %q, which lies on it", a.name)
		return l, ""
	case depth >= maxNested:
		v.Reason = fmt.Sprintf("loop: more than %d volumes lie on one another", maxNested)
		return l, ""
	}
	s.Areas = append(s.Areas, Area{Name: a.name, PV: -1, Start: at, Size: size})
	below := b.volume(i, depth+1)
	if below.plan == nil {
		v.Reason = fmt.Sprintf("it lies on %s, which is not read: %s", a.name, below.Reason)
		return l, ""
	}
	l.sub, l.base = below.plan, at
	return l, a.name
}

// overlaps notes volumes that claim the same extents.
func (b *builder) overlaps() {
	type use struct {
		claim
		lv int
	}
	var all []use
	for i := range b.g.LVs {
		for _, s := range b.g.LVs[i].Segments {
			for _, a := range s.Areas {
				if a.PV >= 0 {
					all = append(all, use{claim{source: a.PV, start: a.Start, end: a.Start + a.Size}, i})
				}
			}
		}
	}
	slices.SortFunc(all, func(x, y use) int {
		return cmp.Or(cmp.Compare(x.source, y.source), cmp.Compare(x.start, y.start))
	})
	far := -1
	for i, u := range all {
		if far >= 0 && all[far].source == u.source && u.start < all[far].end {
			for _, v := range []*LV{&b.g.LVs[u.lv], &b.g.LVs[all[far].lv]} {
				v.damaged("overlap: %s and %s both lie at byte %d of %s", b.g.LVs[all[far].lv].Name, b.g.LVs[u.lv].Name, u.start, b.g.PVs[u.source].Name)
			}
		}
		if far < 0 || all[far].source != u.source || u.end > all[far].end {
			far = i
		}
	}
}
