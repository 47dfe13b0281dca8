package disk

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"snapcase/imaging"
	"snapcase/imaging/volume"
)

const (
	// mostRounds bounds how deep volumes that are made of others lie within
	// one another: an LV on an array on a partition is the second round.
	mostRounds = 5
	// mostMade bounds how many such volumes are made.
	mostMade = 4096
)

// set is the disks that were opened together.
type set struct {
	disks   []*Disk
	drivers []driver
	made    map[string]*Volume // by what they are made of, so that a round makes nothing twice
	refused map[*Volume]string // that say they are a part of what they lie in
	full    bool               // mostMade are made
}

// assembly is how a volume is made of others.
type assembly struct {
	uuid    string                                          // of the array or group, "" of a partition within
	members []*Volume                                       // nil where one is missing
	locate  func(member int, off int64) (int64, bool)       // from a byte of a member to one of the volume
	place   func(off int64) (member int, at int64, ok bool) // the way back
	within  bool                                            // a partition of a table in its one member
	serial  int                                             // tells it from every other of the set
}

// round is what one pass over the volumes made of them.
type round struct {
	arrays []arrayMade
	groups []groupMade
	made   []*Volume
}

// assemble makes volumes of the volumes of all disks until nothing new comes
// of it: arrays, logical volumes, and partitions within either.
func (s *set) assemble() {
	var base []*Volume
	for _, d := range s.disks {
		base = append(base, d.Volumes...)
	}
	var last round
	for n := range mostRounds {
		pool := base
		for _, v := range last.made {
			if v.Type != removed {
				pool = append(pool[:len(pool):len(pool)], v)
			}
		}
		next := s.round(pool)
		same := slices.Equal(next.made, last.made)
		last = next
		if same {
			break
		}
		if n == mostRounds-1 {
			for _, v := range last.made {
				v.note("volumes lie within one another more than %d deep: what lies deeper is not looked for", mostRounds-1)
			}
		}
	}
	s.tell(&last)
}

// round makes what can be made of a pool.
func (s *set) round(pool []*Volume) round {
	var r round
	s.scanArrays(&r, pool)
	s.scanGroups(&r, pool)
	for _, v := range slices.Clone(r.made) {
		s.within(&r, v)
	}
	return r
}

// make gives the volume with that key, made at most once; nil where there are
// too many.
func (s *set) make(r *round, key string, build func() *Volume) *Volume {
	v := s.made[key]
	if v == nil {
		if len(s.made) >= mostMade {
			s.full = true
			return nil
		}
		v = build()
		v.made.serial = len(s.made) + 1
		if v.Source == nil {
			v.Source = imaging.Section(nothing{}, 0, 0)
		} else {
			v.detect(s.drivers)
		}
		s.made[key] = v
	}
	if !slices.Contains(r.made, v) {
		r.made = append(r.made, v)
	}
	return v
}

// key names a volume among all of the set.
func (v *Volume) key() string {
	if v.made != nil {
		return fmt.Sprintf("made %d", v.made.serial)
	}
	return fmt.Sprintf("disk %d %s", v.home, v.ID)
}

func keys(members []*Volume) string {
	list := make([]string, len(members))
	for i, m := range members {
		if m != nil {
			list[i] = m.key()
		}
	}
	return strings.Join(list, ",")
}

// within adds the partitions of a table that lies in a made volume.
func (s *set) within(r *round, parent *Volume) {
	if parent.FSType != "" || parent.Type == removed || parent.Source.Size() == 0 {
		return
	}
	t, err := volume.Scan(parent.Source)
	if err != nil || t.Scheme == "none" {
		return
	}
	parent.Breaks = t.Breaks
	for _, p := range t.Volumes {
		if p.Gap() {
			continue
		}
		s.make(r, "within "+parent.key()+" "+p.ID, func() *Volume {
			start, size := p.Start, p.Source(parent.Source).Size()
			v := &Volume{Volume: p, Source: p.Source(parent.Source), made: &assembly{
				within: true, members: []*Volume{parent},
				locate: func(_ int, off int64) (int64, bool) {
					return off - start, off >= start && off-start < size
				},
				place: func(off int64) (int, int64, bool) { return 0, start + off, off >= 0 && off < size },
			}}
			v.Start += parent.Start
			return v
		})
	}
}

// descends says whether the array or group with that UUID is among what v is
// made of.
func (v *Volume) descends(uuid string) bool {
	if v == nil || v.made == nil {
		return false
	}
	return v.made.uuid == uuid && uuid != "" || slices.ContainsFunc(v.made.members, func(m *Volume) bool { return m.descends(uuid) })
}

// tell gives the made volumes their names and places, and says of their
// members what they are.
func (s *set) tell(r *round) {
	for v, why := range s.refused {
		v.note("%s", why)
	}
	for _, v := range r.made {
		v.settle(s)
		d := s.disks[v.home]
		v.ID, v.Image = d.freeID(v.ID), d.Name
		d.Volumes = append(d.Volumes, v)
	}
	if s.full {
		for _, d := range s.disks {
			d.State = append(d.State, fmt.Sprintf("more than %d arrays and logical volumes were found: the others are not listed", mostMade))
		}
	}
	for i := range r.arrays {
		r.arrays[i].tell()
	}
	for i := range r.groups {
		r.groups[i].tell()
	}
}

