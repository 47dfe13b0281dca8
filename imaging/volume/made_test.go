package volume

import (
	"bytes"
	"encoding/hex"
	"hash/crc32"
	"strings"
	"unicode/utf16"
)

// disk is an image made in code, with the sector size that its table uses.
type disk struct {
	b      []byte
	sector int
}

func newDisk(sectors, sector int) *disk {
	return &disk{make([]byte, sectors*sector), sector}
}

func (d *disk) source() *bytes.Reader { return bytes.NewReader(d.b) }

// part is an entry: sectors from first to last, both included.
type part struct {
	code        string
	first, last int
	name        string
}

const (
	codeLinux = "0FC63DAF-8483-4772-8E79-3D69D8477DE4"
	codeEFI   = "C12A7328-F81F-11D2-BA4B-00A0C93EC93B"
)

// guidBytes is the stored form of a GUID.
func guidBytes(s string) []byte {
	b, err := hex.DecodeString(strings.ReplaceAll(s, "-", ""))
	if err != nil {
		panic(err)
	}
	b[0], b[1], b[2], b[3] = b[3], b[2], b[1], b[0]
	b[4], b[5], b[6], b[7] = b[5], b[4], b[7], b[6]
	return b
}

// gpt writes a protective MBR and both copies of a table with 128 entries.
func (d *disk) gpt(parts ...part) *disk {
	d.entry(0, 0xee, 1, len(d.b)/d.sector-1)
	last := len(d.b)/d.sector - 1
	array := d.array(parts)
	size := len(array) / d.sector
	d.copyAt(1, last, 2, array)
	d.copyAt(last, 1, last-size, array)
	return d
}

func (d *disk) array(parts []part) []byte {
	array := make([]byte, (128*128+d.sector-1)/d.sector*d.sector)
	for i, p := range parts {
		e := array[i*128:]
		copy(e, guidBytes(p.code))
		e[16], e[31] = byte(i+1), 0xaa
		le.PutUint64(e[32:], uint64(p.first))
		le.PutUint64(e[40:], uint64(p.last))
		for k, c := range utf16.Encode([]rune(p.name)) {
			le.PutUint16(e[56+2*k:], c)
		}
	}
	return array
}

// copyAt writes one copy: a header in sector at, its entries from array on.
func (d *disk) copyAt(at, other, first int, array []byte) {
	copy(d.b[first*d.sector:], array)
	h := d.b[at*d.sector:][:d.sector]
	clear(h)
	copy(h, "EFI PART\x00\x00\x01\x00")
	le.PutUint32(h[12:], 92)
	le.PutUint64(h[24:], uint64(at))
	le.PutUint64(h[32:], uint64(other))
	size := len(array) / d.sector
	le.PutUint64(h[40:], uint64(2+size))
	le.PutUint64(h[48:], uint64(len(d.b)/d.sector-2-size))
	copy(h[56:], guidBytes("01234567-89AB-CDEF-0123-456789ABCDEF"))
	le.PutUint64(h[72:], uint64(first))
	le.PutUint32(h[80:], 128)
	le.PutUint32(h[84:], 128)
	le.PutUint32(h[88:], crc32.ChecksumIEEE(array[:128*128]))
	d.seal(at)
}

// seal gives the header in sector at its checksum.
func (d *disk) seal(at int) {
	h := d.b[at*d.sector:]
	clear(h[16:20])
	le.PutUint32(h[16:], crc32.ChecksumIEEE(h[:92]))
}

// entry writes an entry of the MBR.
func (d *disk) entry(slot int, code byte, first, count int) { d.entryAt(0, slot, code, first, count) }

// entryAt writes an entry of a boot record.
func (d *disk) entryAt(sector, slot int, code byte, first, count int) {
	p := d.b[sector*d.sector:]
	e := p[446+16*slot:]
	e[4] = code
	le.PutUint32(e[8:], uint32(first))
	le.PutUint32(e[12:], uint32(count))
	p[510], p[511] = 0x55, 0xaa
}
