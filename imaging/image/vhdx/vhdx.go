// Package vhdx reads the virtual hard disks of Hyper-V, version 2. It follows
// [MS-VHDX].
//
// # Layout
//
// All is little-endian. The file begins with "vhdxfile". Two headers ("head", at
// 64 KiB and 128 KiB) each have a sequence number and a CRC-32C; the higher sound
// one counts. It names the log. Two equal region tables ("regi", at 192 KiB and
// 256 KiB, CRC-32C of 64 KiB) name the block table and the metadata: the size of
// the disk, of a block (1 MiB to 256 MiB) and of a sector.
//
// An entry of the block table has 8 bytes: the state in bits 0 to 2 (6: the block
// is here; 0 to 3: it reads as zeros) and the place in the file, in MiB, from bit
// 20. Behind each run of as many entries as one bitmap covers, 2^23 sectors,
// stands an entry for that bitmap. With blocks of 32 MiB and sectors of 512 bytes
// a run is 128 entries, so that block 130 is entry 131.
//
// # Damage
//
// A header or region table that fails its CRC is replaced by the other. A log
// that was not emptied means that the machine stopped while it wrote: the log is
// not replayed and Damage says so, since the last changes to the block table may
// be missing in what is read.
//
// What it does not do: differencing files are named and not read; it does not
// replay the log.
package vhdx

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash/crc32"
	"strings"
	"unicode/utf16"

	"snapcase/imaging"
	"snapcase/imaging/image/container"
)

const (
	format     = "vhdx"
	headerSize = 4 << 10
	regionSize = 64 << 10
)

var le = binary.LittleEndian

// guid is a GUID as it lies in the file.
func guid(s string) (g [16]byte) {
	b, err := hex.DecodeString(strings.ReplaceAll(s, "-", ""))
	if err != nil || len(b) != 16 {
		panic("a GUID of the program is wrong")
	}
	for i, j := range []int{3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15} {
		g[i] = b[j]
	}
	return g
}

var (
	regionBAT      = guid("2DC27766-F623-4200-9D64-115E9BFD4A08")
	regionMetadata = guid("8B7CA206-4790-4B9A-B8FE-575F050F886E")

	itemParameters = guid("CAA16737-FA36-4D43-B3B6-33F0AA44E76B")
	itemSize       = guid("2FA54224-CD1B-4876-B211-5DBED83BF4B8")
	itemDiskID     = guid("BECA12AB-B2E6-4523-93EF-C309E000C746")
	itemSector     = guid("8141BF1D-A96F-4709-BA47-F233A8FAAB5F")
)

// Is says whether b, the first bytes of a file, begins as VHDX does.
func Is(b []byte) bool { return bytes.HasPrefix(b, []byte("vhdxfile")) }

func bad(off int64, reason string, args ...any) error {
	return &imaging.FormatError{Format: format, Offset: off, Reason: fmt.Sprintf(reason, args...)}
}

type disk struct {
	src    imaging.Source
	img    *container.Image
	pages  *container.Pages
	size   int64
	block  int64
	sector int64
	ratio  int64 // payload entries before each bitmap entry
	table  region
}

type region struct{ off, size int64 }

// Open opens the image in src.
func Open(src imaging.Source) (*container.Image, error) {
	d := &disk{src: src, img: &container.Image{Format: format}, pages: container.NewPages(src)}
	if err := d.start(); err != nil {
		return nil, err
	}
	regions, err := d.regions()
	if err != nil {
		return nil, err
	}
	var ok bool
	if d.table, ok = regions[regionBAT]; !ok {
		return nil, bad(192<<10, "no region is the block table")
	}
	meta, ok := regions[regionMetadata]
	if !ok {
		return nil, bad(192<<10, "no region is the metadata")
	}
	if err := d.metadata(meta); err != nil {
		return nil, err
	}
	d.img.SectorSize = d.sector
	gaps := container.NewGaps(d.size)
	last := (d.size + d.block - 1) / d.block
	if entries := d.table.size / 8; last > 0 && d.entry(last-1) >= entries {
		reach := (entries - entries/(d.ratio+1)) * d.block
		gaps.Add(reach, d.size-reach, "the block table ends before these blocks")
	}
	d.img.Reader = container.NewReader(d.size, d, gaps)
	return d.img, nil
}

// read reads n bytes; nil where the file does not have them.
func (d *disk) read(off, n int64) ([]byte, error) {
	if off < 0 || off > d.src.Size()-n {
		return nil, nil
	}
	b := make([]byte, n)
	return b, container.ReadFull(d.src, b, off)
}

// sound checks the CRC-32C at byte 4 of b, which counts as zeros.
func sound(b []byte) bool {
	want := le.Uint32(b[4:])
	table := crc32.MakeTable(crc32.Castagnoli)
	c := crc32.Update(0, table, b[:4])
	c = crc32.Update(c, table, make([]byte, 4))
	return crc32.Update(c, table, b[8:]) == want
}

// start reads the file identifier and the headers.
func (d *disk) start() error {
	id, err := d.read(0, regionSize)
	if err != nil {
		return err
	}
	if !Is(id) {
		return bad(0, "no signature, or the file is cut off")
	}
	d.img.Put("creator", text(id[8:520]))
	var best []byte
	for i, off := range []int64{64 << 10, 128 << 10} {
		h, err := d.read(off, headerSize)
		if err != nil {
			return err
		}
		if h == nil || string(h[:4]) != "head" || !sound(h) {
			d.img.Note("header %d at byte %d is not sound", i+1, off)
			continue
		}
		if best == nil || le.Uint64(h[8:]) > le.Uint64(best[8:]) {
			best = h
		}
	}
	if best == nil {
		d.img.Note("without a header it is not known whether the log holds changes")
		return nil
	}
	if v := le.Uint16(best[66:]); v != 1 {
		return container.Unsupported(format, "version %d is not known", v)
	}
	if !bytes.Equal(best[48:64], make([]byte, 16)) {
		d.img.Note("its log is dirty: the machine stopped while it wrote. The log is not replayed, and the last changes may be missing in what is read")
	}
	return nil
}

