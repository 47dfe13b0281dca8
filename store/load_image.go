package store

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"snapcase/evidence"
	"snapcase/imaging"
	"snapcase/imaging/disk"
	"snapcase/imaging/filesystem"
	"snapcase/imaging/image"
)

// image loads a disk or memory exhibit: entries, moments, hits.
func (l *load) image(ctx context.Context) error {
	src, err := image.Open(l.c.folder.Image(l.acq.Exhibit))
	if err != nil {
		return evidence.WithHint(err, "the exhibit is not complete: run snapcase verify CASE")
	}
	defer src.Close() //nolint:errcheck // read-only
	l.stats.Files = 1
	var d *disk.Disk
	if l.acq.Kind == evidence.KindDisk {
		if d, err = disk.Open(src); err != nil {
			return err
		}
		e := &entryLoad{load: l, disk: d, rows: newSpill(l.scratch(), compareRows), moments: newSpill(l.scratch(), bytes.Compare)}
		err = e.run(ctx)
		if err = errors.Join(err, e.rows.close(), e.moments.close()); err != nil {
			return err
		}
	}
	return l.hits(ctx, d)
}

// scratch is where large sorts put their files.
func (l *load) scratch() string { return filepath.Dir(l.c.indexPath()) }

// entryLoad loads the entries of a disk.
type entryLoad struct {
	*load
	disk    *disk.Disk
	rows    *spill // entries as packed rows, by volume and path
	moments *spill // time, entry, letters
	vol     int    // number of the volume under way
	n       int64  // entries so far
	buf     []byte
}

func (l *entryLoad) run(ctx context.Context) error {
	for i, v := range l.disk.Volumes {
		l.vol = i
		l.stats.Volumes = append(l.stats.Volumes, volumeStats(v))
		if v.FS == nil {
			continue
		}
		if err := l.walk(ctx, v, &l.stats.Volumes[i]); err != nil {
			return fmt.Errorf("volume %s: %w", v.ID, err)
		}
	}
	if err := l.insertEntries(ctx); err != nil {
		return err
	}
	return l.insertMoments(ctx)
}

// volumeStats describes a volume before it is walked.
func volumeStats(v *disk.Volume) evidence.VolumeStats {
	s := evidence.VolumeStats{ID: v.ID, Type: v.Type, FS: v.FSType, Label: v.FSLabel, UUID: v.FSUUID, Start: v.Start, Size: v.Size, State: v.Notes}
	if s.Label == "" {
		s.Label = v.Label
	}
	if v.Damage != "" {
		s.State = append(s.State[:len(s.State):len(s.State)], v.Damage)
	}
	if v.Err != nil {
		t := v.Err.Error()
		s.Error = &t
	}
	return s
}

func (l *entryLoad) walk(ctx context.Context, v *disk.Volume, s *evidence.VolumeStats) error {
	for e, err := range v.FS.Walk(ctx) {
		if err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if e.Path == "" && e.Ref == (filesystem.Ref{}) {
				t := err.Error()
				s.Error = &t
				l.stats.gap(evidence.Gap{Exhibit: l.acq.Exhibit, Place: l.acq.Exhibit + "/" + v.ID, Offset: offsetOf(err), Reason: t})
				continue
			}
			if e.Damage == "" {
				e.Damage = err.Error()
			}
		}
		s.Entries++
		if e.Status != filesystem.Allocated {
			s.Deleted++
		}
		if e.Damage != "" {
			s.Damaged++
			if e.Status == filesystem.Allocated { // what is deleted is expected to be incomplete
				l.stats.gap(evidence.Gap{Exhibit: l.acq.Exhibit, Place: address(l.acq.Exhibit, v.ID, &e), Offset: offsetOf(err), Reason: e.Damage})
			}
		}
		for _, t := range []imaging.Time{e.Modified, e.Accessed, e.Changed, e.Born} {
			l.stats.seen(t)
		}
		if err := l.rows.add(l.pack(&e)); err != nil {
			return err
		}
		if l.n++; l.n%16384 == 0 {
			l.report("entries", l.n)
		}
	}
	return ctx.Err()
}

func address(exhibit, vol string, e *filesystem.Entry) string {
	return evidence.Address{Exhibit: exhibit, Volume: vol, Inode: e.Ref.Inode, Generation: e.Ref.Generation, Path: e.Path}.String()
}

// offsetOf is the place that an error names, bytes.
func offsetOf(err error) int64 {
	var f *imaging.FormatError
	if errors.As(err, &f) {
		return f.Offset
	}
	return 0
}

