package store

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"strings"

	"snapcase/evidence"
	"snapcase/imaging"
	"snapcase/imaging/disk"
	"snapcase/imaging/filesystem"
)

// imageLoad loads one disk exhibit.
type imageLoad struct {
	*load
	disk    *disk.Disk
	owners  []disk.Owner // of the hits, by number
	wanted  map[ownerKey]*ownerName
	unread  map[ownerKey]string // whose bytes could not be read, and where the first of them lies
	inside  *insideScan
	rows    *entryRows
	moments *sorter
	changed *sorter // records of change journals
	key     []byte  // of the moment or change that is added
}

// image loads an exhibit that is an image: of a disk the entries of every
// file system that can be read.
func (l *load) image(ctx context.Context) (err error) {
	if l.acq.Kind == evidence.KindMemory {
		return l.memoryHits(ctx)
	}
	il := &imageLoad{load: l, moments: newSorter(l.c.spillDir()), changed: newSorter(l.c.spillDir())}
	il.moments.limit, il.moments.each = spillBuffer/2, momentBytes
	thrift, err := l.thrift(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, thrift()) }()
	defer func() { err = errors.Join(err, il.moments.close(), il.changed.close()) }()
	if il.disk, err = l.disks.disk(l.acq.Exhibit); il.disk == nil {
		return err
	}
	if err := l.disks.broken(l.acq.Exhibit); err != nil {
		return err
	}
	if err != nil {
		l.gap(l.acq.Exhibit, 0, fmt.Sprintf("the disk could not be read: %v", err))
	}
	if err := il.ownHits(ctx); err != nil {
		return err
	}
	if err := il.ownUnread(ctx); err != nil {
		return err
	}
	if il.inside, err = l.newInside(il.disk.Size()); err != nil {
		return err
	}
	if il.rows, err = newEntryRows(ctx, il); err != nil {
		return err
	}
	defer func() {
		if e := il.rows.line.end(); err == nil {
			err = e
		}
	}()
	l.stats.Volumes = Volumes(il.disk)
	for _, g := range TableGaps(il.disk) {
		l.gap(g.Place, g.Offset, g.Reason)
	}
	for i, v := range il.disk.Volumes {
		if err := il.volume(ctx, v, int64(i), &l.stats.Volumes[i]); err != nil {
			return err
		}
	}
	if err := il.rows.end(ctx); err != nil {
		return err
	}
	if err := il.insertMoments(ctx); err != nil {
		return err
	}
	if err := il.insertChanges(ctx); err != nil {
		return err
	}
	if err := il.nameForeign(ctx); err != nil {
		return err
	}
	if err := l.disks.settle(l.acq.Exhibit); err != nil {
		return err // a reader may have taken it for damage
	}
	return il.insertHits(ctx)
}

// How much the heap may grow, in percent, before garbage is collected: while an
// image is loaded, while the metadata of a volume of largeVolume bytes or more
// is read, and while one of more than manyEntries is walked.
const (
	thriftPercent = 50
	largePercent  = 15
	manyPercent   = 5
	largeVolume   = 8 << 30
	manyEntries   = 1 << 17
)

// thrift bounds the memory of a load. Rows are written in the order of their
// numbers, so the database needs a small cache only; and what the walk of a
// large volume holds has no pointers, so that collecting garbage often costs
// little. The function that it gives sets everything back.
func (l *load) thrift(ctx context.Context) (func() error, error) {
	var size int64
	if err := l.t.conn.QueryRowContext(ctx, "PRAGMA cache_size").Scan(&size); err != nil {
		return nil, err
	}
	if err := l.t.exec(ctx, "PRAGMA cache_size = -16384"); err != nil {
		return nil, err
	}
	percent := debug.SetGCPercent(thriftPercent)
	return func() error {
		debug.SetGCPercent(percent)
		return l.t.exec(context.WithoutCancel(ctx), fmt.Sprintf("PRAGMA cache_size = %d", size))
	}, nil
}

