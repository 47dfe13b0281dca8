package xfs

import (
	"bytes"
	"context"
	"encoding/binary"
	"testing"

	"snapcase/imaging/filesystem/fstest"
)

// smallImage is the bytes of testdata/small.img.gz.
func smallImage(t testing.TB) []byte { return image(t, "testdata/small.img.gz") }

func image(t testing.TB, path string) []byte {
	t.Helper()
	src := fstest.File(t, path)
	p := make([]byte, src.Size())
	if _, err := src.ReadAt(p, 0); err != nil {
		t.Fatal(err)
	}
	return p
}

// patched is an image some of whose bytes are others.
type patched struct {
	*bytes.Reader
	bytes map[int64]byte
}

func (p patched) Size() int64 { return p.Reader.Size() }

func (p patched) ReadAt(b []byte, off int64) (int, error) {
	n, err := p.Reader.ReadAt(b, off)
	for at, v := range p.bytes {
		if at >= off && at < off+int64(n) {
			b[at-off] = v
		}
	}
	return n, err
}

// FuzzVolume changes bytes of a volume: each five bytes of input are a place,
// counted in the parts that are not zero, and a value. The volume has a little of
// each form, so that many are tried in a second.
func FuzzVolume(f *testing.F) {
	image := image(f, "testdata/fuzz.img.gz")
	var used []int64
	for i := 0; i < len(image); i += 16 {
		if binary.BigEndian.Uint64(image[i:])|binary.BigEndian.Uint64(image[i+8:]) != 0 {
			used = append(used, int64(i))
		}
	}
	f.Add([]byte{0, 0, 0, 0, 0xff})
	f.Add([]byte{0, 0, 0, 97, 1, 0, 0, 2, 1, 0x80, 0, 0, 9, 4, 7})
	f.Add([]byte("\x00\x00\x10\x56\x03\x00\x00\x20\x0c\xff\x00\x01\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, p []byte) {
		src := patched{bytes.NewReader(image), map[int64]byte{}}
		for ; len(p) >= 5 && len(src.bytes) < 64; p = p[5:] {
			n := int(binary.BigEndian.Uint32(p)) % (len(used) * 16)
			src.bytes[used[n/16]+int64(n%16)] = p[4]
		}
		fstest.Survive(t, Open, src)
	})
}

// testSuper is a superblock of the small image's shape.
func testSuper(t testing.TB, version int) *superblock {
	t.Helper()
	s, why := parseSuper(smallImage(t)[:superRead], 0)
	if why != "" {
		t.Fatal(why)
	}
	if s.version = version; version == 4 {
		s.incompat, s.rocompat, s.features2 = 0, 0, 0
	}
	return &s
}

// FuzzDirectory reads a directory's block, and the same bytes as a directory
// within an inode.
func FuzzDirectory(f *testing.F) {
	image := smallImage(f)
	for i := 0; i < len(image); i += 4096 {
		if isDirBlock(image[i : i+4096]) {
			f.Add(image[i:i+4096], uint16(4096))
		}
	}
	f.Add([]byte{1, 0, 0, 0, 0, 128, 1, 0, 96, 'a', 1, 0, 0, 0, 131}, uint16(15))
	v5, v4 := testSuper(f, 5), testSuper(f, 4)
	f.Fuzz(func(t *testing.T, p []byte, size uint16) {
		for _, s := range []*superblock{v5, v4} {
			names := 0
			r := &direntReader{sb: s, high: 1 << 32, emit: func(d dirent) {
				if len(d.text) == 0 || len(d.text) > 255 {
					t.Errorf("a name of %d bytes", len(d.text))
				}
				names++
			}}
			if len(p) >= 64 {
				r.block(p[:len(p)&^7])
				r.pieces(p, int(size)&^7)
			}
			if names > len(p)/8 {
				t.Errorf("%d names in %d bytes", names, len(p))
			}
			r.shortForm(p, int(size))
		}
	})
}

// FuzzInode maps an inode that may be anything.
func FuzzInode(f *testing.F) {
	image := smallImage(f)
	for i := 0; i < len(image); i += 512 {
		if in := inode(image[i : i+512]); in.magic() && in.mode() != 0 && i%8192 == 0 {
			f.Add([]byte(in), uint64(128))
		}
	}
	fs, err := Open(fstest.Bytes(image))
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, p []byte, ino uint64) {
		in := make(inode, 512)
		copy(in, p)
		m := blockMap{fs: fs, spend: fs.newBudget()}
		r, err := fs.record(ino, in, true, &m)
		if err != nil {
			t.Fatal(err)
		}
		if r.e.Size < 0 {
			t.Errorf("size %d", r.e.Size)
		}
		for _, load := range []func(uint64, inode) error{m.load, m.loadAttr, m.residual} {
			if err := load(ino, in); err != nil {
				t.Fatal(err)
			}
			end := uint64(0)
			for _, r := range m.runs {
				if r.n == 0 || r.at < end || !fs.inVolume(r) {
					t.Errorf("run %+v", r)
				}
				end = r.at + uint64(r.n)
			}
		}
		if _, err := fs.content(ino, in); err != nil {
			t.Fatal(err)
		}
	})
}

func (fs *FS) inVolume(r run) bool {
	return r.block() < fs.sb.blocks && uint64(r.n) <= fs.sb.blocks-r.block()
}

// FuzzLog replays a record with any operations and remembers what it says.
func FuzzLog(f *testing.F) {
	image := smallImage(f)
	fs, err := OpenRaw(fstest.Bytes(image))
	if err != nil {
		f.Fatal(err)
	}
	j, _, _ := fs.journal()
	_, err = j.records(context.Background(), 0, 0, true, func(r *logRecord) error {
		f.Add(r.data, r.ops)
		return nil
	})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, p []byte, ops uint32) {
		own, err := OpenRaw(fstest.Bytes(image))
		if err != nil {
			t.Fatal(err)
		}
		table, err := own.table(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		past := &pastReader{
			fs: own, table: table, names: func(oldName) {},
			h: &history{inodes: map[uint64][]oldInode{}, latest: map[uint64]oldInode{}},
		}
		r := &replayer{fs: own, cancelled: map[[2]int64]int{}, over: newOverlay(own.src)}
		own.src = r.over
		for _, order := range []binary.ByteOrder{binary.LittleEndian, binary.BigEndian} {
			a := &assembler{open: map[uint32]*transaction{}, loose: true, use: func(tr *transaction) error {
				if err := r.note(tr); err != nil {
					return err
				}
				if err := past.remember(tr); err != nil {
					return err
				}
				return r.apply(tr)
			}}
			if err := a.add(&logRecord{lsn: 1 << 40, ops: ops, order: order, data: p}); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// FuzzSuperblock reads a superblock that may be anything.
func FuzzSuperblock(f *testing.F) {
	f.Add(smallImage(f)[:512])
	f.Fuzz(func(t *testing.T, p []byte) {
		s, why := parseSuper(p, 0)
		if why != "" {
			return
		}
		s.info()
		for ag := range min(s.groups, 4) {
			if n := s.groupLen(ag); n == 0 || n > s.groupSize {
				t.Errorf("group %d has %d blocks", ag, n)
			}
		}
	})
}
