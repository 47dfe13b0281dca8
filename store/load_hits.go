package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"snapcase/evidence"
	"snapcase/evidence/credential"
	"snapcase/imaging/disk"
	"snapcase/imaging/filesystem"
)

// hitsFile is the list of access key ids that acquisition writes into an
// exhibit.
const hitsFile = "hits.jsonl"

// hitsAtOnce is how many hits are placed in one pass over the extents.
const hitsAtOnce = 200_000

// hits loads the access key ids of the exhibit, and finds who owns the bytes
// where d is a disk.
func (l *load) hits(ctx context.Context, d *disk.Disk) error {
	f, err := os.Open(filepath.Join(l.c.folder.Exhibit(l.acq.Exhibit), hitsFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // read-only
	b, err := newBulk(l.t, "hits", "x,key,kind,off,file,address,status,file_offset,secret,fingerprint,doc")
	if err != nil {
		return err
	}
	var some []credential.Hit
	for h, err := range credential.ReadHits(ctxReader{ctx, f}) {
		var omitted *credential.OmittedError
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.As(err, &omitted):
			l.stats.gap(evidence.Gap{Exhibit: l.acq.Exhibit, Place: l.acq.Exhibit + "/" + hitsFile, Reason: omitted.Error()})
			continue
		case err != nil:
			l.stats.BadRecords++
			l.stats.gap(evidence.Gap{Exhibit: l.acq.Exhibit, Place: l.acq.Exhibit + "/" + hitsFile, Reason: err.Error()})
			continue
		}
		if some = append(some, h); len(some) == hitsAtOnce {
			if err := l.placeHits(ctx, b, some, d); err != nil {
				return err
			}
			some = some[:0]
		}
	}
	return errors.Join(l.placeHits(ctx, b, some, d), b.end(ctx))
}

// placed is where a hit lies.
type placed struct {
	address    any // text, or nil
	status     string
	fileOffset any
	file       any
}

func (l *load) placeHits(ctx context.Context, b *bulk, hits []credential.Hit, d *disk.Disk) error {
	places := make([]placed, len(hits))
	var err error
	switch {
	case len(hits) == 0:
		return nil
	case d != nil:
		err = l.placeOnDisk(ctx, hits, d, places)
	case l.acq.Kind == evidence.KindMemory:
		for i := range places {
			places[i].status = "memory"
		}
	default:
		err = l.placeInFiles(ctx, hits, places)
	}
	if err != nil {
		return err
	}
	for i, h := range hits {
		p := places[i]
		if err := b.add(ctx, int64(l.x), l.dict.id(h.KeyID, colOther), h.Kind, h.Offset, p.file, p.address, p.status, p.fileOffset, truth(h.Secret), nullText(h.Fingerprint), truth(h.Documentation)); err != nil {
			return err
		}
	}
	return nil
}

func truth(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

// placeInFiles is for exhibits that are folders: the address is the exhibit
// and the name of the file.
func (l *load) placeInFiles(ctx context.Context, hits []credential.Hit, places []placed) error {
	status := "allocated"
	if l.acq.Kind != evidence.KindFile {
		status = "log"
	}
	if l.fileIDs == nil {
		if _, err := l.insertFiles(ctx, make([]int64, len(l.files)), make([][]byte, len(l.files))); err != nil {
			return err
		}
	}
	for i, h := range hits {
		name := h.File
		if h.FileB64 != nil {
			name = string(h.FileB64)
		}
		places[i] = placed{address: l.acq.Exhibit + "/" + name, status: status, fileOffset: h.Offset}
	}
	return nil
}

// placeOnDisk asks the file systems who owns the bytes.
func (l *load) placeOnDisk(ctx context.Context, hits []credential.Hit, d *disk.Disk, places []placed) error {
	offsets := make([]int64, len(hits))
	for i, h := range hits {
		offsets[i] = h.Offset
	}
	owners, err := d.Owners(ctx, offsets)
	if err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		l.stats.gap(evidence.Gap{Exhibit: l.acq.Exhibit, Place: l.acq.Exhibit, Offset: offsetOf(err), Reason: fmt.Sprintf("keys could not be placed: %v", err)})
		owners = make([]disk.Owner, len(hits))
	}
	names, err := l.namesOf(ctx, owners)
	if err != nil {
		return err
	}
	for i, o := range owners {
		places[i] = l.placeOf(&o, names)
	}
	return nil
}

func (l *load) placeOf(o *disk.Owner, names map[inodeKey]string) placed {
	p := placed{status: "unallocated"}
	if o.Kind == 0 || o.Kind == filesystem.OwnFree {
		return p
	}
	switch {
	case o.Slack:
		p.status = "slack"
	case o.Status == filesystem.Deleted:
		p.status = "deleted"
	default:
		p.status = "allocated"
	}
	if o.Ref.Inode == 0 {
		return p // metadata of the file system itself
	}
	p.address = evidence.Address{Exhibit: l.acq.Exhibit, Volume: o.Volume, Inode: o.Ref.Inode, Generation: o.Ref.Generation, Path: names[keyOf(o)]}.String()
	p.fileOffset = o.FileOffset
	return p
}

// inodeKey names an inode of a volume.
type inodeKey struct {
	volume string
	ref    filesystem.Ref
}

func keyOf(o *disk.Owner) inodeKey { return inodeKey{o.Volume, o.Ref} }

// namesOf finds the first path of each owner, an allocated one before a
// deleted one.
func (l *load) namesOf(ctx context.Context, owners []disk.Owner) (map[inodeKey]string, error) {
	wanted := map[inodeKey]bool{}
	var inodes []int64
	for i := range owners {
		if o := &owners[i]; o.Ref.Inode != 0 && !wanted[keyOf(o)] {
			wanted[keyOf(o)] = true
			inodes = append(inodes, int64(o.Ref.Inode)) //nolint:gosec // two's complement, as stored
		}
	}
	names := map[inodeKey]string{}
	rows, err := l.t.conn.QueryContext(ctx, `SELECT d.volume, e.inode, e.gen, coalesce(m.stream, ''), d.path || '/' || e.name FROM entries e JOIN dirs d ON d.id = e.dir LEFT JOIN entries_more m ON m.id = e.id
		WHERE d.x = ? AND e.inode IN (SELECT value FROM json_each(?)) ORDER BY e.attrs & 3, e.id`, l.x, list(inodes))
	if err != nil {
		return nil, err
	}
	defer rows.Close() //nolint:errcheck // Err is asked
	for rows.Next() {
		var inode, gen int64
		var vol, stream, path string
		if err := rows.Scan(&vol, &inode, &gen, &stream, &path); err != nil {
			return nil, err
		}
		k := inodeKey{vol, filesystem.Ref{Inode: uint64(inode), Generation: uint32(gen), Stream: stream}} //nolint:gosec // as stored
		if _, ok := names[k]; !ok && wanted[k] {
			names[k] = path
		}
	}
	return names, rows.Err()
}
