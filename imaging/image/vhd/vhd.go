// Package vhd reads the virtual hard disks of Virtual PC, Hyper-V and Azure:
// fixed, dynamic and differencing. It follows Microsoft's "Virtual Hard Disk
// Image Format Specification", version 1.0.
//
// # Layout
//
// All is big-endian. The last 512 bytes are the footer: "conectix", at 16 the
// place of the next header, at 48 the size of the disk, at 60 the kind (2 fixed,
// 3 dynamic, 4 differencing), at 64 a checksum (the complement of the sum of the
// other bytes), at 68 the identifier of the file. In a fixed file the bytes
// before the footer are the disk.
//
// The others begin with a copy of the footer, which names the dynamic header
// ("cxsparse", 1,024 bytes): at 16 the place of the block table, at 28 how many
// entries it has, at 32 the size of a block (2 MiB), at 40 the identifier of the
// parent and at 64 its name. An entry is a sector of the file: there lies a
// bitmap with a bit a sector (512 bytes for 2 MiB), then the block; FFFFFFFF is a
// block that is not here. With blocks of 2 MiB and entry 1 being 8, byte
// 2,097,153 of the disk is byte 8 x 512 + 512 + 1 of the file.
//
// In a differencing file a sector whose bit is 0 is the parent's. Dynamic files
// are read as QEMU does, without the bitmap.
//
// # Parents
//
// A parent is looked for in the folder of the image: by the last part of its
// name, then by its identifier among the files ending in vhd or avhd. Without it
// the image is refused.
//
// What it does not do: it does not use the geometry in the footer, which is often
// smaller than the disk; it does not read parent locators or save states.
package vhd

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"strings"
	"unicode/utf16"

	"snapcase/imaging"
	"snapcase/imaging/image/container"
)

const (
	format     = "vhd"
	sectorSize = 512
	footerSize = 512
	notHere    = 0xffffffff
)

const (
	kindFixed        = 2
	kindDynamic      = 3
	kindDifferencing = 4
)

var (
	be     = binary.BigEndian
	cookie = []byte("conectix")
)

// Is says whether a file begins with the copy of a footer or ends with a footer,
// by its first and its last 512 bytes.
func Is(head, tail []byte) bool {
	return bytes.HasPrefix(head, cookie) || len(tail) >= footerSize && bytes.HasPrefix(tail[len(tail)-footerSize:], cookie)
}

func bad(off int64, reason string, args ...any) error {
	return &imaging.FormatError{Format: format, Offset: off, Reason: fmt.Sprintf(reason, args...)}
}

type disk struct {
	src    imaging.Source
	img    *container.Image
	pages  *container.Pages
	kind   uint32
	size   int64
	block  int64 // bytes
	bitmap int64 // bytes before each block
	table  int64 // place of the block table
	blocks int64 // entries
	parent imaging.Source
}

// Open opens the image in src. A parent is looked for in folder, which may be
// nil.
func Open(src imaging.Source, folder container.Folder) (*container.Image, error) {
	d := &disk{src: src, img: &container.Image{Format: format, SectorSize: sectorSize}, pages: container.NewPages(src)}
	f, err := d.footer()
	if err != nil {
		return nil, err
	}
	size := be.Uint64(f[48:])
	if size > container.MaxSize {
		return nil, container.Unsupported(format, "it claims a disk of %d bytes: more than is read", size)
	}
	d.size = int64(size)
	d.describe(f)
	if d.kind == kindFixed {
		return d.fixed(), nil
	}
	h, err := d.dynamic(be.Uint64(f[16:]))
	if err != nil {
		return nil, err
	}
	if d.kind == kindDifferencing {
		if err := d.openParent(h, folder); err != nil {
			return nil, err
		}
	}
	gaps := container.NewGaps(d.size)
	if reach := d.blocks * d.block; reach < d.size {
		gaps.Add(reach, d.size-reach, "the block table ends before these blocks")
	}
	d.img.Reader = container.NewReader(d.size, d, gaps)
	return d.img, nil
}

// footer reads the footer, or its copy where that is better.
func (d *disk) footer() ([]byte, error) {
	end, err := d.read(d.src.Size()-footerSize, footerSize)
	if err != nil {
		return nil, err
	}
	start, err := d.read(0, footerSize)
	if err != nil {
		return nil, err
	}
	has := func(b []byte) bool { return bytes.HasPrefix(b, cookie) }
	f := end
	switch {
	case !has(end) && !has(start):
		return nil, bad(0, "no signature")
	case !has(end):
		d.img.Note("the footer at the end is missing: the file may be cut off")
		f = start
	case has(start) && !sum(end, 64) && sum(start, 64):
		d.img.Note("the footer fails its checksum: its copy is used")
		f = start
	}
	d.kind = be.Uint32(f[60:])
	if d.kind < kindFixed || d.kind > kindDifferencing {
		return nil, bad(60, "kind %d is not known", d.kind)
	}
	if sum(f, 64) {
		return f, nil
	}
	if d.kind == kindFixed || !has(start) {
		return nil, bad(64, "the footer fails its checksum")
	}
	d.img.Note("the footer and its copy fail their checksum")
	return f, nil
}

// read reads n bytes; nil where the file does not have them.
func (d *disk) read(off int64, n int) ([]byte, error) {
	if off < 0 || off > d.src.Size()-int64(n) {
		return nil, nil
	}
	b := make([]byte, n)
	return b, container.ReadFull(d.src, b, off)
}

