package lvm

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"snapcase/imaging"
)

// history lists the older texts and what is gone since.
func (s *scan) history(g *Group, here []*found, use *found, set map[int]bool) {
	type key struct {
		seqno uint64
		whole bool
		at    int64
		times imaging.Time
	}
	seen := map[key]bool{}
	slices.SortStableFunc(here, func(a, b *found) int {
		if a.whole != b.whole { // whole ones first, then newest first
			if a.whole {
				return -1
			}
			return 1
		}
		return cmp.Compare(b.meta.seqno, a.meta.seqno)
	})
	known := make(map[string]bool)
	for _, l := range use.meta.lvs {
		known[l.uuid] = true
	}
	for _, f := range here {
		m := f.meta
		k := key{seqno: m.seqno, whole: f.whole, times: m.written}
		if !f.whole {
			k.at = f.offset
		}
		if f == use || m.seqno == use.meta.seqno && m.written == use.meta.written || seen[k] {
			continue
		}
		seen[k] = true
		if m.seqno > use.meta.seqno {
			g.note("a text of seqno %d, newer than the one in use, stands at byte %d of source %d: it was not committed, or an older state was put back", m.seqno, f.offset, f.source)
		}
		g.History = append(g.History, version(f))
		s.gone(g, f, here, known, set)
	}
	slices.SortStableFunc(g.History, func(a, b Version) int { return cmp.Compare(b.Seqno, a.Seqno) })
	slices.SortStableFunc(g.Gone, func(a, b LV) int { return cmp.Compare(b.Seqno, a.Seqno) })
}

func version(f *found) Version {
	m := f.meta
	v := Version{
		Seqno: m.seqno, Name: m.name, Written: m.written, Host: m.host, Command: m.command,
		Whole: f.whole, Source: f.source, Offset: f.offset,
	}
	for _, l := range m.lvs {
		v.LVs = append(v.LVs, l.name)
	}
	return v
}

// gone adds the volumes of an older text that are not known yet.
func (s *scan) gone(g *Group, f *found, here []*found, known map[string]bool, set map[int]bool) {
	fresh := false
	for _, l := range f.meta.lvs {
		fresh = fresh || !known[l.uuid]
	}
	if !fresh {
		return
	}
	old := Group{ExtentSize: max(f.meta.extent, 0)}
	build(&old, f.meta, s.members(&old, f.meta, here, set), &s.work)
	for _, l := range old.LVs {
		if known[l.UUID] {
			continue
		}
		known[l.UUID] = true
		if !f.whole {
			l.damaged("partial: the text that names it is overwritten in part")
		}
		g.Gone = append(g.Gone, l)
	}
}

// taken is a run of a source that a volume of a current group has.
type taken struct {
	claim
	name string
}

// reuse says of what is gone which volumes have its bytes now.
func reuse(all []Group) {
	var live []taken
	for i := range all {
		if all[i].Former {
			continue
		}
		for k := range all[i].LVs {
			v := &all[i].LVs[k]
			for _, s := range v.Segments {
				for _, a := range s.Areas {
					if a.PV >= 0 && all[i].PVs[a.PV].Source >= 0 {
						c := claim{source: all[i].PVs[a.PV].Source, start: a.Start, end: a.Start + a.Size}
						live = append(live, taken{c, all[i].Name + "/" + v.Name})
					}
				}
			}
		}
	}
	slices.SortFunc(live, func(a, b taken) int {
		return cmp.Or(cmp.Compare(a.source, b.source), cmp.Compare(a.end, b.end))
	})
	for i := range all {
		if all[i].Former {
			for k := range all[i].LVs {
				all[i].LVs[k].reused(live)
			}
		}
		for k := range all[i].Gone {
			all[i].Gone[k].reused(live)
		}
	}
}

// reused counts what live volumes have of the bytes of v.
func (v *LV) reused(live []taken) {
	const most = 1 << 12 // runs that are looked at
	if v.plan == nil {
		return
	}
	var total int64
	var names []string
	steps := 0
	for _, c := range v.plan.claims {
		i, _ := slices.BinarySearchFunc(live, c, func(u taken, c claim) int {
			return cmp.Or(cmp.Compare(u.source, c.source), cmp.Compare(u.end, c.start+1))
		})
		for ; i < len(live) && live[i].source == c.source && live[i].start < c.end && steps < most; i++ {
			steps++
			total += min(c.end, live[i].end) - max(c.start, live[i].start)
			if len(names) < 8 && !slices.Contains(names, live[i].name) {
				names = append(names, live[i].name)
			}
		}
	}
	switch {
	case total > 0 && steps < most:
		v.damaged("reallocated: %d of its bytes lie where now is %s", total, strings.Join(names, ", "))
	case total > 0:
		v.damaged("reallocated: at least %d of its bytes lie where now is %s and others", total, strings.Join(names, ", "))
	}
}

func (v *LV) damaged(format string, args ...any) {
	const most = 1000
	switch s := fmt.Sprintf(format, args...); {
	case v.Damage == "":
		v.Damage = s
	case len(v.Damage) < most:
		v.Damage += "; " + s
	case !strings.HasSuffix(v.Damage, " …"):
		v.Damage += " …"
	}
}
