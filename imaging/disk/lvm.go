package disk

import (
	"errors"
	"fmt"
	"strings"

	"snapcase/imaging"
	"snapcase/imaging/volume"
	"snapcase/imaging/volume/lvm"
)

// mostRemoved is how many removed logical volumes are listed.
const mostRemoved = 64

// logical is what a volume knows that LVM made of others.
type logical struct {
	lv  *lvm.LV
	pvs []*Volume // the physical volumes, by their number in the group; nil where one is missing
}

// assemble adds the logical volumes of the physical ones that the disk holds.
func (d *Disk) assemble(list []driver) error {
	var pvs []*Volume
	var sources []imaging.Source
	for _, v := range d.Volumes {
		if v.FS == nil && v.Source.Size() > 0 && lvm.Probe(v.Source) {
			pvs, sources = append(pvs, v), append(sources, v.Source)
		}
	}
	if len(pvs) == 0 {
		return nil
	}
	groups, err := scanLVM(sources)
	if err != nil {
		return err
	}
	for i := range groups {
		d.group(&groups[i], pvs, list)
	}
	return nil
}

// scanLVM reads the groups; a panic of the reader is an error of all of them.
func scanLVM(sources []imaging.Source) (groups []lvm.Group, err error) {
	defer func() {
		if r := recover(); r != nil {
			groups, err = nil, nil // the physical volumes say that they are not read
		}
	}()
	return lvm.Scan(sources)
}

// group adds the volumes of one group, those in use before the removed ones.
func (d *Disk) group(g *lvm.Group, pvs []*Volume, list []driver) {
	members := make([]*Volume, len(g.PVs))
	for i, pv := range g.PVs {
		if pv.Source < 0 || pv.Source >= len(pvs) {
			continue
		}
		v := pvs[pv.Source]
		members[i] = v
		if g.Name != "" && !g.Former {
			v.Err = nil
			v.note("a physical volume of the LVM group %q", g.Name)
		}
		for _, n := range g.Notes {
			v.note("group %q: %s", g.Name, n)
		}
	}
	for i := range g.LVs {
		if lv := &g.LVs[i]; lv.Visible {
			d.logical(g, lv, members, pvs, list, g.Former)
		}
	}
	for i := range g.Gone {
		if i == mostRemoved {
			break
		}
		d.logical(g, &g.Gone[i], members, pvs, list, true)
	}
}

// logical adds one logical volume.
func (d *Disk) logical(g *lvm.Group, lv *lvm.LV, members, pvs []*Volume, list []driver, removed bool) {
	v := &Volume{
		Volume:  volume.Volume{ID: d.logicalID(g.Name, lv, removed), Scheme: "lvm2", Type: "logical", Label: lv.Name, UUID: lv.UUID, Size: lv.Size, Damage: lv.Damage},
		Source:  lv.Source,
		logical: &logical{lv: lv, pvs: pvs},
	}
	if len(lv.Segments) > 0 && len(lv.Segments[0].Areas) > 0 {
		if a := lv.Segments[0].Areas[0]; a.PV >= 0 && a.PV < len(members) && members[a.PV] != nil {
			v.Start = members[a.PV].Start + a.Start
		}
	}
	if removed {
		v.Type = "removed"
		v.note("it was removed: this is where it lay when change %d of the group was written; the bytes may belong to others now", lv.Seqno)
	}
	for i, gap := range lv.Gaps {
		if i == 16 {
			v.note("and %d more gaps", len(lv.Gaps)-i)
			break
		}
		v.note("gap: %d bytes from %d: %s", gap.Size, gap.Start, gap.What)
	}
	if v.Source == nil {
		v.Source, v.Err = imaging.Section(nothing{}, 0, 0), errors.New(lv.Reason)
	} else {
		v.detect(list)
	}
	d.Volumes = append(d.Volumes, v)
}

// nothing is a source without bytes.
type nothing struct{}

func (nothing) ReadAt([]byte, int64) (int, error) {
	return 0, errors.New("read of a volume that is not read")
}
func (nothing) Size() int64 { return 0 }

// logicalID is the name that the device mapper gives: vg-lv, with hyphens in
// either doubled; "@" and the number of the change behind it for removed ones.
// Names that LVM would not allow become numbers.
func (d *Disk) logicalID(group string, lv *lvm.LV, removed bool) string {
	part := func(s string) string {
		for i := range len(s) {
			c := s[i]
			if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && strings.IndexByte("+_.-", c) < 0 {
				return ""
			}
		}
		return strings.ReplaceAll(s, "-", "--")
	}
	id := part(group) + "-" + part(lv.Name)
	if removed {
		id += fmt.Sprintf("@%d", lv.Seqno)
	}
	if part(group) == "" || part(lv.Name) == "" || len(id) > 200 {
		id = fmt.Sprintf("lv-%d", len(d.Volumes))
	}
	for n, base := 2, id; d.Volume(id) != nil; n++ {
		id = fmt.Sprintf("%s.%d", base, n)
	}
	return id
}

// locate turns an offset of the image into one of the logical volume.
func (l *logical) locate(imageOffset int64) (int64, bool) {
	for i, pv := range l.pvs {
		if at, ok := pv.Locate(imageOffset); ok {
			if off, ok := l.lv.Locate(i, at); ok {
				return off, true
			}
		}
	}
	return 0, false
}