// gap notes something that could not be read and counts it.
func (l *load) gap(place string, offset int64, reason string) {
	l.stats.mu.Lock()
	l.stats.BadRecords++
	l.stats.mu.Unlock()
	l.stats.gap(evidence.Gap{Exhibit: l.acq.Exhibit, Place: place, Offset: offset, Reason: reason})
}

// Volumes describes the volumes of a disk, before anything of them is walked.
// Error is set where a volume holds something that cannot be read, or has bytes
// past the end of the image; space that no partition covers, and what is empty
// or has no file system by its nature, is no error.
func Volumes(d *disk.Disk) []evidence.VolumeStats {
	all := make([]evidence.VolumeStats, 0, len(d.Volumes))
	for _, v := range d.Volumes {
		all = append(all, volumeStats(v))
	}
	return all
}

// TableGaps gives the places where a partition table of the disk, or of a volume
// in it, could not be followed, so that volumes may be missing. Exhibit is the
// name of the disk.
func TableGaps(d *disk.Disk) []evidence.Gap {
	var all []evidence.Gap
	for _, b := range d.Breaks {
		all = append(all, evidence.Gap{Exhibit: d.Name, Place: d.Name, Offset: b.Offset, Reason: "partition table: " + b.Reason})
	}
	for _, v := range d.Volumes {
		for _, b := range v.Breaks {
			at, ok := v.Place(b.Offset)
			if !ok {
				at = v.Start
			}
			all = append(all, evidence.Gap{Exhibit: d.Name, Place: strings.TrimPrefix(d.Name+"/"+v.ID, "/"), Offset: at, Reason: "partition table: " + b.Reason})
		}
	}
	return all
}

func volumeStats(v *disk.Volume) evidence.VolumeStats {
	s := evidence.VolumeStats{ID: v.ID, Type: v.Type, FS: v.FSType, Label: v.FSLabel, UUID: v.FSUUID, Start: v.Start, Size: v.Size, Exhibits: v.Images}
	if s.Label == "" {
		s.Label = v.Label
	}
	if s.UUID == "" {
		s.UUID = v.UUID
	}
	s.State = slices.Clone(v.Notes)
	if v.Damage != "" && !slices.Contains(s.State, v.Damage) {
		s.State = append(s.State, v.Damage)
	}
	if v.FS != nil {
		for _, n := range v.FS.Info().State {
			if !slices.Contains(s.State, n) {
				s.State = append(s.State, n)
			}
		}
	}
	switch {
	case v.Err != nil:
		text := v.Err.Error()
		s.Error = &text
	case strings.HasPrefix(v.Damage, "truncated:"):
		s.Error = &v.Damage
	}
	return s
}

// volume walks one file system and writes its entries.
func (l *imageLoad) volume(ctx context.Context, v *disk.Volume, n int64, stats *evidence.VolumeStats) (err error) {
	if v.FS == nil {
		return nil
	}
	s := newSorter(l.c.spillDir())
	if v.Size >= largeVolume {
		debug.SetGCPercent(largePercent)
		s.keep = 1
	}
	defer func() { err = errors.Join(err, s.close()) }()
	w := volumeWalk{l: l, v: v, stats: stats, sorter: s, inside: l.inside.volume(ctx, v)}
	if err = w.holes(ctx); err == nil {
		err = w.walk(ctx)
	}
	if err == nil {
		err = l.changes(ctx, v, n)
	}
	if err := errors.Join(err, w.inside.done(ctx)); err != nil {
		return err
	}
	l.insideWanted()
	debug.SetGCPercent(thriftPercent)
	if stats.Entries > manyEntries {
		debug.FreeOSMemory() // of the walk, before the database needs some
	}
	return l.rows.volume(ctx, v.ID, s)
}

// volumeWalk puts the entries of one file system in order.
type volumeWalk struct {
	l          *imageLoad
	v          *disk.Volume
	stats      *evidence.VolumeStats
	sorter     *sorter
	missing    map[filesystem.Ref]imaging.Hole // of the volume: files that lie there
	inside     *insideVolume
	value, key []byte
}