// sum checks the checksum that lies at in b.
func sum(b []byte, at int) bool {
	var s uint32
	for i, c := range b {
		if i < at || i >= at+4 {
			s += uint32(c)
		}
	}
	return ^s == be.Uint32(b[at:])
}

// fixed is a disk that lies before its footer.
func (d *disk) fixed() *container.Image {
	have := d.src.Size() - footerSize
	gaps := container.NewGaps(max(d.size, have))
	switch {
	case d.size < have:
		d.img.Note("the footer says %d bytes and %d lie before it, which are all read", d.size, have)
		d.size = have
	case d.size > have:
		gaps.Add(have, d.size-have, fmt.Sprintf("the footer says %d bytes and the file has %d", d.size, have))
	}
	d.block = have
	d.img.Reader = container.NewReader(d.size, d, gaps)
	return d.img
}

// dynamic reads the header of the blocks.
func (d *disk) dynamic(at uint64) ([]byte, error) {
	const size = 1024
	if at > uint64(d.src.Size()) {
		return nil, bad(16, "the dynamic header is at byte %d and the file has %d", at, d.src.Size())
	}
	h, err := d.read(int64(at), size)
	if err != nil {
		return nil, err
	}
	if !bytes.HasPrefix(h, []byte("cxsparse")) {
		return nil, bad(int64(at), "no dynamic header")
	}
	if !sum(h, 36) {
		d.img.Note("the dynamic header fails its checksum")
	}
	block, table := be.Uint32(h[32:]), be.Uint64(h[16:])
	if block < sectorSize || block > 1<<28 || block&(block-1) != 0 {
		return nil, bad(int64(at)+32, "a block of %d bytes makes no sense", block)
	}
	if table > uint64(d.src.Size()) {
		return nil, bad(int64(at)+16, "the block table is at byte %d and the file has %d", table, d.src.Size())
	}
	d.block, d.table, d.blocks = int64(block), int64(table), int64(be.Uint32(h[28:]))
	bits := d.block / sectorSize
	d.bitmap = (bits/8 + sectorSize - 1) / sectorSize * sectorSize
	d.img.Put("bytes per block", fmt.Sprint(d.block))
	return h, nil
}

var kindNames = map[uint32]string{kindFixed: "fixed", kindDynamic: "dynamic", kindDifferencing: "differencing"}

func (d *disk) describe(f []byte) {
	d.img.Put("kind", kindNames[d.kind])
	d.img.Put("unique id", hex.EncodeToString(f[68:84]))
	d.img.Put("creator", strings.TrimRight(string(f[28:32]), " \x00")+" "+fmt.Sprintf("%d.%d", be.Uint16(f[32:]), be.Uint16(f[34:])))
	d.img.Put("creator host", strings.TrimRight(string(f[36:40]), " \x00"))
	d.img.Put("created", fmt.Sprintf("%d seconds since 2000-01-01", be.Uint32(f[24:])))
	if f[84] != 0 {
		d.img.Note("it is in a saved state: a part of the disk is in the memory of the machine")
	}
}

// openParent finds the file that this one stands upon.
func (d *disk) openParent(h []byte, folder container.Folder) error {
	id := hex.EncodeToString(h[40:56])
	var u []uint16
	for i := 64; i < 64+512; i += 2 {
		c := be.Uint16(h[i:])
		if c == 0 {
			break
		}
		u = append(u, c)
	}
	name := string(utf16.Decode(u))
	d.img.Put("parent", name)
	d.img.Put("parent unique id", id)
	if folder == nil {
		return container.Unsupported(format, "it holds changes only: it needs its parent %q", name)
	}
	img, err := byName(folder, name, id)
	if err == nil && img == nil {
		img, err = byID(folder, id)
	}
	if err != nil {
		return fmt.Errorf("open parent %q: %w", name, err)
	}
	if img == nil {
		return container.Unsupported(format, "it holds changes only: its parent %q (%s) is not beside it", name, id)
	}
	for _, w := range img.Damage {
		d.img.Note("parent: %s", w)
	}
	if img.Size() != d.size {
		d.img.Note("the parent has %d bytes and the disk %d", img.Size(), d.size)
	}
	d.parent = img.Reader
	return nil
}

// byName opens the parent by its name, nil when that is another disk.
func byName(folder container.Folder, name, id string) (*container.Image, error) {
	img, err := folder.Image(name[strings.LastIndexAny(name, `/\`)+1:])
	if errors.Is(err, os.ErrNotExist) || err == nil && identifier(img) != id {
		return nil, nil
	}
	return img, err
}

func identifier(img *container.Image) string {
	for _, f := range img.Header {
		if f.Name == "unique id" {
			return f.Value
		}
	}
	return ""
}

// byID looks at the footers of the disks beside the image.
func byID(folder container.Folder, id string) (*container.Image, error) {
	names, err := folder.Names()
	if err != nil {
		return nil, err
	}
	for _, n := range names {
		if l := strings.ToLower(n); !strings.HasSuffix(l, "vhd") {
			continue
		}
		src, err := folder.File(n)
		if err != nil {
			continue
		}
		f := make([]byte, footerSize)
		at := src.Size() - footerSize
		if at >= 0 && container.ReadFull(src, f, at) == nil && bytes.HasPrefix(f, cookie) && hex.EncodeToString(f[68:84]) == id {
			return folder.Image(n)
		}
		if err := folder.Forget(n); err != nil {
			return nil, err
		}
	}
	return nil, nil
}
