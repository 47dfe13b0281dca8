// Package vmdk reads the virtual disks of VMware: monolithicSparse,
// streamOptimized, flat and split ones, and those that stand upon a parent. It
// follows VMware's "Virtual Disk Format 5.0".
//
// # Layout
//
// A disk is described by a text, in a file of its own or within the only file:
//
//	# Disk DescriptorFile
//	CID=7b1f2a3c
//	parentCID=ffffffff
//	createType="monolithicFlat"
//	RW 20480 FLAT "disk-flat.vmdk" 0
//
// Each line of the last kind is an extent: 20,480 sectors of 512 bytes, at 0 in
// the file of that name. FLAT and VMFS extents are plain, ZERO ones are zeros.
//
// A SPARSE extent is a file that begins with 4B 44 4D 56. Its header (512 bytes,
// little-endian) gives the capacity, the grain (128 sectors: 64 KiB) and the
// place of the grain directory, all in sectors. An entry of the directory is the
// place of a grain table of 512 entries, one of those the place of a grain; 0 is
// a grain that is not here (the parent's, or zeros) and, by a flag, 1 is zeros.
// Byte 33,554,432 of an extent is in the first grain of the second table.
//
// In streamOptimized files each grain is a zlib stream behind a marker (its
// sector, 8 bytes, and its length, 4), and the header that counts is the footer,
// 1,024 bytes before the end.
//
// # What a damaged image gives
//
// A directory or table past the end of the file is replaced by the redundant
// copy, where there is one. A stream without its footer is read along its
// markers: what was written is found, what lies behind the last grain is a gap.
// An extent whose file is missing is a gap.
//
// What it does not do: VMFSSPARSE (COWD), SESPARSE and raw device mappings are
// named and not read. Change tracking files are not looked at.
package vmdk

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strings"

	"snapcase/imaging"
	"snapcase/imaging/image/container"
)

const (
	format     = "vmdk"
	sectorSize = 512
	noParent   = "ffffffff"
)

var le = binary.LittleEndian

// Is says whether b, the first bytes of a file, begins as a sparse extent or as
// a descriptor does. A kind that is not read is an *UnsupportedError.
func Is(b []byte) (bool, error) {
	switch {
	case bytes.HasPrefix(b, []byte("COWD")):
		return false, container.Unsupported(format, "it is a VMFSSPARSE extent (COWD), which is not supported")
	case bytes.HasPrefix(b, []byte{0xbe, 0xba, 0xfe, 0xca, 0, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0}):
		return false, container.Unsupported(format, "it is a SESPARSE extent, which is not supported")
	}
	return isSparse(b) || isDescriptor(b), nil
}

func isSparse(b []byte) bool { return bytes.HasPrefix(b, []byte("KDMV")) }

func isDescriptor(b []byte) bool {
	b = bytes.TrimLeft(bytes.TrimPrefix(b, []byte("\xef\xbb\xbf")), " \t\r\n")
	const sign = "# disk descriptorfile"
	return len(b) >= len(sign) && strings.EqualFold(string(b[:len(sign)]), sign)
}

func bad(off int64, reason string, args ...any) error {
	return &imaging.FormatError{Format: format, Offset: off, Reason: fmt.Sprintf(reason, args...)}
}

// disk is the extents of an image, one after the other.
type disk struct {
	img     *container.Image
	folder  container.Folder
	extents []extent
	size    int64
	gaps    []container.Range
	parent  *container.Image
	pages   *container.Pages
	opened  map[string]*sparse
}

// extent is bytes of the disk from start to end.
type extent struct {
	start, end int64
	flat       imaging.Source // plain, from at
	at         int64
	sparse     *sparse
	missing    string // why there is neither
}

