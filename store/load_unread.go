package store

import (
	"context"
	"fmt"

	"snapcase/evidence"
	"snapcase/imaging/filesystem"
)

// What could not be read of a source lies in the sealed image as zeros. The
// entries whose bytes would have been there must say so: their content, and a
// digest of it, is not what was on the disk.
const (
	unreadStep  = 512     // bytes: no file system has smaller blocks
	unreadProbe = 1 << 20 // how many places are looked at
)

// ownUnread asks the disk who owns the bytes that could not be read.
func (l *imageLoad) ownUnread(ctx context.Context) error {
	l.unread = map[ownerKey]int64{}
	var offsets []int64
	ask := func() error {
		own, err := l.disk.Owners(ctx, offsets)
		if evidence.Canceled(err) {
			return err
		}
		if err != nil {
			l.gap(l.acq.Exhibit, 0, fmt.Sprintf("whose bytes could not be read: %v", err))
		}
		for i, o := range own {
			k := ownerKey{o.Volume, o.Ref}
			if _, told := l.unread[k]; !told && o.Ref != (filesystem.Ref{}) && !o.Slack {
				l.unread[k] = offsets[i]
			}
		}
		offsets = offsets[:0]
		return nil
	}
	n := 0
	for _, r := range l.acq.ReadErrors {
		for off := r.Offset; off < r.Offset+r.Length; off += unreadStep - off%unreadStep {
			if n++; n > unreadProbe {
				l.gap(l.acq.Exhibit, off, "more could not be read than is looked at: files that lie there are not marked from here on")
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
	if at, ok := l.unread[ownerKey{volume, e.Ref}]; ok {
		e.Damage = alsoDamaged(e.Damage, fmt.Sprintf("partial: the source could not be read at byte %d of the image: zeros stand there", at))
	}
}