// pack makes the row that is sorted: volume and path, then the rest. Numbers
// of the header are big endian so that bytes compare as they should.
func (l *entryLoad) pack(e *filesystem.Entry) []byte {
	b := binary.BigEndian.AppendUint32(l.buf[:0], uint32(l.vol)) //nolint:gosec // few volumes
	b = binary.AppendUvarint(b, uint64(len(e.Path)))
	b = append(b, e.Path...)
	for _, s := range []string{e.Ref.Stream, e.Link, e.Damage, e.From} {
		b = binary.AppendUvarint(b, uint64(len(s)))
		b = append(b, s...)
	}
	b = binary.AppendUvarint(b, e.Ref.Inode)
	for _, n := range []uint32{e.Ref.Generation, uint32(e.Type), e.Mode, e.UID, e.GID, e.Links, uint32(e.Status)} {
		b = binary.AppendUvarint(b, uint64(n))
	}
	b = binary.AppendVarint(b, e.Size)
	b = binary.AppendVarint(b, e.First)
	for _, t := range []imaging.Time{e.Modified, e.Accessed, e.Changed, e.Born, e.Deleted} {
		if !t.Set {
			b = append(b, 0)
			continue
		}
		b = append(b, 1)
		b = binary.AppendVarint(b, t.Sec)
		b = binary.AppendVarint(b, int64(t.Nsec))
	}
	l.buf = b
	return b
}

// compareRows orders packed rows by volume and path.
func compareRows(a, b []byte) int {
	if c := bytes.Compare(a[:4], b[:4]); c != 0 {
		return c
	}
	return bytes.Compare(rowPath(a), rowPath(b))
}

func rowPath(b []byte) []byte {
	n, k := binary.Uvarint(b[4:])
	return b[4+k:][:n]
}

// packedRow reads what pack wrote.
type packedRow struct{ b []byte }

func (p *packedRow) text() string {
	n, k := binary.Uvarint(p.b)
	s := string(p.b[k:][:n])
	p.b = p.b[k+int(n):] //nolint:gosec // written by pack
	return s
}

func (p *packedRow) unsigned() int64 {
	n, k := binary.Uvarint(p.b)
	p.b = p.b[k:]
	return int64(n) //nolint:gosec // two's complement
}

func (p *packedRow) signed() int64 {
	n, k := binary.Varint(p.b)
	p.b = p.b[k:]
	return n
}

func (p *packedRow) time() (t imaging.Time) {
	t.Set = p.b[0] == 1
	if p.b = p.b[1:]; t.Set {
		t.Sec, t.Nsec = p.signed(), int32(p.signed()) //nolint:gosec // written by pack
	}
	return t
}

// openDir is a folder whose entries are being written. In the order of paths
// all that lies below a folder stands together, so a stack knows them all.
type openDir struct {
	id   int64
	path string // without the last slash
}

func (l *entryLoad) insertEntries(ctx context.Context) error {
	first, err := l.nextID(ctx, "entries")
	if err != nil {
		return err
	}
	var nextDir int64
	if err := l.t.conn.QueryRowContext(ctx, "SELECT coalesce(max(id), 0) + 1 FROM dirs").Scan(&nextDir); err != nil {
		return err
	}
	ent, err := newBulk(l.t, "entries", "id,dir,name,inode,gen,attrs,owner,size,mtime,atime,ctime,btime,dtime,first")
	if err != nil {
		return err
	}
	dirs, err := newBulk(l.t, "dirs", "id,x,volume,path")
	if err != nil {
		return err
	}
	more, err := newBulk(l.t, "entries_more", "id,stream,link,damage,found")
	if err != nil {
		return err
	}
	sp := newSpan(l.x, "entries", first)
	var open []openDir
	vol := int64(-1)
	err = l.rows.each(ctx, func(rec []byte) error {
		v := int64(binary.BigEndian.Uint32(rec))
		p := packedRow{rec[4:]}
		path := p.text()
		if v != vol {
			vol, open = v, open[:0]
		}
		dir, name := splitPath(path)
		for len(open) > 0 && !inFolder(open[len(open)-1].path, dir) {
			open = open[:len(open)-1]
		}
		if len(open) == 0 || open[len(open)-1].path != dir {
			open = append(open, openDir{nextDir, dir})
			if err := dirs.add(ctx, nextDir, int64(l.x), l.disk.Volumes[v].ID, dir); err != nil {
				return err
			}
			nextDir++
		}
		id := sp.hi + 1
		sp.row()
		if (id-first)%65536 == 65535 {
			l.report("entries written", id-first+1)
		}
		return l.insertEntry(ctx, ent, more, id, open[len(open)-1].id, name, &p)
	})
	return errors.Join(err, ent.end(ctx), more.end(ctx), dirs.end(ctx), l.saveSpan(ctx, sp))
}

