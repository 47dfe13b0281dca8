package disk

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"

	"snapcase/imaging"
	"snapcase/imaging/volume"
	"snapcase/imaging/volume/lvm"
)

const (
	// mostRemoved is how many removed logical volumes of a group are listed.
	mostRemoved = 64
	// removed is the Type of a logical volume that is no more.
	removed = "removed"
)

// groupMade is a group with the volumes that it was made of.
type groupMade struct {
	group *lvm.Group
	pvs   []*Volume // by their number among those that were scanned
}

// scanGroups adds the logical volumes of the physical ones in the pool. The
// member of an array that begins where the array does is not looked at beside
// the array.
func (s *set) scanGroups(r *round, pool []*Volume) {
	inside := make(map[*Volume]bool)
	for _, a := range r.arrays {
		for i, m := range a.array.Members {
			if a.array.Source != nil && m.State == "active" && m.Start == 0 {
				inside[a.members[i]] = true
			}
		}
	}
	var pvs []*Volume
	for _, v := range pool {
		if _, no := s.refused[v]; !no && !inside[v] && v.Source.Size() > 0 && probeLVM(v.Source) {
			pvs = append(pvs, v)
		}
	}
	var groups []lvm.Group
	for again := true; again; {
		groups, pvs = scanLVM(pvs)
		again = false
		for i := range groups {
			for _, pv := range groups[i].PVs {
				if pv.Source >= 0 && pvs[pv.Source].descends(groups[i].UUID) {
					again = true
					s.refuse(pvs[pv.Source], "it says that it is a physical volume of the group %q that it lies in itself: it is not followed", groups[i].Name)
				}
			}
		}
		if again {
			left := pvs[:0:0]
			for _, v := range pvs {
				if _, no := s.refused[v]; !no {
					left = append(left, v)
				}
			}
			pvs = left
		}
	}
	for i := range groups {
		s.group(r, &groups[i], pvs)
	}
}

// probeLVM is lvm.Probe; a panic is a no.
func probeLVM(src imaging.Source) (yes bool) {
	defer func() {
		if recover() != nil {
			yes = false
		}
	}()
	return lvm.Probe(src)
}

// scanLVM reads the groups; what cannot be read is left out of the physical
// volumes.
func scanLVM(pvs []*Volume) ([]lvm.Group, []*Volume) {
	scan := func(list []imaging.Source) (groups []lvm.Group, err error) {
		defer func() {
			if c := recover(); c != nil {
				groups, err = nil, crashed("lvm", c)
			}
		}()
		return lvm.Scan(list)
	}
	groups, err := scan(sources(pvs))
	if err != nil {
		pvs = readable(pvs, func(list []imaging.Source) error { _, err := scan(list); return err })
		if groups, err = scan(sources(pvs)); err != nil {
			return nil, pvs // the physical volumes say that they are not read
		}
	}
	return groups, pvs
}

// group adds the volumes of one group, those in use before the removed ones.
func (s *set) group(r *round, g *lvm.Group, pvs []*Volume) {
	r.groups = append(r.groups, groupMade{g, pvs})
	for i := range g.LVs {
		if lv := &g.LVs[i]; lv.Visible {
			s.logical(r, g, lv, pvs, g.Former)
		}
	}
	for i := range g.Gone {
		if i == mostRemoved {
			break
		}
		s.logical(r, g, &g.Gone[i], pvs, true)
	}
}

// tell says of the physical volumes what they are.
func (m *groupMade) tell() {
	g := m.group
	for _, pv := range g.PVs {
		if pv.Source < 0 || pv.Source >= len(m.pvs) {
			continue
		}
		v := m.pvs[pv.Source]
		if g.Name != "" && !g.Former {
			v.Err = nil
			v.note("a physical volume of the LVM group %q", g.Name)
		}
		for _, n := range g.Notes {
			v.note("group %q: %s", g.Name, n)
		}
	}
}

