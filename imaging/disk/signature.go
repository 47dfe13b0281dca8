package disk

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf16"

	"snapcase/imaging"
)

var (
	le = binary.LittleEndian
	be = binary.BigEndian
)

// Signature is what a format leaves at a known place.
type Signature struct {
	Type    string // the word of blkid(8): ext4, crypto_LUKS, linux_raid_member, …
	Label   string // "" when there is none
	UUID    string // as blkid writes it; "" when there is none
	Version string // "" when there is none
	Offset  int64  // of the signature, bytes from the start of the volume
	// container says that the bytes of other volumes lie inside, so that a
	// file system at the same place may be an older one.
	container bool
}

// kept is how much of the start of a volume is held while it is looked at.
const kept = 128 << 10

// probe reads a volume for signatures.
type probe struct {
	src  imaging.Source
	size int64
	head []byte
	err  error // the first failure of the source
}

func newProbe(src imaging.Source) *probe {
	p := &probe{src: src, size: src.Size()}
	p.head = p.read(0, int(min(kept, p.size)))
	return p
}

// at gives n bytes from off; nil where the volume does not have all of them.
func (p *probe) at(off int64, n int) []byte {
	if off < 0 || n < 0 || off > p.size-int64(n) {
		return nil
	}
	if off+int64(n) <= int64(len(p.head)) {
		return p.head[off:][:n]
	}
	return p.read(off, n)
}

func (p *probe) read(off int64, n int) []byte {
	b := make([]byte, n)
	got, err := p.src.ReadAt(b, off)
	if got == n {
		return b
	}
	if err != nil && !errors.Is(err, io.EOF) && p.err == nil {
		p.err = err
	}
	return nil
}

// has says whether magic stands at off.
func (p *probe) has(off int64, magic string) bool {
	return string(p.at(off, len(magic))) == magic
}

// sector gives the offset of the n-th sector of 512 bytes from the end, of
// which the last is the first; -1 where there is none.
func (p *probe) sector(n int64) int64 {
	if n > p.size/512 {
		return -1
	}
	return (p.size/512 - n) * 512
}

// empty says whether nothing but zeros was found at the edges and between.
func (p *probe) empty() bool {
	zeros := func(off int64, n int) bool {
		b := p.at(off, n)
		return b != nil && len(bytes.Trim(b, "\x00")) == 0
	}
	edge := min(sampleEdge, p.size)
	if !zeros(0, int(edge)) || !zeros(p.size-edge, int(edge)) {
		return false
	}
	for i := range int64(samples) {
		if at := p.size / samples * i; at+sampleBytes <= p.size && !zeros(at, sampleBytes) {
			return false
		}
	}
	return true
}

// all looks for every signature, those of containers first: where no file
// system is read, the first one names the volume.
func (p *probe) all() []Signature {
	var list []Signature
	for _, find := range finders() {
		if s, ok := find(p); ok {
			list = append(list, s)
		}
	}
	return list
}

// finders gives the functions that look for one format each, in the order of
// what they say: containers by their start, file systems, containers by their
// end.
func finders() []func(*probe) (Signature, bool) {
	list := []func(*probe) (Signature, bool){luks, lvm2, lvm1, bitlocker, mdRaid, bcache, vmfsVolume, scoutfs, zfs}
	for _, f := range containers() {
		list = append(list, f.find)
	}
	list = append(list, ext, xfsSignature, xfsLog, ntfsSignature, exfatSignature, vfat, f2fs, nilfs2, gfs2, hfs, befs, ufs, udf, isoSignature, hpfs, ubifs)
	for _, f := range fileSystems() {
		list = append(list, f.find)
	}
	return append(list, minix, swap, mdRaidEnd, ddf, drbd, endings)
}

// text is a field up to its first NUL.
func text(b []byte) string {
	s, _, _ := strings.Cut(string(b), "\x00")
	return s
}

// padded is a field filled up with spaces or NULs.
func padded(b []byte) string { return strings.TrimRight(text(b), " ") }

// uuid is the text form of 16 bytes in their order; "" when all are zero.
func uuid(b []byte) string {
	if len(b) < 16 || len(bytes.Trim(b[:16], "\x00")) == 0 {
		return ""
	}
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:16])
}

// guid is the text form of 16 bytes of which the first three parts are
// little-endian.
func guid(b []byte) string {
	return fmt.Sprintf("%08x-%04x-%04x-%x-%x", le.Uint32(b), le.Uint16(b[4:]), le.Uint16(b[6:]), b[8:10], b[10:16])
}

// wide is UTF-16 up to its first NUL.
func wide(b []byte, order binary.ByteOrder) string {
	u := make([]uint16, 0, len(b)/2)
	for i := 0; i+1 < len(b); i += 2 {
		c := order.Uint16(b[i:])
		if c == 0 {
			break
		}
		u = append(u, c)
	}
	return string(utf16.Decode(u))
}