// splitPath gives the folder of a path, without its last slash, and the name;
// the root is "" in "".
func splitPath(path string) (dir, name string) {
	i := strings.LastIndexByte(path, '/')
	if i < 0 {
		return "", path
	}
	return path[:i], path[i+1:]
}

// inFolder says whether dir is parent or lies below it.
func inFolder(parent, dir string) bool {
	return strings.HasPrefix(dir, parent) && (len(dir) == len(parent) || dir[len(parent)] == '/')
}

func (l *entryLoad) insertEntry(ctx context.Context, ent, more *bulk, id, dir int64, name string, p *packedRow) error {
	stream, link, damage, from := p.text(), p.text(), p.text(), p.text()
	if stream != "" || link != "" || damage != "" || from != "" {
		if err := more.add(ctx, id, nullText(stream), nullText(link), nullText(damage), nullText(from)); err != nil {
			return err
		}
	}
	inode := p.unsigned()
	gen, typ, mode, uid, gid, links, status := p.unsigned(), p.unsigned(), p.unsigned(), p.unsigned(), p.unsigned(), p.unsigned(), p.unsigned()
	size, first := p.signed(), p.signed()
	var times [5]any
	var all [5]imaging.Time
	for i, col := range []string{"mtime", "atime", "ctime", "btime", "dtime"} {
		all[i] = p.time()
		if !all[i].Set {
			continue
		}
		ns, exact := nano(all[i])
		if times[i] = ns; !exact {
			if err := l.beyond(ctx, "entries", id, col, all[i]); err != nil {
				return err
			}
		}
	}
	if err := l.addMoments(id, all); err != nil {
		return err
	}
	return ent.add(ctx, id, dir, name, inode, gen, packAttrs(status, typ, mode, links), uid<<32|gid, size, times[0], times[1], times[2], times[3], times[4], first)
}

// packAttrs makes the column attrs of an entry.
func packAttrs(status, typ, mode, links int64) int64 {
	return status&3 | typ&0x3f<<2 | mode&0xffff<<8 | links<<24
}

// The letters of a moment.
const (
	letterB = 1 << iota
	letterC
	letterA
	letterM
	letterD
)

// addMoments makes one moment of each distinct time of an entry.
func (l *entryLoad) addMoments(id int64, t [5]imaging.Time) error {
	bits := [5]byte{letterM, letterA, letterC, letterB, letterD}
	for i := range t {
		if !t[i].Set {
			continue
		}
		ns, _ := nano(t[i])
		var macb byte
		for k := range t {
			if !t[k].Set {
				continue
			}
			if other, _ := nano(t[k]); other == ns {
				if k < i {
					macb = 0
					break // told already
				}
				macb |= bits[k]
			}
		}
		if macb == 0 {
			continue
		}
		var rec [17]byte
		binary.BigEndian.PutUint64(rec[:], uint64(ns)^1<<63) //nolint:gosec // two's complement, made to sort
		binary.BigEndian.PutUint64(rec[8:], uint64(id))      //nolint:gosec // not negative
		rec[16] = macb
		if err := l.moments.add(rec[:]); err != nil {
			return err
		}
	}
	return nil
}

func (l *entryLoad) insertMoments(ctx context.Context) error {
	first, err := l.nextID(ctx, "moments")
	if err != nil {
		return err
	}
	b, err := newBulk(l.t, "moments", "id,ts,what")
	if err != nil {
		return err
	}
	sp := newSpan(l.x, "moments", first)
	err = l.moments.each(ctx, func(rec []byte) error {
		ts := int64(binary.BigEndian.Uint64(rec) ^ 1<<63) //nolint:gosec // see addMoments
		sp.timedRow(ts)
		if (sp.hi-first)%65536 == 65535 {
			l.report("moments", sp.hi-first+1)
		}
		return b.add(ctx, sp.hi, ts, int64(binary.BigEndian.Uint64(rec[8:]))<<5|int64(rec[16])) //nolint:gosec // see addMoments
	})
	return errors.Join(err, b.end(ctx), l.saveSpan(ctx, sp))
}
