package store

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"snapcase/evidence"
	"snapcase/imaging"
	"snapcase/imaging/disk"
	"snapcase/imaging/filesystem"
)

// changes reads the change journal of a volume, where its file system has one.
func (l *imageLoad) changes(ctx context.Context, v *disk.Volume, n int64) error {
	j, ok := v.FS.(filesystem.Changer)
	if !ok {
		return nil
	}
	for c, err := range j.Changes(ctx) {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			if evidence.Canceled(err) {
				return err
			}
			at := v.Start
			var bad *imaging.FormatError
			if errors.As(err, &bad) && bad.Offset >= 0 && bad.Offset <= v.Size {
				at += bad.Offset
			}
			l.gap(l.acq.Exhibit+"/"+v.ID, at, err.Error())
			continue
		}
		l.key = changeKey(l.key[:0], c.Time)
		if err := l.changed.add(l.key, packChange(nil, n, &c)); err != nil {
			return err
		}
	}
	return nil
}

// changeKey is what changes are sorted by: those with a time before those
// without, then the time.
func changeKey(b []byte, t imaging.Time) []byte {
	if !t.Set {
		return append(b, 1)
	}
	ns, _ := nano(t)
	b = binary.BigEndian.AppendUint64(append(b, 0), uint64(ns)^1<<63) //nolint:gosec // order of signed numbers
	return binary.BigEndian.AppendUint32(b, uint32(t.Nsec))           //nolint:gosec // not negative
}

// packChange appends a change of the volume with number n: volume, inode,
// generation, reasons, directory and name (each behind its length), then what
// is kept packed: restOfChange.
func packChange(b []byte, n int64, c *filesystem.Change) []byte {
	for _, v := range [4]uint64{uint64(n), c.Ref.Inode, uint64(c.Ref.Generation), uint64(c.Reason)} { //nolint:gosec // not negative
		b = binary.AppendUvarint(b, v)
	}
	for _, s := range [2]string{c.Dir, c.Name} {
		b = append(binary.AppendUvarint(b, uint64(len(s))), s...)
	}
	b = binary.AppendVarint(b, c.USN)
	for _, v := range [5]uint64{uint64(c.Generation), c.Parent, uint64(c.ParentGeneration), uint64(c.Source), uint64(c.Attributes)} {
		b = binary.AppendUvarint(b, v)
	}
	return append(binary.AppendUvarint(b, uint64(len(c.Damage))), c.Damage...)
}

// changeRest is what a row of changes keeps packed.
type changeRest struct {
	usn                                          int64
	generation, parent, parentSeq, source, attrs uint64
	damage                                       string
}

func unpackChange(b []byte) (r changeRest, err error) {
	p := packed{b: b}
	r.usn = p.signed()
	for _, v := range [5]*uint64{&r.generation, &r.parent, &r.parentSeq, &r.source, &r.attrs} {
		*v = p.count()
	}
	if r.damage = p.text(); p.short {
		return r, errCut
	}
	return r, nil
}

// insertChanges writes the changes of all volumes in the order of their times.
func (l *imageLoad) insertChanges(ctx context.Context) error {
	first, err := l.nextID(ctx, "changes")
	if err != nil {
		return err
	}
	b, err := newBulk(l.t, "changes", "id,x,ts,volume,inode,generation,dir,name,reason,rest")
	if err != nil {
		return err
	}
	sp := newSpan(l.x, "changes", first)
	for rec, err := range l.changed.sorted() {
		if err != nil {
			return fmt.Errorf("changes: %w", err)
		}
		var ts any
		if rec.key[0] == 0 {
			at := int64(binary.BigEndian.Uint64(rec.key[1:]) ^ 1<<63) //nolint:gosec // as above
			sp.timedRow(at)
			if t := ofNano(at); far(at) {
				t.Nsec = int32(binary.BigEndian.Uint32(rec.key[9:])) //nolint:gosec // as above
				if err := l.beyond(ctx, "changes", sp.hi, "ts", t); err != nil {
					return err
				}
			}
			ts = at
		} else {
			sp.row()
		}
		p := packed{b: rec.value}
		volume, inode, generation, reason := p.count(), p.count(), p.count(), p.count()
		dir, name := p.text(), p.text()
		if p.short || volume >= uint64(len(l.disk.Volumes)) {
			return fmt.Errorf("changes: %w", errCut)
		}
		if err := b.add(ctx, sp.hi, int64(l.x), ts, l.dict.id(l.disk.Volumes[volume].ID, colOther), int64(inode), int64(generation), //nolint:gosec // two's complement
			l.dict.id(dir, colDir), name, int64(reason), append([]byte{}, p.b...)); err != nil { //nolint:gosec // 32 bits
			return err
		}
		if sp.hi%65536 == 0 {
			if err := ctx.Err(); err != nil {
				return err
			}
		}
	}
	if sp.hi < sp.lo {
		return b.end(ctx)
	}
	return errors.Join(b.end(ctx), l.saveSpan(ctx, sp))
}
