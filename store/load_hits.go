package store

import (
	"context"
	"database/sql/driver"
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

// hitsFile is where acquire leaves the access key ids that it saw, in the
// folder of the exhibit.
const hitsFile = "hits.jsonl"

// The words of evidence.Place.Status.
const (
	hitAllocated   = "allocated"
	hitDeleted     = "deleted"
	hitSlack       = "slack"
	hitUnallocated = "unallocated"
	hitMemory      = "memory"
	hitLog         = "log"
)

// place is where a hit lies, as the index keeps it.
type hitPlace struct {
	file       driver.Value // number of the file
	address    driver.Value
	status     string
	fileOffset driver.Value
	area       driver.Value
	inner      driver.Value  // offset in the decoded stream that address names
	content    *contentPlace // the byte of a file that it is, nil where it is none
}

// eachHit calls f for every hit that acquire found. What could not be kept or
// cannot be read is a gap.
func (l *load) eachHit(f func(n int, h *credential.Hit) error) error {
	in, err := os.Open(filepath.Join(l.c.folder.Exhibit(l.acq.Exhibit), hitsFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer in.Close() //nolint:errcheck // read-only
	n := 0
	for h, err := range credential.ReadHits(in) {
		if err != nil {
			continue // hitGaps tells
		}
		if err := f(n, &h); err != nil {
			return err
		}
		n++
	}
	return nil
}

// hitGaps notes what is missing from the hits.
func (l *load) hitGaps() error {
	place := l.acq.Exhibit + "/" + hitsFile
	in, err := os.Open(filepath.Join(l.c.folder.Exhibit(l.acq.Exhibit), hitsFile))
	if errors.Is(err, fs.ErrNotExist) && l.early {
		return nil // it is made when all is acquired
	}
	if errors.Is(err, fs.ErrNotExist) {
		l.gap(place, 0, "the list of access key ids is missing: none is shown for this exhibit")
		return nil
	}
	if err != nil {
		return err
	}
	defer in.Close() //nolint:errcheck // read-only
	for _, err := range credential.ReadHits(in) {
		var more *credential.OmittedError
		switch {
		case errors.As(err, &more):
			l.gap(place, 0, fmt.Sprintf("%d more access key ids were found than are kept", more.N))
		case err != nil:
			l.gap(place, 0, err.Error())
		}
	}
	return nil
}

// writeHits writes every hit of the exhibit, each with the place that where
// gives it, and then those inside files.
func (l *load) writeHits(ctx context.Context, where func(n int, h *credential.Hit) hitPlace, inside ...insideHit) error {
	if err := l.hitGaps(); err != nil {
		return err
	}
	var id int64
	if err := l.t.conn.QueryRowContext(ctx, "SELECT coalesce(max(id), 0) FROM hits").Scan(&id); err != nil {
		return err
	}
	b, err := newBulk(l.t, "hits", "id,x,key,kind,off,file,address,status,file_offset,secret,fingerprint,doc,area,inner_offset")
	if err != nil {
		return err
	}
	add := func(h *credential.Hit, p hitPlace) error {
		id++
		return b.add(ctx, id, int64(l.x), l.dict.id(h.KeyID, colOther), h.Kind, h.Offset, p.file, p.address, p.status, p.fileOffset,
			flag(h.Secret), nullText(h.Fingerprint), flag(h.Documentation), p.area, p.inner)
	}
	members := insidePlaces(inside)
	err = l.eachHit(func(n int, h *credential.Hit) error {
		if n%4096 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		p := where(n, h)
		if p.content != nil {
			if i, ok := members[sameKey{*p.content, h.KeyID, h.Encoding}]; ok {
				inside[i].sameAs(h, &p)
				return nil
			}
		}
		return add(h, p)
	})
	for i := range inside {
		if err != nil {
			break
		}
		err = add(&inside[i].Hit, inside[i].place)
	}
	return errors.Join(err, b.end(ctx))
}

func flag(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

// folderHits writes the hits of an exhibit that is a folder. Their offsets
// count in the file, which is named as exhibit and file without a record.
// Keys in CloudTrail are found by its loader, record by record; flow logs have no
// field that could hold one.
func (l *load) folderHits(ctx context.Context) error {
	status := hitLog
	switch l.acq.Kind {
	case evidence.KindFile:
		status = hitAllocated
	case evidence.KindFindings, evidence.KindPcap:
	default:
		return nil
	}
	if l.fileIDs == nil {
		none := make([]int64, len(l.files))
		if _, err := l.insertFiles(ctx, none, make([][]byte, len(l.files))); err != nil {
			return err
		}
	}
	ids := make(map[string]int64, len(l.files))
	for i, f := range l.files {
		ids[f.name] = l.fileIDs[i]
	}
	more, err := l.folderInside(ctx, ids, status)
	if err != nil {
		return err
	}
	return l.writeHits(ctx, func(_ int, h *credential.Hit) hitPlace {
		name := h.File
		if h.FileB64 != nil {
			name = string(h.FileB64)
		}
		address := l.acq.Exhibit + "/" + name
		return hitPlace{file: null(ids[name]), address: address, status: status, content: &contentPlace{ownerKey{volume: address}, h.Offset}}
	}, more...)
}

// memoryHits writes the hits of a memory image: nothing is known of what owns
// them.
func (l *load) memoryHits(ctx context.Context) error {
	return l.writeHits(ctx, func(int, *credential.Hit) hitPlace { return hitPlace{status: hitMemory} })
}

// ownersAtOnce is how many offsets are mapped to their owners in one pass over
// the disk.
const ownersAtOnce = 1 << 18

// ownerKey names who owns bytes of a disk; image is the exhibit that the volume
// is listed under.
type ownerKey struct {
	image, volume string
	ref           filesystem.Ref
}

func keyOf(o *disk.Owner) ownerKey { return ownerKey{o.Image, o.Volume, o.Ref} }

// ownerName is the entry by which an owner is shown: the first one in the
// order of the listing, allocated ones first.
type ownerName struct {
	path  string
	found bool
	rank  filesystem.Status
}

// ownHits asks the disk who owns the bytes of every hit.
func (l *imageLoad) ownHits(ctx context.Context) error {
	l.wanted = map[ownerKey]*ownerName{}
	var offsets []int64
	ask := func() error {
		if len(offsets) == 0 {
			return nil
		}
		own, err := l.disk.Owners(ctx, offsets)
		if evidence.Canceled(err) {
			return err
		}
		if err != nil {
			l.gap(l.acq.Exhibit, 0, fmt.Sprintf("who owns the bytes of access key ids: %v", err))
		}
		for i := range offsets {
			var o disk.Owner
			if i < len(own) {
				o = own[i]
			}
			if o.Ref != (filesystem.Ref{}) {
				l.wanted[keyOf(&o)] = &ownerName{}
			}
			l.owners = append(l.owners, o)
		}
		offsets = offsets[:0]
		return nil
	}
	err := l.eachHit(func(_ int, h *credential.Hit) error {
		if offsets = append(offsets, h.Offset); len(offsets) == ownersAtOnce {
			return ask()
		}
		return nil
	})
	if err != nil {
		return err
	}
	return ask()
}

// owns takes the name of an entry that a hit was found in. Entries come in the
// order of the listing.
func (l *imageLoad) owns(volume string, e *filesystem.Entry) {
	if len(l.wanted) == 0 {
		return
	}
	n := l.wanted[ownerKey{l.disk.Name, volume, e.Ref}]
	if n == nil {
		return
	}
	rank := e.Status
	if rank == filesystem.Deleted {
		rank = filesystem.Orphan + 1 // behind what is in use
	}
	if !n.found || rank < n.rank {
		*n = ownerName{path: e.Path, found: true, rank: rank}
	}
}

// insertHits writes the hits of a disk.
func (l *imageLoad) insertHits(ctx context.Context) error {
	return l.writeHits(ctx, func(n int, h *credential.Hit) hitPlace {
		if n >= len(l.owners) {
			return hitPlace{status: hitUnallocated, area: areaUnknown}
		}
		return l.placeOf(&l.owners[n], h.Offset)
	}, l.insideHits()...)
}

// The words of evidence.Place.Area that are not a kind of owner.
const (
	// areaUnknown marks bytes of which nothing says whether something owns
	// them: the file system there is not read, or its account is not whole.
	areaUnknown = "unknown"
	// areaContested marks bytes that several files claim: the first is named.
	areaContested = "contested"
	// areaSwap is the format of a swap area. Its address is that of the volume.
	areaSwap = "swap"
)

// placeOf says where the hit at byte at of the image lies, by its owner. Bytes that no entry owns are
// unallocated; where they are not free but the file system's own, or nothing is
// known of them, area says so.
func (l *imageLoad) placeOf(o *disk.Owner, at int64) hitPlace {
	p := hitPlace{status: hitUnallocated}
	switch o.Kind {
	case filesystem.OwnContent:
	case filesystem.OwnDir:
		p.area = "directory"
	case filesystem.OwnXattr:
		p.area = "xattr"
	case filesystem.OwnMeta:
		p.area = "metadata"
	case filesystem.OwnJournal:
		p.area = "journal"
	default:
		p.area = l.areaOf(o)
		if p.area == areaSwap {
			l.inSwap(&p, o, at)
		}
		return p
	}
	if o.Claims > 1 && p.area == nil {
		p.area = areaContested
	}
	name := l.wanted[keyOf(o)]
	if o.Ref.Inode == 0 || name == nil || !name.found && o.Kind != filesystem.OwnContent && o.Kind != filesystem.OwnDir {
		return p // the journal's inode has no name
	}
	p.address = evidence.Address{Exhibit: o.Image, Volume: o.Volume, Inode: o.Ref.Inode, Generation: o.Ref.Generation, Path: name.path}.String()
	switch {
	case o.Slack:
		p.status = hitSlack
		return p // behind the end of the content
	case o.Status == filesystem.Deleted:
		p.status = hitDeleted
	default:
		p.status = hitAllocated
	}
	if o.Kind == filesystem.OwnContent || o.Kind == filesystem.OwnDir {
		p.fileOffset = o.FileOffset
		p.content = &contentPlace{keyOf(o), o.FileOffset}
	}
	return p
}

// inSwap names the volume of a hit in a swap area, and the byte of that: it was
// in the memory of the machine.
func (l *imageLoad) inSwap(p *hitPlace, o *disk.Owner, at int64) {
	p.address = l.acq.Exhibit + "/" + o.Volume
	v := l.volumeOf(o)
	if v == nil {
		return
	}
	if off, ok := v.Locate(at); ok {
		p.fileOffset = off
	}
}

// areaOf says what a byte that no entry owns can be: nil where it is free, or
// lies in a gap between partitions; the table it is a part of; the format of a
// volume that is not read; otherwise nobody knows.
func (l *imageLoad) areaOf(o *disk.Owner) driver.Value {
	v := l.volumeOf(o)
	switch {
	case o.Region != "":
		return o.Region
	case o.Doubt != "" || v == nil:
		return areaUnknown
	case o.Kind == filesystem.OwnFree || v.Gap():
		return nil
	case v.FS == nil && v.FSType != "":
		return v.FSType
	}
	return areaUnknown
}
