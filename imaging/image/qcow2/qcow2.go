// Package qcow2 reads the disk images of QEMU, versions 2 and 3. It follows
// docs/interop/qcow2.rst of QEMU.
//
// # Layout
//
// All is big-endian. The header begins with 51 46 49 FB and the version; it
// gives the size of the disk, that of a cluster as a power of two (65,536 bytes
// by default) and where the L1 table is. An entry of L1 is the place of an L2
// table, one cluster long; an entry of that is the place of a cluster:
//
//	bits 9 to 55   offset in the file; 0: the backing file, or zeros
//	bit 0          the cluster reads as zeros (version 3)
//	bit 62         compressed: offset and number of sectors share bits 0 to 61
//
// With clusters of 64 KiB an L2 table has 8,192 entries, so that byte
// 0x20010005 of the disk is byte 5 of the cluster in entry 1 of the table that
// entry 1 of L1 names. With extended L2 entries (16 bytes) each cluster has 32
// parts with a bit each for "is here" and "is zeros".
//
// Compressed clusters are raw deflate or, by a field of the header, zstd.
//
// # Backing files
//
// What an image does not hold is in its backing file. The header has its path;
// only the last part of that is used, and only within the folder of the image.
// Where it is missing the image is refused: zeros would be a wrong answer.
//
// What it does not do: version 1, encryption and external data files are named
// and not read. Internal snapshots are listed in Header, the disk is the current
// state. Reference counts and bitmaps are not looked at.
package qcow2

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

const format = "qcow2"

var be = binary.BigEndian

const (
	incompatDirty = 1 << iota
	incompatCorrupt
	incompatDataFile
	incompatCompression
	incompatExtendedL2
)

// Is says whether b, the first bytes of a file, begins as qcow does.
func Is(b []byte) bool { return bytes.HasPrefix(b, []byte("QFI\xfb")) }

// disk is the header and the tables.
type disk struct {
	src      imaging.Source
	img      *container.Image
	pages    *container.Pages
	version  uint32
	bits     uint // of a cluster
	size     int64
	l1       int64 // place of the table
	l1n      int64 // entries
	incompat uint64
	packing  byte
	backing  imaging.Source
}

// Open opens the image in src. Its backing file is looked for in folder, which
// may be nil.
func Open(src imaging.Source, folder container.Folder) (*container.Image, error) {
	d := &disk{src: src, img: &container.Image{Format: format}, pages: container.NewPages(src)}
	h, err := d.header()
	if err != nil {
		return nil, err
	}
	d.img.Put("version", fmt.Sprint(d.version))
	d.img.Put("bytes per cluster", fmt.Sprint(d.cluster()))
	if err := d.openBacking(h, folder); err != nil {
		return nil, err
	}
	if err := d.snapshots(int(be.Uint32(h[60:])), be.Uint64(h[64:])); err != nil {
		return nil, err
	}
	gaps := container.NewGaps(d.size)
	reach := d.l1n << (d.bits + d.tableBits())
	if reach < d.size {
		gaps.Add(reach, d.size-reach, "the L1 table ends before these clusters")
	}
	d.img.Reader = container.NewReader(d.size, d, gaps)
	return d.img, nil
}

func bad(off int64, reason string, args ...any) error {
	return &imaging.FormatError{Format: format, Offset: off, Reason: fmt.Sprintf(reason, args...)}
}

// header reads the fixed part; it returns it, filled up with zeros to version 3.
func (d *disk) header() ([]byte, error) {
	h := make([]byte, 112)
	n := min(int64(len(h)), d.src.Size())
	if n < 72 {
		return nil, bad(0, "the header is cut off")
	}
	if err := container.ReadFull(d.src, h[:n], 0); err != nil {
		return nil, err
	}
	d.version = be.Uint32(h[4:])
	switch {
	case !Is(h):
		return nil, bad(0, "no signature")
	case d.version == 1:
		return nil, container.Unsupported(format, "it is qcow version 1, which is not supported: convert it to raw")
	case d.version != 2 && d.version != 3:
		return nil, bad(4, "version %d is not known", d.version)
	case d.version == 2:
		clear(h[72:])
	}
	d.incompat = be.Uint64(h[72:])
	if d.version == 3 && be.Uint32(h[100:]) > 104 {
		d.packing = h[104]
	}
	if err := d.supported(h); err != nil {
		return nil, err
	}
	return h, d.geometry(h)
}

func (d *disk) supported(h []byte) error {
	switch crypt := be.Uint32(h[32:]); {
	case crypt != 0:
		return container.Unsupported(format, "it is encrypted (method %d): not supported", crypt)
	case d.incompat&incompatDataFile != 0:
		return container.Unsupported(format, "its clusters are in an external data file: not supported")
	case d.incompat>>5 != 0:
		return container.Unsupported(format, "it has incompatible features %#x that are not known", d.incompat)
	case d.packing > 1:
		return container.Unsupported(format, "compression %d is not known", d.packing)
	}
	if d.incompat&incompatDirty != 0 {
		d.img.Note("it was not closed cleanly: its reference counts may be wrong; its mapping is used as it is")
	}
	if d.incompat&incompatCorrupt != 0 {
		d.img.Note("QEMU marked it as corrupt")
	}
	return nil
}