func (w *volumeWalk) walk(ctx context.Context) error {
	for e, err := range w.v.FS.Walk(ctx) {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			if evidence.Canceled(err) {
				return err
			}
			w.failed(&e, err)
		}
		if e.Path == "" {
			continue
		}
		if len(w.l.unread) > 0 {
			w.l.markUnread(w.v.ID, &e)
		}
		if h, ok := w.missing[e.Ref]; ok {
			e.Damage = alsoDamaged(e.Damage, missingText(h))
		}
		if h, ok := w.missing[e.Ref]; ok && h.Refused {
			w.leftOut(&e, err != nil)
		} else {
			w.count(&e, err != nil)
			w.inside.add(&e)
		}
		if !strings.HasPrefix(e.Path, "/") {
			e.Path = "/" + e.Path
		}
		w.key = append(w.key[:0], e.Path...)
		w.value = packEntry(w.value[:0], &e)
		if err := w.sorter.add(w.key, w.value); err != nil {
			return err
		}
		if w.stats.Entries%4096 == 0 {
			w.l.report("entries", w.l.done.Add(4096))
		}
		if w.stats.Entries == manyEntries {
			debug.SetGCPercent(manyPercent)
		}
	}
	return ctx.Err()
}

// failed notes an error of the walk, and lets the entry that it came with say
// so.
func (w *volumeWalk) failed(e *filesystem.Entry, err error) {
	place, offset := w.l.acq.Exhibit+"/"+w.v.ID, w.v.Start
	var at *imaging.FormatError
	if errors.As(err, &at) && at.Offset >= 0 && at.Offset <= w.v.Size {
		offset += at.Offset
	}
	if e.Path != "" {
		place = w.address(e)
		e.Damage = alsoDamaged(e.Damage, err.Error())
	} else if w.stats.Error == nil {
		text := err.Error()
		w.stats.Error = &text
	}
	w.l.gap(place, offset, err.Error())
}

// count adds an entry to the figures. What is damaged and not deleted is a
// gap: something that was there could not be read whole.
func (w *volumeWalk) count(e *filesystem.Entry, told bool) {
	w.stats.Entries++
	if e.Status == filesystem.Deleted {
		w.stats.Deleted++
	}
	if e.Damage == "" {
		return
	}
	w.stats.Damaged++
	if told || e.Status == filesystem.Deleted {
		return
	}
	w.l.gap(w.address(e), w.v.Start+max(0, e.First), e.Damage)
}

// leftOut counts an entry whose content was not acquired on purpose: that is no
// gap of the reading, and nothing is looked for in it.
func (w *volumeWalk) leftOut(e *filesystem.Entry, told bool) {
	before := e.Damage
	e.Damage = strings.TrimSuffix(strings.TrimSuffix(e.Damage, missingText(w.missing[e.Ref])), "; ")
	w.count(e, told)
	e.Damage = before
	w.stats.NotAcquired++
}

// missingText is the damage of an entry that has bytes in a hole.
func missingText(h imaging.Hole) string {
	if h.Refused {
		return fmt.Sprintf("partial: byte %d of the volume is %s", h.Offset, h.Reason)
	}
	return fmt.Sprintf("partial: byte %d of the volume is not here: %s: zeros stand there", h.Offset, h.Reason)
}

func (w *volumeWalk) address(e *filesystem.Entry) string {
	return evidence.Address{Exhibit: w.l.acq.Exhibit, Volume: w.v.ID, Inode: e.Ref.Inode, Generation: e.Ref.Generation, Path: e.Path}.String()
}

// alsoDamaged adds a sentence to a damage, unless it says so already.
func alsoDamaged(damage, more string) string {
	switch {
	case damage == "":
		return more
	case more == "" || strings.Contains(damage, more):
		return damage
	}
	return damage + "; " + more
}
