package vhd_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"strings"
	"testing"

	"snapcase/imaging/image/container"
	"snapcase/imaging/image/container/containertest"
	"snapcase/imaging/image/vhd"
)

var be = binary.BigEndian

const block = 8192 // 16 sectors: a bitmap of 2 bytes, in a sector

func checksum(b []byte, at int) {
	be.PutUint32(b[at:], 0)
	var s uint32
	for _, c := range b {
		s += uint32(c)
	}
	be.PutUint32(b[at:], ^s)
}

func footer(kind uint32, size int, id byte, next uint64) []byte {
	f := make([]byte, 512)
	copy(f, "conectix")
	be.PutUint64(f[16:], next)
	copy(f[28:], "test")
	be.PutUint64(f[48:], uint64(size))
	be.PutUint32(f[60:], kind)
	f[68] = id
	checksum(f, 64)
	return f
}

// dynamic writes a dynamic image, or a differencing one upon parent: then every
// second sector that differs from nothing is left to the parent.
func dynamic(disk []byte, parent string) []byte {
	kind, id := uint32(3), byte(1)
	if parent != "" {
		kind, id = 4, 2
	}
	blocks := (len(disk) + block - 1) / block
	f := footer(kind, len(disk), id, 512)
	h := make([]byte, 1024)
	copy(h, "cxsparse")
	be.PutUint64(h[16:], 1536)
	be.PutUint32(h[28:], uint32(blocks))
	be.PutUint32(h[32:], block)
	if parent != "" {
		h[40] = 1
		for i, c := range []byte(parent) {
			h[64+2*i+1] = c
		}
	}
	checksum(h, 36)
	table := bytes.Repeat([]byte{0xff}, (4*blocks+511)&^511)
	out := append(bytes.Clone(f), h...)
	at := len(out)
	out = append(out, table...)
	for i := range blocks {
		b := make([]byte, block)
		copy(b, disk[i*block:])
		if i%5 == 4 && (parent != "" || bytes.Count(b, []byte{0}) == block) {
			continue
		}
		be.PutUint32(out[at+4*i:], uint32(len(out)/512))
		m := make([]byte, 512)
		m[0], m[1] = 0xff, 0xff
		if parent != "" {
			m[0], m[1] = 0b10111101, 0b00000011
			for s := range block / 512 {
				if m[s/8]<<(s%8)&0x80 == 0 {
					copy(b[s*512:], bytes.Repeat([]byte{0x5a}, 512)) // must not be read
				}
			}
		}
		out = append(append(out, m...), b...)
	}
	return append(out, f...)
}

func open(t *testing.T, b []byte, folder container.Folder) *container.Image {
	t.Helper()
	img, err := vhd.Open(bytes.NewReader(b), folder)
	if err != nil {
		t.Fatal(err)
	}
	return img
}

func TestRead(t *testing.T) {
	disk := containertest.Disk(200<<10 + 512)
	fixed := append(bytes.Clone(disk), footer(2, len(disk), 1, ^uint64(0))...)
	for name, b := range map[string][]byte{"fixed": fixed, "dynamic": dynamic(disk, "")} {
		img := open(t, b, nil)
		containertest.Same(t, img, disk)
		if len(img.Gaps()) > 0 || len(img.Damage) > 0 {
			t.Errorf("%s: gaps %v, damage %q", name, img.Gaps(), img.Damage)
		}
	}
}

// A differencing disk takes whole blocks and single sectors from its parent.
func TestParent(t *testing.T) {
	disk := containertest.Disk(200<<10 + 512)
	b := dynamic(disk, "base.vhd")
	folder := parents{containertest.Folder{"other.vhd": dynamic(disk, "")}}
	img := open(t, b, folder) // found by its identifier
	containertest.Same(t, img, disk)
	if len(img.Gaps()) > 0 || len(img.Damage) > 0 {
		t.Errorf("gaps %v, damage %q", img.Gaps(), img.Damage)
	}
	var no *container.UnsupportedError
	if _, err := vhd.Open(bytes.NewReader(b), containertest.Folder{}); !errors.As(err, &no) || !strings.Contains(err.Error(), "base.vhd") {
		t.Errorf("without its parent: %v", err)
	}
}

type parents struct{ containertest.Folder }

func (p parents) Image(name string) (*container.Image, error) {
	src, err := p.File(name)
	if err != nil {
		return nil, err
	}
	return vhd.Open(src, nil)
}

func TestFooterLies(t *testing.T) {
	disk := containertest.Disk(20 << 10)
	long := append(bytes.Clone(disk), footer(2, len(disk)+4096, 1, 0)...)
	img := open(t, long, nil)
	if gaps := img.Gaps(); img.Size() != int64(len(disk)+4096) || len(gaps) != 1 || gaps[0].Length != 4096 {
		t.Errorf("size %d, gaps %v", img.Size(), gaps)
	}
	short := append(bytes.Clone(disk), footer(2, 4096, 1, 0)...)
	img = open(t, short, nil)
	containertest.Same(t, img, disk)
	if len(img.Damage) != 1 {
		t.Errorf("damage %q", img.Damage)
	}
}

func TestBroken(t *testing.T) {
	disk := containertest.Disk(100 << 10)
	containertest.Broken(dynamic(disk, ""), func(what string, f []byte) {
		img, err := vhd.Open(bytes.NewReader(f), nil)
		containertest.Exercise(t, img, err)
		if err == nil && strings.HasPrefix(what, "cut") {
			if _, right := containertest.Damaged(t, img, disk); !right || len(img.Damage) == 0 {
				t.Errorf("%s: right %v, damage %q", what, right, img.Damage)
			}
		}
	})
}

func FuzzOpen(f *testing.F) {
	disk := make([]byte, 40<<10)
	copy(disk[9000:], "some text")
	f.Add(dynamic(disk, ""))
	f.Add(dynamic(disk, "base"))
	f.Add(append(bytes.Clone(disk), footer(2, len(disk), 1, 0)...))
	f.Add(footer(2, 1<<40, 1, 0))
	folder := parents{containertest.Folder{"base": dynamic(disk, "")}}
	f.Fuzz(func(t *testing.T, b []byte) {
		// Checksums are made right, so that what they guard is reached.
		if b = bytes.Clone(b); len(b) >= 2048 {
			checksum(b[len(b)-512:], 64)
			checksum(b[:512], 64)
		}
		img, err := vhd.Open(bytes.NewReader(b), folder)
		containertest.Exercise(t, img, err)
	})
}

func BenchmarkRead(b *testing.B) {
	disk := containertest.Disk(32 << 20)
	img, err := vhd.Open(bytes.NewReader(dynamic(disk, "")), nil)
	if err != nil {
		b.Fatal(err)
	}
	p := make([]byte, 1<<20)
	b.SetBytes(int64(len(disk)))
	for b.Loop() {
		for at := int64(0); at < img.Size(); at += int64(len(p)) {
			if _, err := img.ReadAt(p, at); err != nil {
				b.Fatal(err)
			}
		}
	}
}
