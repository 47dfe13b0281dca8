package store

import (
	"context"
	"fmt"

	"snapcase/evidence"
	"snapcase/imaging/disk"
	"snapcase/imaging/filesystem"
)

// What could not be read of a source lies in the sealed image as zeros. The
// entries whose bytes would have been there must say so: their content, and a
// digest of it, is not what was on the disk.
const (
	unreadStep  = 512     // bytes: no file system has smaller blocks
	unreadProbe = 1 << 20 // how many places are looked at
)

// ownUnread asks the disk who owns the bytes that could not be read, and the
// disks of other exhibits that volumes listed here lie on.
func (l *imageLoad) ownUnread(ctx context.Context) error {
	l.unread = map[ownerKey]string{}
	if err := l.ownUnreadOf(ctx, l.disk, l.acq); err != nil {
		return err
	}
	for _, d := range l.disk.Reaches() {
		if err := l.ownUnreadOf(ctx, d, l.disks.exhibits[d.Name]); err != nil {
			return err
		}
	}
	return nil
}

// ownUnreadOf asks one disk for the read errors of its exhibit.
func (l *imageLoad) ownUnreadOf(ctx context.Context, d *disk.Disk, a evidence.Acquisition) error {
	var offsets []int64
	ask := func() error {
		own, err := d.Owners(ctx, offsets)
		if evidence.Canceled(err) {
			return err
		}
		if err != nil {
			l.gap(a.Exhibit, 0, fmt.Sprintf("whose bytes could not be read: %v", err))
		}
		for i := range own {
			k := keyOf(&own[i])
			if _, told := l.unread[k]; !told && k.ref != (filesystem.Ref{}) && k.image == l.disk.Name && !own[i].Slack {
				l.unread[k] = fmt.Sprintf("byte %d of the image of %s", offsets[i], a.Exhibit)
			}
		}
		offsets = offsets[:0]
		return nil
	}
	n := 0
	for _, r := range a.ReadErrors {
		for off := r.Offset; off < r.Offset+r.Length; off += unreadStep - off%unreadStep {
			if n++; n > unreadProbe {
				l.gap(a.Exhibit, off, "more could not be read than is looked at: files that lie there are not marked from here on")
				return ask()
			}
			if offsets = append(offsets, off); len(offsets) == ownersAtOnce {
				if err := ask(); err != nil {
					return err
				}
			}
		}
	}
	if len(offsets) == 0 {
		return nil
	}
	return ask()
}

// markUnread adds to the damage of an entry that some of its bytes could not
// be read.
func (l *imageLoad) markUnread(volume string, e *filesystem.Entry) {
	if at, ok := l.unread[ownerKey{l.disk.Name, volume, e.Ref}]; ok {
		e.Damage = alsoDamaged(e.Damage, fmt.Sprintf("partial: the source could not be read at %s: zeros stand there", at))
	}
}

// holes finds the files of a volume whose bytes no exhibit has, because a
// member of it is not in the case or its image ends too early.
func (w *volumeWalk) holes(ctx context.Context) error {
	hole, ok, files, whole, err := w.v.Missing(ctx)
	if !ok {
		return err
	}
	place := w.l.acq.Exhibit + "/" + w.v.ID
	if hole.Refused {
		w.stats.State = append(w.stats.State, fmt.Sprintf("from byte %d on, parts of the volume are %s: reading them is an error", hole.Offset, hole.Reason))
	} else {
		w.l.gap(place, w.v.Start, fmt.Sprintf("%d bytes of the volume from its byte %d are not in the case: %s. Zeros are read there: files may be missing from the list, or be shown as deleted", hole.Length, hole.Offset, hole.Reason))
	}
	switch {
	case evidence.Canceled(err):
		return err
	case err != nil:
		w.l.gap(place, w.v.Start, fmt.Sprintf("which files lie there: %v", err))
	case !whole:
		w.l.gap(place, w.v.Start, "not every file that lies there is marked")
	}
	w.missing = files
	return nil
}