// logical adds one logical volume.
func (s *set) logical(r *round, g *lvm.Group, lv *lvm.LV, pvs []*Volume, gone bool) {
	at := lv.Sources()
	members := make([]*Volume, 0, len(at))
	for _, i := range at {
		members = append(members, pvs[i])
	}
	listed := members
	if len(members) == 0 { // none of its bytes is here: it is listed where the group is
		for _, pv := range g.PVs {
			if pv.Source >= 0 && pv.Source < len(pvs) {
				listed = append(listed, pvs[pv.Source])
				break
			}
		}
	}
	how := sha256.Sum256(fmt.Append(nil, lv.Segments)) // texts of the same number may differ
	key := fmt.Sprintf("lvm %s %s %d %t %x %s", g.UUID, lv.UUID, lv.Seqno, gone, how, keys(listed))
	s.make(r, key, func() *Volume {
		v := logicalVolume(g, lv, pvs, gone)
		v.made = &assembly{uuid: g.UUID, members: listed, locate: func(i int, off int64) (int64, bool) {
			if i >= len(at) {
				return 0, false
			}
			return lv.Locate(at[i], off)
		}, place: func(off int64) (int, int64, bool) {
			pv, off, ok := lv.Place(off)
			return slices.Index(at, pv), off, ok
		}}
		return v
	})
}

// logicalVolume is the volume of an LV, but for how it is made.
func logicalVolume(g *lvm.Group, lv *lvm.LV, pvs []*Volume, gone bool) *Volume {
	v := &Volume{
		Volume: volume.Volume{ID: logicalID(g.Name, lv, gone), Scheme: "lvm2", Type: "logical", Label: lv.Name, UUID: lv.UUID, Size: lv.Size, Damage: lv.Damage},
		Source: lv.Source,
	}
	if len(lv.Segments) > 0 && len(lv.Segments[0].Areas) > 0 {
		if a := lv.Segments[0].Areas[0]; a.PV >= 0 && a.PV < len(g.PVs) {
			if n := g.PVs[a.PV].Source; n >= 0 && n < len(pvs) {
				v.Start = pvs[n].Start + a.Start
			}
		}
	}
	if k := plainName(lv.Kind); k != "" {
		v.Type = k
	}
	if gone {
		v.Type = removed
		v.note("it was removed: this is where it lay when change %d of the group was written; the bytes may belong to others now", lv.Seqno)
	}
	for i, gap := range lv.Gaps {
		if i == 16 {
			v.note("and %d more gaps", len(lv.Gaps)-i)
			break
		}
		if gap.Stripes > 1 {
			v.note("gap: of %d bytes from %d each %d of %d stripes of %d bytes: %s", gap.Size, gap.Start, gap.Stripe+1, gap.Stripes, gap.StripeSize, gap.What)
		} else {
			v.note("gap: %d bytes from %d: %s", gap.Size, gap.Start, gap.What)
		}
	}
	if v.Source == nil {
		v.Err = errors.New(lv.Reason)
	}
	if gone && lv.Kind != "" {
		v.note("it was of kind %s", lv.Kind)
	}
	return v
}

// logicalID is the name that the device mapper gives: vg-lv, with hyphens in
// either doubled; "@" and the number of the change behind it for removed ones.
// Names that LVM would not allow become the start of the UUID.
func logicalID(group string, lv *lvm.LV, gone bool) string {
	part := func(s string) string { return strings.ReplaceAll(plainName(s), "-", "--") }
	id := part(group) + "-" + part(lv.Name)
	if part(group) == "" || part(lv.Name) == "" || len(id) > 190 {
		first, _, _ := strings.Cut(lv.UUID, "-")
		if id = "lv"; plainName(first) != "" && len(first) <= 32 {
			id += "-" + first
		}
	}
	if gone {
		id += fmt.Sprintf("@%d", lv.Seqno)
	}
	return id
}
