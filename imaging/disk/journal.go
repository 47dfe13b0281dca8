package disk

import (
	"slices"
	"strings"

	"snapcase/imaging"
	"snapcase/imaging/filesystem/ext4"
	"snapcase/imaging/filesystem/xfs"
)

// apart is what a file system says of its journal, which XFS calls log, when
// that lies on another volume.
type apart struct {
	kind string // of the signature of that volume
	word string
	id   string // UUID
	with func(journal imaging.Source) driver
}

// journals opens the file systems again whose journal lies on another volume,
// with that volume: without it they are as they were before the last changes.
func (s *set) journals() {
	for _, d := range s.disks {
		for _, v := range d.Volumes {
			if a := journalOf(v); a.id != "" {
				s.journal(v, a)
			}
		}
	}
}

// journalOf says which device has the journal; id is "" of file systems that
// have their own.
func journalOf(v *Volume) apart {
	g, ok := v.FS.(*mapGuard)
	if !ok {
		return apart{}
	}
	switch f := g.fs.(type) {
	case *ext4.FS:
		return apart{"jbd", "journal", f.JournalUUID(), func(journal imaging.Source) driver {
			return driver{name: "ext4", probe: ext4.Probe, open: opened(func(src imaging.Source) (*ext4.FS, error) {
				return ext4.OpenWithJournal(src, journal)
			})}
		}}
	case *xfs.FS:
		return apart{"xfs_external_log", "log", f.LogUUID(), func(log imaging.Source) driver {
			return driver{name: "xfs", probe: xfs.Probe, open: opened(func(src imaging.Source) (*xfs.FS, error) {
				return xfs.OpenWithLog(src, log)
			})}
		}}
	}
	return apart{}
}

// journal gives a file system its journal, if one volume alone can be that.
func (s *set) journal(v *Volume, a apart) {
	all := s.devices(a)
	switch {
	case len(all) == 0:
		return
	case len(all) > 1:
		var names []string
		for _, w := range all {
			names = append(names, w.seen(v))
		}
		v.note("its %s can be any of %s: none is read", a.word, strings.Join(names, ", "))
		return
	}
	w := all[0]
	fs, ok, err := a.with(w.Source).try(v.Source)
	if err != nil || !ok {
		v.note("its %s on %s is not read: %v", a.word, w.seen(v), err)
		return
	}
	old := v.FS.Info().State
	rest := slices.DeleteFunc(slices.Clone(v.Notes), func(n string) bool { return slices.Contains(old, n) })
	v.FS, v.journal, v.Notes = fs, w, append(slices.Clone(fs.Info().State), rest...)
	v.note("its %s lies on %s", a.word, w.seen(v))
	w.Err = nil
	s.shared(v, w, a.word)
	w.note("it is the %s of the file system on %s", a.word, v.seen(w))
	v.joins(s, w)
}

// shared says on v, and on others that have the journal w too, as copies of one
// file system have, that it can be of one of them alone.
func (s *set) shared(v, w *Volume, word string) {
	for _, d := range s.disks {
		for _, o := range d.Volumes {
			if o != v && o.journal == w {
				v.note("the same %s is read with the file system on %s: it fits that of the same moment alone", word, o.seen(v))
				o.note("the same %s is read with the file system on %s: it fits that of the same moment alone", word, v.seen(o))
			}
		}
	}
}

// devices are the volumes that are such journals with that UUID. A member of a
// mirror looks like the mirror, and does not count beside it.
func (s *set) devices(a apart) []*Volume {
	var all []*Volume
	for _, d := range s.disks {
		for _, w := range d.Volumes {
			if slices.ContainsFunc(w.Signatures, func(g Signature) bool { return g.Type == a.kind && g.UUID == a.id }) {
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
