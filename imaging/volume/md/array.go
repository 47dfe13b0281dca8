package md

import (
	"fmt"
	"slices"
	"strings"
)

// maxDevices bounds the members of an array: the kernel's own limit.
const maxDevices = 2048

// assemble puts superblocks of one array together.
func assemble(all []*super) []Array {
	type key struct{ uuid, version string }
	var order []key
	sets := make(map[key][]*super)
	for _, s := range all {
		k := key{s.uuid, s.version}
		if sets[k] == nil {
			order = append(order, k)
		}
		sets[k] = append(sets[k], s)
	}
	var arrays []Array
	for _, k := range order {
		all := copies(sets[k])
		for _, set := range all {
			a := array(set)
			if len(all) > 1 {
				a.State = append(slices.Clone(a.State), fmt.Sprintf("members were given more than once: this is one of %d copies, told apart by the order of the sources only", len(all)))
			}
			arrays = append(arrays, a)
		}
	}
	return arrays
}

// copies tells apart members that were given several times: copy k has the
// k-th of each place, and none where there are fewer: what is missing from a
// copy is not taken from another.
func copies(set []*super) [][]*super {
	places := make(map[string][]*super)
	var names []string
	n := 1
	for _, s := range set {
		name := fmt.Sprintf("%s %d", s.device, s.role)
		if s.role < 0 {
			name = fmt.Sprintf("source %d", s.source)
		}
		if places[name] == nil {
			names = append(names, name)
		}
		places[name] = append(places[name], s)
		n = max(n, len(places[name]))
	}
	all := make([][]*super, n)
	for k := range all {
		for _, name := range names {
			if p := places[name]; k < len(p) {
				all[k] = append(all[k], p[k])
			}
		}
	}
	return all
}

// array makes one array of its superblocks.
func array(set []*super) Array {
	newest := slices.MaxFunc(set, func(a, b *super) int {
		switch {
		case (a.damage == "") != (b.damage == ""):
			if a.damage == "" {
				return 1
			}
			return -1
		case a.events < b.events:
			return -1
		case a.events > b.events:
			return 1
		}
		return 0
	})
	a := Array{
		UUID: newest.uuid, Name: newest.name, Version: newest.version, Level: levelName(newest.level), Devices: newest.devices, Chunk: newest.chunk,
		State: newest.notes,
	}
	place := make(map[int]*super)
	for _, s := range set {
		m := Member{
			Source: s.source, UUID: s.device, Role: s.role, State: s.state, At: s.at, Start: s.start, Size: s.size,
			Events: s.events, Updated: s.updated, Damage: s.damage,
		}
		if newest.level > 0 && s.role >= 0 && s.events+1 < newest.events {
			m.State = "stale"
		}
		a.Members = append(a.Members, m)
		usable := m.State == "active" || newest.level <= 0 && s.role >= 0
		switch {
		case s.role < 0 || !usable:
		case place[s.role] != nil:
			a.State = append(a.State, fmt.Sprintf("sources %d and %d both are member %d: the first is used", place[s.role].source, s.source, s.role))
		default:
			place[s.role] = s
		}
	}
	if newest.resync >= 0 && newest.level > 0 {
		a.damaged("partial: the members were in step up to byte %d only", newest.resync)
	}
	a.read(newest, place)
	return a
}

func (a *Array) damaged(format string, args ...any) {
	const most = 1000
	s := fmt.Sprintf(format, args...)
	switch {
	case a.Damage == "":
		a.Damage = s
	case len(a.Damage) < most:
		a.Damage += "; " + s
	case !strings.HasSuffix(a.Damage, " …"):
		a.Damage += " …"
	}
}

// read chooses how the array is read, or says why it is not.
func (a *Array) read(s *super, place map[int]*super) {
	switch {
	case s.reshape:
		a.Reason = "it is being reshaped: a part lies in the old way, a part in the new"
	case s.devices <= 0 || s.devices > maxDevices:
		a.Reason = fmt.Sprintf("range: it has %d members", s.devices)
	case s.level == 1 && s.used == 0:
		a.Reason = "range: its members have 0 bytes"
	case s.level == 1:
		a.mirror(s, place)
	case s.level == 0:
		a.striped(s, place)
	case s.level == -1:
		a.linear(s, place)
	case s.level == 4 || s.level == 5 || s.level == 6 || s.level == 10:
		a.inTurns(s, place)
	default:
		a.Reason = a.Level + " is not read"
	}
	if a.Reason == "" {
		a.Source, a.Size = a.layout, a.layout.size
	}
}

