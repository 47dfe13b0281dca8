package lvm

import (
	"cmp"
	"fmt"
	"slices"

	"snapcase/imaging"
)

// scan is what the sources hold, before it is put together.
type scan struct {
	pvs     []*physical
	texts   []*found
	work    int  // steps that may still be spent on ways back
	values  int  // of texts that may still be kept; the last maxValues are for texts in use
	full    bool // no room for older ones
	decoded map[[32]byte]text
}

// add reads one source.
func (s *scan) add(index int, src imaging.Source) error {
	v, err := open(index, src)
	if err != nil || v == nil {
		return err
	}
	s.pvs = append(s.pvs, v)
	for i, r := range v.areas {
		if slices.ContainsFunc(v.areas[:i], func(x region) bool { return x.start == r.start }) {
			v.note("the metadata area at byte %d is listed twice", r.start)
			continue
		}
		if err := s.area(v, r); err != nil {
			return err
		}
	}
	return nil
}

func (s *scan) physical(index int) *physical {
	for _, v := range s.pvs {
		if v.index == index {
			return v
		}
	}
	return nil
}

// groups puts together what the texts say.
func (s *scan) groups() []Group {
	var order []string
	texts := make(map[string][]*found)
	for _, f := range s.texts {
		if texts[f.meta.uuid] == nil {
			order = append(order, f.meta.uuid)
		}
		texts[f.meta.uuid] = append(texts[f.meta.uuid], f)
	}
	var all []Group
	taken := make(map[int]bool)
	for _, uuid := range order {
		for _, set := range s.copies(texts[uuid]) {
			if g, ok := s.group(texts[uuid], set); ok {
				all = append(all, g)
				for _, p := range g.PVs {
					taken[p.Source] = taken[p.Source] || p.Source >= 0 && !g.Former
				}
			}
		}
	}
	slices.SortStableFunc(all, func(a, b Group) int {
		if a.Former != b.Former {
			if a.Former {
				return 1
			}
			return -1
		}
		return cmp.Compare(a.Name, b.Name)
	})
	reuse(all)
	return s.groupless(all, taken)
}

// groupless adds the physical volumes that are in no group.
func (s *scan) groupless(all []Group, taken map[int]bool) []Group {
	var g Group
	for _, v := range s.pvs {
		if taken[v.index] {
			continue
		}
		g.PVs = append(g.PVs, PV{UUID: v.uuid, Source: v.index, Size: v.size})
		g.Notes = append(g.Notes, v.notes...)
	}
	if g.PVs == nil {
		return all
	}
	return append(all, g)
}

// copies tells apart the copies of a group when a physical volume was given
// more than once: snapshots of several days, or machines made of one image. A
// copy is the set of its sources: those that name the same text and, where such
// a set has a volume twice, the k-th of each. None is in two copies, so that no
// volume is made of two machines or two days that can be told apart.
func (s *scan) copies(texts []*found) []map[int]bool {
	members := make(map[string]bool)
	state := make(map[int]string) // by source: the text that it names
	homes := make(map[int]bool)
	for _, f := range texts {
		homes[f.source] = true
		if f.current && f.good && state[f.source] == "" {
			state[f.source] = fmt.Sprintf("%d %08x", f.meta.seqno, f.sum)
		}
		for _, p := range f.meta.pvs {
			members[p.uuid] = true
		}
	}
	all := make(map[int]bool)
	count := make(map[string]int)
	several := false
	for _, v := range s.pvs {
		known := v.uuid != "" && members[v.uuid]
		if known || homes[v.index] {
			all[v.index] = true
		}
		if known {
			count[v.uuid]++
			several = several || count[v.uuid] > 1
		}
	}
	if !several {
		return []map[int]bool{all}
	}
	return s.apart(all, members, state)
}

// apart makes the sets of sources of which some are copies of others. What
// names no text goes to the first set that lacks it.
func (s *scan) apart(all map[int]bool, members map[string]bool, state map[int]string) []map[int]bool {
	type set struct {
		sources map[int]bool
		uuids   map[string]bool
		state   string
	}
	var sets []set
	put := func(v *physical, fits func(*set) bool) {
		known := v.uuid != "" && members[v.uuid]
		i := slices.IndexFunc(sets, func(x set) bool { return fits(&x) && (!known || !x.uuids[v.uuid]) })
		if i < 0 {
			i = len(sets)
			sets = append(sets, set{make(map[int]bool), make(map[string]bool), state[v.index]})
		}
		sets[i].sources[v.index] = true
		if known {
			sets[i].uuids[v.uuid] = true
		}
	}
	for _, v := range s.pvs {
		if all[v.index] && state[v.index] != "" {
			put(v, func(x *set) bool { return x.state == state[v.index] })
		}
	}
	for _, v := range s.pvs {
		if all[v.index] && state[v.index] == "" {
			put(v, func(*set) bool { return true })
		}
	}
	out := make([]map[int]bool, len(sets))
	for i := range sets {
		out[i] = sets[i].sources
	}
	return out
}

// best is the text that counts: one that a header names before one that none
// does, one whose CRC holds before one whose does not, then the newest.
func best(texts []*found) *found {
	rank := func(f *found) int {
		switch {
		case f.current && f.good:
			return 3
		case f.current:
			return 2
		case f.whole:
			return 1
		}
		return 0
	}
	return slices.MaxFunc(texts, func(a, b *found) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(a.meta.seqno, b.meta.seqno))
	})
}