// settle finds the disks that a made volume lies on: its home is the first.
func (v *Volume) settle(s *set) {
	v.on = v.disks()
	v.home = 0
	if len(v.on) > 0 {
		v.home = v.on[0]
	} else if i := slices.IndexFunc(v.made.members, func(m *Volume) bool { return m != nil }); i >= 0 {
		v.home = v.made.members[i].first()
	}
	if v.made.within {
		p := v.made.members[0]
		v.ID, p.Err = p.ID+"."+v.ID, nil
		v.note("a partition of the table that lies in %s", p.ID)
		p.note("a partition table lies here: %s is listed too", v.ID)
	}
	if len(v.on) < 2 || len(s.disks) < 2 {
		return
	}
	var names []string
	for _, i := range v.on {
		names = append(names, s.disks[i].Name)
	}
	v.Images = names
	v.note("it lies on %s: it is listed under the first of them", strings.Join(names, ", "))
}

// disks are the numbers of the disks that hold bytes of the volume, the one
// where it begins first.
func (v *Volume) disks() []int {
	if v.made == nil {
		return []int{v.home}
	}
	var list []int
	for _, m := range v.made.members {
		if m == nil {
			continue
		}
		for _, i := range m.disks() {
			if !slices.Contains(list, i) {
				list = append(list, i)
			}
		}
	}
	return list
}

func (v *Volume) first() int {
	if list := v.disks(); len(list) > 0 {
		return list[0]
	}
	return v.home
}

// freeID is the id, with a number behind it where another volume has it.
func (d *Disk) freeID(id string) string {
	base := id
	for n := 2; d.Volume(id) != nil; n++ {
		id = fmt.Sprintf("%s.%d", base, n)
	}
	return id
}

// plainName is a name that can be a part of an id; "" where it is none that
// LVM or mdadm would give.
func plainName(s string) string {
	for i := range len(s) {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && strings.IndexByte("+_.-", c) < 0 {
			return ""
		}
	}
	return s
}

// readable keeps the candidates whose bytes can be had: of the others it notes
// why not. scan is tried on each alone.
func readable(candidates []*Volume, scan func([]imaging.Source) error) []*Volume {
	return slices.DeleteFunc(slices.Clone(candidates), func(v *Volume) bool {
		err := scan([]imaging.Source{v.Source})
		if err != nil {
			v.Err = err
		}
		return err != nil
	})
}

func sources(list []*Volume) []imaging.Source {
	all := make([]imaging.Source, len(list))
	for i, v := range list {
		all[i] = v.Source
	}
	return all
}

// refuse takes a volume out of the pool for good.
func (s *set) refuse(v *Volume, format string, args ...any) {
	if s.refused == nil {
		s.refused = make(map[*Volume]string)
	}
	s.refused[v] = fmt.Sprintf(format, args...)
}

// nothing is a source without bytes.
type nothing struct{}

func (nothing) ReadAt([]byte, int64) (int, error) {
	return 0, fmt.Errorf("read of a volume that is not read")
}
func (nothing) Size() int64 { return 0 }

// locate turns an offset of the image of a disk into one of the volume.
func (v *Volume) locate(disk int, off int64) (int64, bool) {
	if v.made == nil {
		at := off - v.Start
		return at, disk == v.home && off >= v.Start && at < v.Source.Size()
	}
	for i, m := range v.made.members {
		if m == nil {
			continue
		}
		if at, ok := m.locate(disk, off); ok {
			if at, ok = v.made.locate(i, at); ok {
				return at, true
			}
		}
	}
	return 0, false
}

// place turns an offset of the volume into one of the image of a disk.
func (v *Volume) place(off int64) (disk int, at int64, ok bool) {
	if v.made == nil {
		return v.home, v.Start + off, off >= 0 && off < v.Source.Size()
	}
	if off < 0 || off >= v.Source.Size() {
		return 0, 0, false
	}
	i, at, ok := v.made.place(off)
	if !ok || i < 0 || i >= len(v.made.members) || v.made.members[i] == nil {
		return 0, 0, false
	}
	return v.made.members[i].place(at)
}

// touches says whether the disk with that number holds bytes of the volume.
func (v *Volume) touches(disk int) bool { return slices.Contains(v.on, disk) }

// Foreign lists the volumes that have bytes on this disk and are listed under
// another of those that were opened with it.
func (d *Disk) Foreign() []*Volume {
	var list []*Volume
	for _, o := range d.others() {
		for _, v := range o.Volumes {
			if v.touches(d.number) {
				list = append(list, v)
			}
		}
	}
	return list
}

// Reaches lists the other disks that hold bytes of volumes listed here.
func (d *Disk) Reaches() []*Disk {
	far := make(map[int]bool)
	for _, v := range d.Volumes {
		for _, i := range v.on {
			if i != d.number {
				far[i] = true
			}
		}
	}
	var list []*Disk
	for _, i := range slices.Sorted(maps.Keys(far)) {
		list = append(list, d.set.disks[i])
	}
	return list
}

func (d *Disk) others() []*Disk {
	if d.set == nil {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(d.set.disks), func(o *Disk) bool { return o == d })
}

// Assembly tells how the volumes of the disk are put together, those too that
// are listed under another disk and have bytes here: two texts that are equal
// mean that the same bytes are read in the same way.
func (d *Disk) Assembly() string {
	var b strings.Builder
	for _, v := range append(slices.Clone(d.Volumes), d.Foreign()...) {
		fmt.Fprintf(&b, "%q %q %q %q %d %t", v.Image, v.ID, v.Type, v.FSType, v.Size, v.FS != nil)
		if v.made != nil {
			fmt.Fprintf(&b, " %q %q", v.UUID, v.Damage)
			for _, i := range v.on {
				fmt.Fprintf(&b, " %q", d.set.disks[i].Name)
			}
		}
		if v.journal != nil {
			fmt.Fprintf(&b, " journal %q %q", v.journal.Image, v.journal.ID)
		}
		b.WriteByte('\n')
	}
	return b.String()
}