func text(b []byte) string {
	var u []uint16
	for ; len(b) >= 2 && le.Uint16(b) != 0; b = b[2:] {
		u = append(u, le.Uint16(b))
	}
	return string(utf16.Decode(u))
}

// regions reads the first region table that is sound.
func (d *disk) regions() (map[[16]byte]region, error) {
	for i, off := range []int64{192 << 10, 256 << 10} {
		b, err := d.read(off, regionSize)
		if err != nil {
			return nil, err
		}
		if b == nil || string(b[:4]) != "regi" || !sound(b) {
			d.img.Note("region table %d at byte %d is not sound", i+1, off)
			continue
		}
		n := int(le.Uint32(b[8:]))
		const most = (regionSize - 16) / 32
		if n < 0 || n > most {
			d.img.Note("region table %d has %d entries", i+1, n)
			continue
		}
		found := map[[16]byte]region{}
		for e := b[16 : 16+32*n]; len(e) > 0; e = e[32:] {
			at, size := le.Uint64(e[16:]), int64(le.Uint32(e[24:]))
			id := [16]byte(e[:16])
			switch {
			case id != regionBAT && id != regionMetadata:
				if le.Uint32(e[28:])&1 != 0 {
					return nil, container.Unsupported(format, "it needs a region that is not known: %x", id)
				}
			case at > uint64(d.src.Size()):
				return nil, bad(off, "a region is at byte %d and the file has %d", at, d.src.Size())
			default:
				found[id] = region{int64(at), size}
			}
		}
		return found, nil
	}
	return nil, bad(192<<10, "no region table is sound")
}

// metadata reads the items that say what the disk is like.
func (d *disk) metadata(r region) error {
	const head = 64 << 10
	b, err := d.read(r.off, head)
	if err != nil {
		return err
	}
	if b == nil || string(b[:8]) != "metadata" {
		return bad(r.off, "no metadata table")
	}
	n := int(le.Uint16(b[10:]))
	if n > 2047 {
		return bad(r.off+10, "%d items of metadata are too many", n)
	}
	items := map[[16]byte][]byte{}
	for e := b[32 : 32+32*n]; len(e) > 0; e = e[32:] {
		off, size := int64(le.Uint32(e[16:])), int64(le.Uint32(e[20:]))
		if off+size > r.size || size > 64<<10 {
			continue
		}
		v, err := d.read(r.off+off, size)
		if err != nil {
			return err
		}
		items[[16]byte(e[:16])] = v
	}
	return d.geometry(r.off, items)
}

func (d *disk) geometry(at int64, items map[[16]byte][]byte) error {
	p, size, sector := items[itemParameters], items[itemSize], items[itemSector]
	if len(p) < 8 || len(size) < 8 || len(sector) < 4 {
		return bad(at, "the metadata do not have the sizes of disk, block and sector")
	}
	const hasParent = 2
	if le.Uint32(p[4:])&hasParent != 0 {
		return container.Unsupported(format, "it is a differencing disk, which holds changes only: not supported")
	}
	d.block, d.sector = int64(le.Uint32(p)), int64(le.Uint32(sector))
	if d.block < 1<<20 || d.block > 256<<20 || d.block&(d.block-1) != 0 {
		return bad(at, "a block of %d bytes makes no sense", d.block)
	}
	if d.sector != 512 && d.sector != 4096 {
		return bad(at, "a sector of %d bytes makes no sense", d.sector)
	}
	if le.Uint64(size) > container.MaxSize {
		return container.Unsupported(format, "it claims a disk of %d bytes: more than is read", le.Uint64(size))
	}
	d.size = int64(le.Uint64(size))
	d.ratio = (1 << 23) * d.sector / d.block
	d.img.Put("bytes per block", fmt.Sprint(d.block))
	d.img.Put("bytes per sector", fmt.Sprint(d.sector))
	if id := items[itemDiskID]; len(id) == 16 {
		d.img.Put("disk id", hex.EncodeToString(id))
	}
	return nil
}

// entry is the place of a block in the table.
func (d *disk) entry(block int64) int64 { return block + block/d.ratio }

// Find implements container.Map.
func (d *disk) Find(off int64) (container.Span, error) {
	n, in := off/d.block, off%d.block
	s := container.Span{Length: min(d.block-in, d.size-off)}
	i := d.entry(n)
	if i >= d.table.size/8 {
		s.Reason = "the block table ends before these blocks"
		return s, nil
	}
	var b [8]byte
	reason, err := d.pages.Read(b[:], d.table.off+8*i)
	if err != nil || reason != "" {
		s.Reason = reason
		return s, err
	}
	e := le.Uint64(b[:])
	switch state := e & 7; state {
	case 0, 1, 2, 3, 5: // not present, undefined, zero, unmapped (twice)
	case 6:
		if at := e >> 20 << 20; at < 1<<20 || at > 1<<62 {
			s.Reason = fmt.Sprintf("the block table puts block %d at byte %d", n, at)
		} else {
			s.From, s.At = d.src, int64(at)+in
		}
	default:
		s.Reason = fmt.Sprintf("the block table gives block %d the state %d", n, state)
	}
	return s, nil
}

// Unpack implements container.Map; no block is packed.
func (d *disk) Unpack(int64, []byte) (string, error) { return "", nil }