// mirror reads the first member in step.
func (a *Array) mirror(s *super, place map[int]*super) {
	l := &layout{size: s.used}
	for i := range s.devices {
		if m := place[i]; m != nil {
			l.legs = append(l.legs, leg{m.src, m.source, m.start, s.used})
		}
	}
	if len(l.legs) == 0 {
		a.Reason = "no member that is in step is among the sources"
		return
	}
	l.mirror = true
	slices.SortStableFunc(l.legs, func(x, y leg) int { return int(min(1, max(-1, x.missing()-y.missing()))) })
	a.layout = l
	if n := l.legs[0].missing(); n > 0 {
		a.gap(Gap{Start: s.used - n, Size: n, Devices: 1, What: fmt.Sprintf("source %d ends before them", l.legs[0].source)})
	}
}

func (a *Array) gap(g Gap) {
	a.Gaps = append(a.Gaps, g)
	if g.Devices > 1 {
		a.damaged("partial: of bytes %d to %d each %d of %d chunks reads as zeros: %s", g.Start, g.Start+g.Size-1, g.Device+1, g.Devices, g.What)
	} else {
		a.damaged("partial: bytes %d to %d read as zeros: %s", g.Start, g.Start+g.Size-1, g.What)
	}
}

// striped reads members of one size in turns.
func (a *Array) striped(s *super, place map[int]*super) {
	if s.chunk <= 0 || s.chunk%sector != 0 {
		a.Reason = fmt.Sprintf("range: chunks of %d bytes", s.chunk)
		return
	}
	size := int64(-1)
	for i := range s.devices {
		m := place[i]
		if m == nil {
			continue
		}
		n := m.length() / s.chunk * s.chunk
		if size >= 0 && size != n {
			a.Reason = "raid0 of members of several sizes is not read"
			return
		}
		size = n
	}
	if size < 0 || size > maxSectors*sector/int64(s.devices) {
		a.Reason = "no member is among the sources"
		return
	}
	if len(place) < s.devices {
		a.State = append(a.State, "members are missing: that they have the size of the others was taken for granted")
	}
	l := &layout{size: size * int64(s.devices), chunk: s.chunk}
	for i := range s.devices {
		g := leg{source: -1, size: size}
		what := fmt.Sprintf("member %d is not among the sources", i)
		if m := place[i]; m != nil {
			g.src, g.source, g.start = m.src, m.source, m.start
			what = fmt.Sprintf("source %d ends before them", m.source)
		}
		if n := g.missing(); n > 0 {
			from := (size - n) / s.chunk * s.chunk * int64(s.devices)
			a.gap(Gap{Start: from, Size: l.size - from, Device: i, Devices: s.devices, What: what})
		}
		l.legs = append(l.legs, g)
	}
	a.layout = l
}

// linear reads members one after another. Where one that is not the last is
// missing, what follows it has no place.
func (a *Array) linear(s *super, place map[int]*super) {
	l := &layout{}
	for i := range s.devices {
		m := place[i]
		if m == nil {
			if i == 0 {
				a.Reason = "member 0 is not among the sources, so the places of those behind it are not known"
				return
			}
			a.damaged("partial: member %d and what follows it are missing from byte %d on", i, l.size)
			break
		}
		n := m.length()
		if s.chunk > 0 {
			n = n / s.chunk * s.chunk
		}
		g := leg{m.src, m.source, m.start, n}
		if k := g.missing(); k > 0 {
			a.gap(Gap{Start: l.size + n - k, Size: k, Devices: 1, What: fmt.Sprintf("source %d ends before them", m.source)})
		}
		l.legs = append(l.legs, g)
		l.size += n
	}
	a.layout = l
}

// length is how many bytes of data a member of raid0 or linear has: for 0.90
// what lies before its superblock.
func (s *super) length() int64 {
	if s.version == "0.90" {
		return s.at
	}
	return s.size
}
