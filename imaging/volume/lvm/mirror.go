package lvm

import (
	"fmt"
	"math"
)

// raidRecord is what the first bytes of a raid metadata volume say of one leg.
type raidRecord struct {
	ok       bool
	events   uint64
	failed   uint64 // a bit for each leg
	recovery uint64 // sectors up to which the leg is up to date; all ones: wholly
	resync   uint64 // sectors up to which the legs are in step; all ones: wholly
}

// record reads it: magic, features, count, position (4 bytes each), then
// events, failed legs, recovery and resync (8 bytes each).
func (b *builder) record(name string, depth int) (r raidRecord) {
	i, ok := b.lvs[name]
	if !ok || b.state[i] == underway || depth >= maxNested {
		return r
	}
	v := b.volume(i, depth+1)
	if v.plan == nil || v.plan.missing > 0 {
		return r
	}
	var p [48]byte
	if n, err := v.plan.ReadAt(p[:], 0); n < len(p) || err != nil || string(p[:4]) != "DmRd" {
		return r
	}
	return raidRecord{true, le.Uint64(p[16:]), le.Uint64(p[24:]), le.Uint64(p[32:]), le.Uint64(p[40:])}
}

// raid1 chooses a leg by the records beside the legs.
func (b *builder) raid1(v *LV, s *Segment, q *part, t *segmentText, depth int) {
	list := t.s.words("raids")
	if len(list) == 0 || len(list)%2 != 0 {
		v.Reason = fmt.Sprintf("range: the segment from byte %d names %d volumes for its legs", s.Start, len(list))
		return
	}
	var legs []areaText
	var records []raidRecord
	for i := 0; i < len(list); i += 2 {
		records = append(records, b.record(list[i], depth))
		legs = append(legs, areaText{name: list[i+1]})
	}
	b.mirror(v, s, q, legs, stale(v, records, s.Size), depth)
}

// stale says which legs their records call out of date.
func stale(v *LV, records []raidRecord, size int64) []bool {
	var newest raidRecord
	for _, r := range records {
		if r.ok && (!newest.ok || r.events > newest.events) {
			newest = r
		}
	}
	old := make([]bool, len(records))
	if !newest.ok {
		v.damaged("partial: no leg has a record of its state, the first whole one is read")
		return old
	}
	behind := func(sectors uint64) bool { return sectors != math.MaxUint64 && sectors < uint64(size)/sectorSize }
	for i, r := range records {
		old[i] = !r.ok || i < 64 && newest.failed>>i&1 != 0 || r.events+1 < newest.events || behind(r.recovery)
	}
	if behind(newest.resync) {
		v.damaged("partial: the legs were in step up to byte %d only, one is read", newest.resync*sectorSize)
	}
	return old
}

// mirror reads one leg: of those that are not old the one that lacks least.
func (b *builder) mirror(v *LV, s *Segment, q *part, areas []areaText, old []bool, depth int) {
	if len(areas) == 0 {
		v.Reason = fmt.Sprintf("range: the segment from byte %d names no leg", s.Start)
		return
	}
	var legs []leg
	var whats []string
	why := ""
	use := -1
	for i, a := range areas {
		l, what := b.leg(v, s, a, s.Size, depth)
		if v.Reason != "" {
			why, v.Reason = v.Reason, ""
			l.size, l.src, l.sub = 0, nil, nil // not a leg that can be read
		}
		legs, whats = append(legs, l), append(whats, what)
		if l.size == 0 {
			continue
		}
		worse := func(i int) bool { return old != nil && old[i] }
		if use < 0 || worse(use) && !worse(i) || worse(use) == worse(i) && l.missing() < legs[use].missing() {
			use = i
		}
	}
	if use < 0 {
		v.Reason = why
		return
	}
	if old != nil && old[use] {
		v.damaged("partial: %s is read, and its record says that it is not up to date", areas[use].name)
	}
	q.legs = []leg{legs[use]}
	for i, l := range legs {
		if i != use && l.size > 0 {
			q.copies = append(q.copies, l)
		}
	}
	if missing := legs[use].missing(); missing > 0 {
		v.legGap(s, q, &legs[use], 0, 1, missing, whats[use])
	}
}