// Open opens the image in src: a descriptor or a sparse extent with one. Other
// extents and a parent are looked for in folder, which may be nil.
func Open(src imaging.Source, folder container.Folder) (*container.Image, error) {
	d := &disk{img: &container.Image{Format: format, SectorSize: sectorSize}, folder: folder, pages: container.NewPages(src)}
	head := make([]byte, min(src.Size(), 512))
	if err := container.ReadFull(src, head, 0); err != nil {
		return nil, err
	}
	var err error
	if isSparse(head) {
		err = d.single(src)
	} else {
		err = d.described(src)
	}
	if err != nil {
		return nil, err
	}
	gaps := container.NewGaps(d.size)
	for _, g := range d.gaps {
		gaps.Add(g.Offset, g.Length, g.Reason)
	}
	d.img.Reader = container.NewReader(d.size, d, gaps)
	return d.img, nil
}

// single is a sparse extent that is the whole disk.
func (d *disk) single(src imaging.Source) error {
	s, err := openSparse(src, d.pages, d.img)
	if err != nil {
		return err
	}
	text, err := s.descriptor()
	if err != nil {
		return err
	}
	t := parse(text)
	switch {
	case text == "":
		d.img.Note("the extent has no descriptor: it may be one of several extents of a disk, or stand upon a parent")
	case t.values["createtype"] == "" || len(t.extents) == 0:
		d.img.Note("the descriptor in the file cannot be understood: the disk may stand upon a parent")
	}
	d.say(t)
	if len(t.extents) > 1 {
		d.img.Note("its descriptor names %d extents and only the first is read", len(t.extents))
	} else if len(t.extents) == 1 && t.extents[0].sectors*sectorSize != s.size {
		d.img.Note("its descriptor says %d sectors and its header %d, which are taken", t.extents[0].sectors, s.size/sectorSize)
	}
	d.size = s.size
	d.extents = []extent{{end: s.size, sparse: s}}
	d.stream(0, s)
	return d.openParent(t)
}

// stream notes what a stream without its end has lost.
func (d *disk) stream(start int64, s *sparse) {
	if s.walked != nil && s.walked.reach < s.size {
		d.gaps = append(d.gaps, container.Range{Offset: start + s.walked.reach, Length: s.size - s.walked.reach, Reason: s.walked.why})
	}
}

// described is a disk whose descriptor is src.
func (d *disk) described(src imaging.Source) error {
	const most = 1 << 20
	b := make([]byte, min(src.Size(), most))
	if err := container.ReadFull(src, b, 0); err != nil {
		return err
	}
	t := parse(string(b))
	d.say(t)
	if len(t.extents) == 0 {
		return bad(0, "the descriptor names no extents")
	}
	opened := 0
	var why string
	for _, line := range t.extents {
		if line.sectors <= 0 || line.sectors > (container.MaxSize-d.size)/sectorSize {
			return bad(0, "the extent %q has %d sectors, which makes no sense", line.name, line.sectors)
		}
		e := extent{start: d.size, end: d.size + line.sectors*sectorSize}
		d.size = e.end
		if err := d.openExtent(line, &e); err != nil {
			return err
		}
		if e.missing != "" {
			why = e.missing
			d.gaps = append(d.gaps, container.Range{Offset: e.start, Length: e.end - e.start, Reason: e.missing})
		} else if e.sparse != nil {
			d.stream(e.start, e.sparse)
		}
		if e.sparse != nil || e.flat != nil {
			opened++
		}
		d.extents = append(d.extents, e)
	}
	if opened == 0 && why != "" {
		return container.Unsupported(format, "none of its extents can be opened: %s", why)
	}
	return d.openParent(t)
}

