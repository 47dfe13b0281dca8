package vhdx_test

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"hash/crc32"
	"slices"
	"strings"
	"testing"

	"snapcase/imaging/image/container"
	"snapcase/imaging/image/container/containertest"
	"snapcase/imaging/image/vhdx"
)

var le = binary.LittleEndian

const block = 1 << 20

func checksum(b []byte) {
	le.PutUint32(b[4:], 0)
	le.PutUint32(b[4:], crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)))
}

// id is a GUID as it lies in a file.
func id(s string) []byte {
	b, err := hex.DecodeString(strings.ReplaceAll(s, "-", ""))
	if err != nil {
		panic(err)
	}
	slices.Reverse(b[:4])
	slices.Reverse(b[4:6])
	slices.Reverse(b[6:8])
	return b
}

const (
	batAt  = 3 << 20
	metaAt = 2 << 20
)

// build writes a dynamic image; size is what it claims.
func build(disk []byte, size uint64, sector uint32) []byte {
	out := make([]byte, 4<<20)
	copy(out, "vhdxfile")
	for i, at := range []int{64 << 10, 128 << 10} {
		h := out[at : at+4096]
		copy(h, "head")
		le.PutUint64(h[8:], uint64(5-i))
		le.PutUint16(h[66:], 1)
		checksum(h)
	}
	for _, at := range []int{192 << 10, 256 << 10} {
		r := out[at : at+64<<10]
		copy(r, "regi")
		le.PutUint32(r[8:], 2)
		copy(r[16:], id("2DC27766-F623-4200-9D64-115E9BFD4A08"))
		le.PutUint64(r[32:], batAt)
		le.PutUint32(r[40:], 1<<20)
		copy(r[48:], id("8B7CA206-4790-4B9A-B8FE-575F050F886E"))
		le.PutUint64(r[64:], metaAt)
		le.PutUint32(r[72:], 1<<20)
		checksum(r)
	}
	m := out[metaAt:]
	copy(m, "metadata")
	le.PutUint16(m[10:], 3)
	for i, item := range []string{"CAA16737-FA36-4D43-B3B6-33F0AA44E76B", "2FA54224-CD1B-4876-B211-5DBED83BF4B8", "8141BF1D-A96F-4709-BA47-F233A8FAAB5F"} {
		copy(m[32+32*i:], id(item))
		le.PutUint32(m[48+32*i:], uint32(64<<10+16*i))
		le.PutUint32(m[52+32*i:], []uint32{8, 8, 4}[i])
	}
	v := m[64<<10:]
	le.PutUint32(v, block)
	le.PutUint64(v[16:], size)
	le.PutUint32(v[32:], sector)
	for i := 0; i*block < len(disk); i++ {
		b := make([]byte, block)
		copy(b, disk[i*block:])
		e := uint64(2)
		if bytes.Count(b, []byte{0}) != block {
			e = uint64(len(out)) | 6
			out = append(out, b...)
		}
		le.PutUint64(out[batAt+8*i:], e)
	}
	return out
}

func TestRead(t *testing.T) {
	disk := containertest.Disk(5<<20 + 4096)
	clear(disk[2<<20 : 4<<20])
	for _, sector := range []uint32{512, 4096} {
		img, err := vhdx.Open(bytes.NewReader(build(disk, uint64(len(disk)), sector)))
		if err != nil {
			t.Fatal(err)
		}
		containertest.Same(t, img, disk)
		if len(img.Gaps()) > 0 || len(img.Damage) > 0 || img.SectorSize != int64(sector) {
			t.Errorf("gaps %v, damage %q, sector %d", img.Gaps(), img.Damage, img.SectorSize)
		}
	}
}

// Each structure has a second copy, and its loss is said.
func TestCopies(t *testing.T) {
	disk := containertest.Disk(2 << 20)
	for _, at := range []int{64<<10 + 30, 128<<10 + 30, 192<<10 + 30, 256<<10 + 30} {
		b := build(disk, uint64(len(disk)), 512)
		b[at]++
		img, err := vhdx.Open(bytes.NewReader(b))
		if err != nil {
			t.Fatal(err)
		}
		containertest.Same(t, img, disk)
		if at != 256<<10+30 && (len(img.Damage) != 1 || !strings.Contains(img.Damage[0], "is not sound")) {
			t.Errorf("byte %d changed: damage %q", at, img.Damage)
		}
	}
	b := build(disk, uint64(len(disk)), 512)
	b[64<<10+50] = 1 // of the log's identifier
	checksum(b[64<<10 : 68<<10])
	img, err := vhdx.Open(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	if len(img.Damage) != 1 || !strings.Contains(img.Damage[0], "log is dirty") {
		t.Errorf("damage %q", img.Damage)
	}
}

func TestNamed(t *testing.T) {
	b := build(nil, 1<<60, 512)
	var no *container.UnsupportedError
	if _, err := vhdx.Open(bytes.NewReader(b)); !errors.As(err, &no) {
		t.Errorf("a disk of an exabyte: %v", err)
	}
	b = build(nil, 1<<20, 512)
	b[metaAt+64<<10+4] = 2
	if _, err := vhdx.Open(bytes.NewReader(b)); !errors.As(err, &no) || !strings.Contains(err.Error(), "differencing") {
		t.Errorf("a differencing disk: %v", err)
	}
}

func TestCut(t *testing.T) {
	disk := containertest.Disk(3 << 20)
	b := build(disk, uint64(len(disk)), 512)
	for n := 4 << 20; n < len(b); n += 300_000 {
		img, err := vhdx.Open(bytes.NewReader(b[:n]))
		if err != nil {
			t.Fatal(err)
		}
		if lost, right := containertest.Damaged(t, img, disk); !right || lost == 0 {
			t.Errorf("cut at %d: right %v, %d lost", n, right, lost)
		}
	}
}

// FuzzFields changes the fields of the metadata, the region table and the block
// table of a sound file, with the checksums made right.
func FuzzFields(f *testing.F) {
	f.Add(make([]byte, 64), make([]byte, 40), make([]byte, 16))
	f.Add([]byte{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff}, []byte{9}, []byte{7, 0, 0, 0, 0, 0, 0, 0xff, 4})
	sound := build(make([]byte, 1<<20), 8<<20, 512)
	f.Fuzz(func(t *testing.T, regions, items, table []byte) {
		b := bytes.Clone(sound)
		for _, at := range []int{192 << 10, 256 << 10} {
			xor(b[at+8:at+8+1024], regions)
			checksum(b[at : at+64<<10])
		}
		xor(b[metaAt+64<<10:metaAt+65<<10], items)
		xor(b[metaAt+8:metaAt+200], regions)
		xor(b[batAt:batAt+1024], table)
		img, err := vhdx.Open(bytes.NewReader(b))
		containertest.Exercise(t, img, err)
	})
}

func xor(b, by []byte) {
	for i := range min(len(b), len(by)) {
		b[i] ^= by[i]
	}
}
