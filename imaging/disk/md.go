package disk

import (
	"errors"
	"slices"
	"strings"

	"snapcase/imaging"
	"snapcase/imaging/volume"
	"snapcase/imaging/volume/md"
)

// arrayMade is an array with the volumes that it was made of.
type arrayMade struct {
	array   *md.Array
	volume  *Volume
	members []*Volume // by the order of array.Members
}

// scanArrays adds the RAID arrays whose members are in the pool.
func (s *set) scanArrays(r *round, pool []*Volume) {
	var candidates []*Volume
	for _, v := range pool {
		if _, no := s.refused[v]; !no && !v.Gap() && v.Source.Size() > 0 && probeMD(v.Source) {
			candidates = append(candidates, v)
		}
	}
	arrays, candidates := scanMD(candidates)
	for i := range arrays {
		a := &arrays[i]
		members := make([]*Volume, len(a.Members))
		for k, m := range a.Members {
			v := candidates[m.Source]
			members[k] = v
			if v.descends(a.UUID) {
				s.refuse(v, "it has a superblock of the array %s that it lies in itself: it is not followed", a.UUID)
			}
		}
		if slices.ContainsFunc(members, func(v *Volume) bool { return s.refused[v] != "" }) || larger(a) {
			continue
		}
		v := s.make(r, "md "+a.UUID+" "+keys(members), func() *Volume { return arrayVolume(a, members) })
		if v != nil {
			r.arrays = append(r.arrays, arrayMade{a, v, members})
		}
	}
}

// larger says that the superblocks are those of longer members: version 0.90
// lies by the end of a disk where the last partition has its end, too.
func larger(a *md.Array) bool {
	return a.Version == "0.90" && slices.ContainsFunc(a.Members, func(m md.Member) bool { return m.Size > m.At })
}

// probeMD is md.Probe; a panic is a no.
func probeMD(src imaging.Source) (yes bool) {
	defer func() {
		if recover() != nil {
			yes = false
		}
	}()
	return md.Probe(src)
}

// scanMD reads the arrays; what cannot be read is left out of the candidates.
func scanMD(candidates []*Volume) ([]md.Array, []*Volume) {
	scan := func(list []imaging.Source) (arrays []md.Array, err error) {
		defer func() {
			if c := recover(); c != nil {
				arrays, err = nil, crashed("md", c)
			}
		}()
		return md.Scan(list)
	}
	arrays, err := scan(sources(candidates))
	if err != nil {
		candidates = readable(candidates, func(list []imaging.Source) error { _, err := scan(list); return err })
		if arrays, err = scan(sources(candidates)); err != nil {
			return nil, candidates // the members say that they are not read
		}
	}
	return arrays, candidates
}

// arrayVolume is the volume of an array.
func arrayVolume(a *md.Array, members []*Volume) *Volume {
	v := &Volume{
		Volume: volume.Volume{ID: arrayID(a), Scheme: "md", Type: a.Level, Label: visibleName(a.Name), UUID: a.UUID, Size: a.Size, Damage: a.Damage},
		Source: a.Source,
	}
	at := a.Sources()
	v.made = &assembly{uuid: a.UUID, locate: func(i int, off int64) (int64, bool) {
		if i >= len(at) {
			return 0, false
		}
		return a.Locate(at[i], off)
	}, place: func(off int64) (int, int64, bool) {
		n, off, ok := a.Place(off)
		return slices.Index(at, n), off, ok
	}}
	for i, m := range a.Members {
		switch k := slices.Index(at, m.Source); {
		case len(at) == 0: // it is not read: it is listed where its members are
			v.made.members = append(v.made.members, members[i])
		case k == 0:
			v.Start = members[i].Start + m.Start
		}
	}
	for _, n := range at {
		i := slices.IndexFunc(a.Members, func(m md.Member) bool { return m.Source == n })
		v.made.members = append(v.made.members, members[i])
	}
	v.note("%s of %d members, %d found here", a.Level, a.Devices, len(a.Members))
	v.Notes = append(v.Notes, a.State...)
	for i, g := range a.Gaps {
		if i == 16 {
			v.note("and %d more gaps", len(a.Gaps)-i)
			break
		}
		if g.Devices > 1 {
			v.note("gap: of %d bytes from %d each %d of %d chunks of %d bytes: %s", g.Size, g.Start, g.Device+1, g.Devices, a.Chunk, g.What)
		} else {
			v.note("gap: %d bytes from %d: %s", g.Size, g.Start, g.What)
		}
	}
	if a.Source == nil {
		v.Err = errors.New(a.Reason)
	}
	return v
}

// visibleName is the name of an array without the host that made it.
func visibleName(name string) string {
	_, after, ok := strings.Cut(name, ":")
	if ok {
		return after
	}
	return name
}

// arrayID is md0 for an array that is called host:0, md-root for host:root,
// and md- with the first digits of the UUID where there is no plain name.
func arrayID(a *md.Array) string {
	name := plainName(visibleName(a.Name))
	switch {
	case name == "" || len(name) > 64:
		first, _, _ := strings.Cut(a.UUID, ":")
		return "md-" + first
	case strings.Trim(name, "0123456789") == "":
		return "md" + name
	}
	return "md-" + name
}

// tell says of the members what they are. A file system that begins where the
// member does and is that of the array is listed there.
func (m *arrayMade) tell() {
	a, whole := m.array, m.volume
	for i, v := range m.members {
		was := a.Members[i]
		what := "a member (" + was.State + ") of the array " + whole.ID
		if whole.Image != v.Image {
			what += " of " + whole.Image
		}
		v.note("%s, UUID %s", what, a.UUID)
		if was.Damage != "" {
			v.note("its superblock: %s", was.Damage)
		}
		if a.Source == nil {
			v.note("the array is not read: %s", a.Reason)
			continue
		}
		switch {
		case was.State != "active":
			if v.FS == nil && (was.State == "stale" || was.State == "rebuilding") {
				v.Err = errors.New("a member of the array " + whole.ID + " that is not in step with the others: what it alone holds is not listed")
			} else if v.FS == nil {
				v.Err = nil
			}
		case v.FS == nil:
			v.FSType, v.Err = "linux_raid_member", nil
		case was.Start == 0 && sameFS(v, whole):
			v.FS, v.FSType, v.Err = nil, "linux_raid_member", nil
			v.note("the file system that begins here is that of the array")
		}
	}
}

// sameFS says whether what was opened on a member is the file system of the
// array: the array holds all of it.
func sameFS(member, array *Volume) bool {
	if array.FS == nil {
		return false
	}
	x, y := member.FS.Info(), array.FS.Info()
	return x.Type == y.Type && x.UUID == y.UUID && x.Size == y.Size && x.Size <= array.Size
}
