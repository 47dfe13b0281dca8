package disk

import (
	"slices"
	"strings"

	"snapcase/imaging"
	"snapcase/imaging/filesystem/ext4"
)

// journals opens the file systems again whose journal lies on another volume,
// with that volume: without it they are as they were before the last changes.
func (s *set) journals() {
	for _, d := range s.disks {
		for _, v := range d.Volumes {
			if id := journalID(v); id != "" {
				s.journal(v, id)
			}
		}
	}
}

// journalID is the UUID of the device that has the journal; "" of file systems
// that have their own.
func journalID(v *Volume) string {
	g, ok := v.FS.(*mapGuard)
	if !ok {
		return ""
	}
	if f, ok := g.fs.(*ext4.FS); ok {
		return f.JournalUUID()
	}
	return ""
}

// journal gives a file system its journal, if one volume alone can be that.
func (s *set) journal(v *Volume, id string) {
	all := s.devices(id)
	switch {
	case len(all) == 0:
		return
	case len(all) > 1:
		var names []string
		for _, w := range all {
			names = append(names, w.seen(v))
		}
		v.note("its journal can be any of %s: none is read", strings.Join(names, ", "))
		return
	}
	w := all[0]
	d := driver{name: "ext4", probe: ext4.Probe, open: opened(func(src imaging.Source) (*ext4.FS, error) {
		return ext4.OpenWithJournal(src, w.Source)
	})}
	fs, ok, err := d.try(v.Source)
	if err != nil || !ok {
		v.note("its journal on %s is not read: %v", w.seen(v), err)
		return
	}
	old := v.FS.Info().State
	rest := slices.DeleteFunc(slices.Clone(v.Notes), func(n string) bool { return slices.Contains(old, n) })
	v.FS, v.journal, v.Notes = fs, w, append(slices.Clone(fs.Info().State), rest...)
	v.note("its journal lies on %s", w.seen(v))
	w.Err = nil
	w.note("it is the journal of the file system on %s", v.seen(w))
	v.joins(s, w)
}

// devices are the volumes that are journals with that UUID. A member of a
// mirror looks like the mirror, and does not count beside it.
func (s *set) devices(id string) []*Volume {
	var all []*Volume
	for _, d := range s.disks {
		for _, w := range d.Volumes {
			if slices.ContainsFunc(w.Signatures, func(g Signature) bool { return g.Type == "jbd" && g.UUID == id }) {
				all = append(all, w)
			}
		}
	}
	return slices.DeleteFunc(slices.Clone(all), func(w *Volume) bool {
		return slices.ContainsFunc(all, func(o *Volume) bool { return o.consists(w) })
	})
}

// consists says whether w is among what v is made of.
func (v *Volume) consists(w *Volume) bool {
	return v != nil && v.made != nil && slices.ContainsFunc(v.made.members, func(m *Volume) bool { return m == w || m.consists(w) })
}

// seen is the name of a volume for one that may lie on another disk.
func (v *Volume) seen(from *Volume) string {
	if v.Image != from.Image {
		return v.ID + " of " + v.Image
	}
	return v.ID
}

// joins counts the disks of the journal w among those that v lies on.
func (v *Volume) joins(s *set, w *Volume) {
	on := v.disks()
	for _, n := range w.disks() {
		if !slices.Contains(on, n) {
			on = append(on, n)
		}
	}
	if len(on) == 1 {
		return
	}
	v.on, v.Images = on, nil
	for _, n := range on {
		v.Images = append(v.Images, s.disks[n].Name)
	}
}