// openExtent opens the file of one line.
func (d *disk) openExtent(line extentLine, e *extent) error {
	switch line.kind {
	case "ZERO":
		return nil
	case "FLAT", "VMFS", "SPARSE":
	default:
		e.missing = fmt.Sprintf("extent %q is of kind %s, which is not supported", line.name, line.kind)
		return nil
	}
	if d.folder == nil {
		e.missing = fmt.Sprintf("extent %q is in another file", line.name)
		return nil
	}
	src, err := d.folder.File(base(line.name))
	if err != nil {
		e.missing = fmt.Sprintf("extent %q: %v", line.name, err)
		return nil
	}
	if line.kind != "SPARSE" {
		e.flat = src
		if line.offset < 0 || line.offset > src.Size()/sectorSize {
			e.flat, e.missing = nil, fmt.Sprintf("extent %q begins at sector %d and the file has %d bytes", line.name, line.offset, src.Size())
			return nil
		}
		e.at = line.offset * sectorSize
		if have := src.Size() - e.at; have < e.end-e.start {
			d.gaps = append(d.gaps, container.Range{
				Offset: e.start + have, Length: e.end - e.start - have,
				Reason: fmt.Sprintf("extent %q ends after %d bytes", line.name, have),
			})
		}
		return nil
	}
	s, err := d.openSparse(base(line.name), src)
	var broken *imaging.FormatError
	if errors.As(err, &broken) {
		e.missing = fmt.Sprintf("extent %q: %v", line.name, err)
		return nil
	}
	if err != nil {
		return err
	}
	if s.size < e.end-e.start {
		d.img.Note("extent %q has %d sectors, and %d in the descriptor", line.name, s.size/sectorSize, line.sectors)
	}
	e.sparse = s
	return nil
}

// openSparse opens a file once, however many lines name it.
func (d *disk) openSparse(name string, src imaging.Source) (*sparse, error) {
	if s := d.opened[name]; s != nil {
		return s, nil
	}
	s, err := openSparse(src, d.pages.Of(src, len(d.opened)+1), d.img)
	if err != nil {
		return nil, err
	}
	if d.opened == nil {
		d.opened = map[string]*sparse{}
	}
	d.opened[name] = s
	return s, nil
}

// openParent opens what the disk stands upon.
func (d *disk) openParent(t text) error {
	cid := strings.ToLower(t.values["parentcid"])
	if cid == "" || cid == noParent {
		return nil
	}
	hint := t.values["parentfilenamehint"]
	if d.folder == nil || hint == "" {
		return container.Unsupported(format, "it holds changes only: it needs its parent %q", hint)
	}
	img, err := d.folder.Image(base(hint))
	if errors.Is(err, os.ErrNotExist) {
		return container.Unsupported(format, "it holds changes only: it needs its parent %q: %v", hint, err)
	} else if err != nil {
		return fmt.Errorf("open parent %q: %w", hint, err)
	}
	for _, f := range img.Header {
		if f.Name == "CID" && !strings.EqualFold(f.Value, cid) {
			d.img.Note("its parent %q has the CID %s and it was made upon %s: the parent was changed since, or is another", hint, f.Value, cid)
		}
	}
	for _, w := range img.Damage {
		d.img.Note("parent %q: %s", hint, w)
	}
	d.parent = img
	return nil
}

// base is the last part of a path, of Windows too.
func base(path string) string { return path[strings.LastIndexAny(path, `/\`)+1:] }

// find finds the extent that holds off.
func (d *disk) find(off int64) *extent {
	lo, hi := 0, len(d.extents)
	for lo < hi {
		if mid := (lo + hi) / 2; d.extents[mid].end <= off {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return &d.extents[lo]
}

// Find implements container.Map.
func (d *disk) Find(off int64) (container.Span, error) {
	e := d.find(off)
	left := e.end - off
	switch {
	case e.missing != "":
		return container.Span{Length: left, Reason: e.missing}, nil
	case e.flat != nil:
		return container.Span{Length: left, From: e.flat, At: e.at + off - e.start}, nil
	case e.sparse == nil:
		return container.Span{Length: left}, nil
	}
	s, here, err := e.sparse.find(off - e.start)
	if err != nil {
		return s, err
	}
	s.Length = min(s.Length, left)
	s.Key += e.start
	if !here && d.parent != nil && off < d.parent.Size() {
		return container.Span{Length: min(s.Length, d.parent.Size()-off), From: d.parent.Reader, At: off}, nil
	}
	return s, nil
}

// Unpack implements container.Map; key is where the grain is in the disk.
func (d *disk) Unpack(key int64, dst []byte) (string, error) {
	e := d.find(key)
	if e.sparse == nil {
		return "", fmt.Errorf("no grain is at %d", key)
	}
	return e.sparse.unpack(key-e.start, dst)
}