func (d *disk) geometry(h []byte) error {
	bits, size := be.Uint32(h[20:]), be.Uint64(h[24:])
	if bits < 9 || bits > 21 || d.incompat&incompatExtendedL2 != 0 && bits < 14 {
		return bad(20, "a cluster of 2^%d bytes makes no sense", bits)
	}
	if size > container.MaxSize {
		return container.Unsupported(format, "it claims a disk of %d bytes: more than is read", size)
	}
	l1 := be.Uint64(h[40:])
	if l1 > uint64(d.src.Size()) {
		return bad(40, "the L1 table is at byte %d and the file has %d", l1, d.src.Size())
	}
	d.bits, d.size, d.l1, d.l1n = uint(bits), int64(size), int64(l1), int64(be.Uint32(h[36:]))
	most := d.size>>(d.bits+d.tableBits()) + 1
	d.l1n = min(d.l1n, most)
	return nil
}

func (d *disk) cluster() int64 { return 1 << d.bits }

// tableBits is how many entries an L2 table has, as a power of two.
func (d *disk) tableBits() uint {
	if d.incompat&incompatExtendedL2 != 0 {
		return d.bits - 4
	}
	return d.bits - 3
}

// openBacking opens the file that holds what this one does not.
func (d *disk) openBacking(h []byte, folder container.Folder) error {
	off, n := be.Uint64(h[8:]), int(be.Uint32(h[16:]))
	if off == 0 || n == 0 {
		return nil
	}
	if n > 1023 || off > uint64(d.src.Size()) {
		return bad(8, "the name of the backing file has %d bytes at %d", n, off)
	}
	b := make([]byte, n)
	if reason, err := d.pages.Read(b, int64(off)); err != nil {
		return err
	} else if reason != "" {
		return bad(8, "the name of the backing file: %s", reason)
	}
	path := string(b)
	kind, err := d.backingFormat(h, int64(off))
	if err != nil {
		return err
	}
	d.img.Put("backing file", path)
	d.img.Put("backing format", kind)
	if folder == nil {
		return container.Unsupported(format, "it needs its backing file %q", path)
	}
	name := path[strings.LastIndexAny(path, `/\:`)+1:]
	if kind == "raw" {
		d.backing, err = folder.File(name)
	} else {
		d.backing, err = d.backingImage(folder, name)
	}
	if errors.Is(err, os.ErrNotExist) {
		return container.Unsupported(format, "it needs its backing file %q: %v", path, err)
	}
	if err != nil {
		return fmt.Errorf("open backing file %q: %w", path, err)
	}
	return nil
}

func (d *disk) backingImage(folder container.Folder, name string) (imaging.Source, error) {
	img, err := folder.Image(name)
	if err != nil {
		return nil, err
	}
	d.img.Put("backing file opened as", img.Format)
	for _, w := range img.Damage {
		d.img.Note("backing file %s: %s", name, w)
	}
	return img.Reader, nil
}

// backingFormat reads the extensions of the header, up to the end of it.
func (d *disk) backingFormat(h []byte, end int64) (string, error) {
	at := int64(72)
	if d.version == 3 {
		at = int64(be.Uint32(h[100:]))
	}
	for at+8 <= end {
		var e [8]byte
		if reason, err := d.pages.Read(e[:], at); err != nil || reason != "" {
			return "", err
		}
		kind, n := be.Uint32(e[:]), int64(be.Uint32(e[4:]))
		if kind == 0 || n > end-at-8 {
			return "", nil
		}
		if kind == 0xe2792aca && n <= 64 {
			b := make([]byte, n)
			_, err := d.pages.Read(b, at+8)
			return string(b), err
		}
		at += 8 + (n+7)&^7
	}
	return "", nil
}

// snapshots lists the names of the states that the image keeps; they are not
// read.
func (d *disk) snapshots(n int, off uint64) error {
	if n == 0 || off > uint64(d.src.Size()) {
		return nil
	}
	d.img.Put("internal snapshots", fmt.Sprint(n))
	const most = 256
	at := int64(off)
	for range min(n, most) {
		var e [40]byte
		if reason, err := d.pages.Read(e[:], at); err != nil || reason != "" {
			return err
		}
		id, name := int(be.Uint16(e[12:])), int(be.Uint16(e[14:]))
		extra := int64(be.Uint32(e[36:]))
		b := make([]byte, id+name)
		if reason, err := d.pages.Read(b, at+40+extra); err != nil || reason != "" {
			return err
		}
		d.img.Put("internal snapshot", fmt.Sprintf("%s %s, %d seconds since 1970", b[:id], b[id:], be.Uint32(e[16:])))
		at = (at + 40 + extra + int64(id+name) + 7) &^ 7
	}
	return nil
}
