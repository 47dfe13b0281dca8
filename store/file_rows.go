package store

import (
	"context"
	"fmt"
	"strings"
	"unicode/utf8"

	"snapcase/evidence"
	"snapcase/imaging"
	"snapcase/imaging/filesystem"
)

// entryRow is an entry of the index with what only the index knows of it.
type entryRow struct {
	evidence.FileEntry
	id     int64
	path   string // raw bytes
	stream string
	kind   filesystem.Type
	first  int64 // first byte of the content in the volume, -1 for none
}

func (r *entryRow) ref() filesystem.Ref {
	return filesystem.Ref{Inode: r.Inode, Generation: r.Generation, Stream: r.stream}
}

// entryRows loads entries by number, in the order of ids.
func (q *question) entryRows(ctx context.Context, ids []int64) ([]entryRow, error) {
	rows := make(map[int64]*entryRow, len(ids))
	lie := make(map[int64]int64, len(ids)) // directories
	var dirs []int64
	err := q.entriesAt(ctx, ids, func(x int, l *listedEntry) error {
		e := &entryRow{id: l.id, path: string(l.name)}
		e.Exhibit = q.exhibit(x)
		rows[l.id], lie[l.id] = e, l.dir
		if n := len(dirs); n == 0 || dirs[n-1] != l.dir {
			dirs = append(dirs, l.dir)
		}
		return e.unpack(l.rest)
	})
	if err != nil {
		return nil, err
	}
	places, err := q.directories(ctx, dirs)
	if err != nil {
		return nil, err
	}
	for id, e := range rows {
		e.place(places[lie[id]])
	}
	out := make([]entryRow, len(ids))
	for i, id := range ids {
		out[i] = *rows[id]
	}
	return out, nil
}

// unpack takes what packEntry wrote.
func (e *entryRow) unpack(rest []byte) error {
	var f filesystem.Entry
	if err := unpackEntry(rest, &f); err != nil {
		return fmt.Errorf("entry %d: %w", e.id, err)
	}
	e.stream, e.kind, e.first = f.Ref.Stream, f.Type, f.First
	e.Inode, e.Generation, e.UID, e.GID, e.Links, e.Size = f.Ref.Inode, f.Ref.Generation, f.UID, f.GID, f.Links, f.Size
	e.Type, e.Status, e.From, e.Mode = f.Type.String(), f.Status.String(), f.From, octal(f.Mode)
	e.Modified, e.Accessed, e.Changed, e.Born, e.DeletedAt = f.Modified, f.Accessed, f.Changed, f.Born, f.Deleted
	if f.Link != "" || f.Type == filesystem.TypeSymlink {
		text, raw := textOf(f.Link)
		e.Link, e.LinkB64 = &text, raw
	}
	if f.Damage != "" {
		e.Damage = &f.Damage
	}
	return nil
}

// place says where an entry lies of which the name is known.
func (e *entryRow) place(d directory) {
	e.Volume, e.path = d.volume, d.path+"/"+e.path
	e.Path, e.PathB64 = textOf(e.path)
	e.Address = evidence.Address{Exhibit: e.Exhibit, Volume: e.Volume, Inode: e.Inode, Generation: e.Generation, Path: e.path}.String()
}

// octal is a mode as stat prints it: six digits.
func octal(mode uint32) string {
	var b [11]byte
	n := len(b)
	for mode > 0 || n > len(b)-6 {
		n--
		b[n] = byte('0' + mode&7)
		mode >>= 3
	}
	return string(b[n:])
}

// textOf is bytes of evidence as text, and the bytes again where they are not
// UTF-8.
func textOf(s string) (text string, raw []byte) {
	if utf8.ValidString(s) {
		return s, nil
	}
	return s, []byte(s)
}

// moments gives the lines of the timeline at some positions of the table
// moments. Tags are the caller's.
func (q *question) moments(ctx context.Context, at []position) ([]evidence.Moment, error) {
	rows, err := q.momentsAt(ctx, at)
	if err != nil {
		return nil, err
	}
	ids := make([]int64, 0, len(at))
	seen := make(map[int64]int, len(at))
	for _, m := range rows {
		if _, ok := seen[m.entry]; !ok {
			seen[m.entry] = len(ids)
			ids = append(ids, m.entry)
		}
	}
	entries, err := q.entryRows(ctx, ids)
	if err != nil {
		return nil, err
	}
	out := make([]evidence.Moment, 0, len(at))
	for _, m := range rows {
		e := &entries[seen[m.entry]]
		v := evidence.Moment{Source: "fs", Type: macbText(int64(m.macb)), Summary: e.Path, Exhibit: e.Exhibit, Record: e.Address, Time: e.timeOf(int64(m.macb))}
		if e.Status == filesystem.Deleted.String() {
			v.Summary += " (deleted)"
		}
		out = append(out, v)
	}
	return out, nil
}

// timeOf is the time of the entry that the bits of a moment name.
func (e *entryRow) timeOf(macb int64) imaging.Time {
	for i, t := range [5]imaging.Time{e.Modified, e.Accessed, e.Changed, e.Born, e.DeletedAt} {
		if macb&int64(macbBits()[i]) != 0 {
			return t
		}
	}
	return imaging.Time{}
}

// macbText is "M.C." for the bits of a moment, with a fifth letter D for the
// time of deletion.
func macbText(bits int64) string {
	var b strings.Builder
	for i, letter := range []byte("MACBD") {
		switch {
		case bits&int64(macbBits()[i]) != 0:
			b.WriteByte(letter)
		case i < 4:
			b.WriteByte('.')
		}
	}
	return b.String()
}