// group makes the group of one set of sources.
func (s *scan) group(texts []*found, set map[int]bool) (Group, bool) {
	var here []*found
	for _, f := range texts {
		if set[f.source] {
			here = append(here, f)
		}
	}
	if len(here) == 0 {
		return Group{}, false
	}
	use := best(here)
	m := use.meta
	g := Group{
		UUID: m.uuid, Name: m.name, Seqno: m.seqno, Former: !use.current, ExtentSize: max(m.extent, 0),
		Status: m.status, Written: m.written, Host: m.host,
	}
	if use.current && !use.good {
		g.note("no text of the group matches its checksum: that of seqno %d at byte %d of source %d is used as far as it reads", m.seqno, use.offset, use.source)
	}
	if g.Former {
		g.note("no metadata area names a text of this group now: it was removed, or its other members are not among the sources")
	}
	members := s.members(&g, m, here, set)
	build(&g, m, members, &s.work)
	s.doubles(&g, set)
	s.disagree(&g, here, use)
	for _, v := range s.pvs {
		if set[v.index] && (!g.Former || len(g.Notes) < 64) {
			g.Notes = append(g.Notes, v.notes...)
		}
	}
	s.history(&g, here, use, set)
	return g, true
}

func (g *Group) note(format string, args ...any) {
	if len(g.Notes) < 256 {
		g.Notes = append(g.Notes, fmt.Sprintf(format, args...))
	}
}

// members fills the PVs of the group and gives the source of each.
func (s *scan) members(g *Group, m *metadata, here []*found, set map[int]bool) []imaging.Source {
	g.PVs = make([]PV, len(m.pvs))
	used := make(map[int]bool)
	for i, p := range m.pvs {
		g.PVs[i] = PV{Name: p.name, UUID: p.uuid, Source: -1, Device: p.device, Start: max(p.start, 0), Extents: max(p.count, 0), Size: max(p.size, 0)}
		for _, v := range s.pvs {
			if set[v.index] && v.uuid != "" && v.uuid == p.uuid {
				g.PVs[i].Source = v.index
				used[v.index] = true
			}
		}
	}
	s.infer(g, here, used)
	sources := make([]imaging.Source, len(m.pvs))
	for i := range g.PVs {
		p := &g.PVs[i]
		if v := s.physical(p.Source); v == nil {
			p.damaged("partial: it is not among the sources")
		} else {
			sources[i] = v.src
			if v.src.Size() < p.Size {
				p.damaged("truncated: its last %d bytes lie past the end of the source", p.Size-v.src.Size())
			}
		}
		if m.pvs[i].start < 0 || m.pvs[i].count < 0 {
			p.damaged("range: the text does not say where its extents lie")
		}
		if m.pvs[i].missing {
			p.damaged("partial: it was missing when the group was last changed, so it may hold older bytes than the others")
		}
	}
	return sources
}

func (p *PV) damaged(format string, args ...any) {
	if p.Damage != "" {
		p.Damage += "; "
	}
	p.Damage += fmt.Sprintf(format, args...)
}

// infer matches a source that has no label, or a new one, with the one member
// of its size that no source is.
func (s *scan) infer(g *Group, here []*found, used map[int]bool) {
	homes := make(map[int]bool)
	for _, f := range here {
		homes[f.source] = !used[f.source]
	}
	twins := make(map[int64]int) // members without a source, by size
	for i := range g.PVs {
		if g.PVs[i].Source < 0 {
			twins[g.PVs[i].Size]++
		}
	}
	for i := range g.PVs {
		p := &g.PVs[i]
		if p.Source >= 0 || p.Size == 0 || twins[p.Size] != 1 {
			continue
		}
		var fit []*physical
		for _, v := range s.pvs {
			if homes[v.index] && (v.size == p.Size || v.size == 0 && v.src.Size() == p.Size) {
				fit = append(fit, v)
			}
		}
		if len(fit) == 1 {
			p.Source = fit[0].index
			homes[fit[0].index] = false
			p.damaged("partial: its label is gone or replaced; source %d was taken for it because of its size and the texts on it", p.Source)
		}
	}
}

// doubles notes what was given more than once.
func (s *scan) doubles(g *Group, set map[int]bool) {
	for _, p := range g.PVs {
		for _, v := range s.pvs {
			switch {
			case v.uuid == "" || v.uuid != p.UUID || set[v.index]:
			case p.Source >= 0:
				g.note("%s is source %d here and source %d too: copies of one volume, each in a group of its own; where both name the same text they are told apart by their order only", p.Name, p.Source, v.index)
			default:
				g.note("%s is not read from source %d, which belongs with another copy of the group: of another time, or of another machine that was made of the same image", p.Name, v.index)
			}
		}
	}
}

// disagree notes where members or areas name other texts than the one used.
func (s *scan) disagree(g *Group, here []*found, use *found) {
	for _, f := range here {
		switch {
		case f == use || !f.current:
		case f.meta.seqno != use.meta.seqno:
			g.note("source %d names seqno %d at byte %d, seqno %d is used: it missed changes, or is of another time", f.source, f.meta.seqno, f.offset, use.meta.seqno)
		case f.sum != use.sum && f.good && use.good:
			g.note("source %d names another text of the same seqno %d at byte %d", f.source, f.meta.seqno, f.offset)
		}
	}
}
