package ewf_test

import (
	"bytes"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"slices"
	"strings"
	"testing"

	"snapcase/imaging"
	"snapcase/imaging/image/container"
	"snapcase/imaging/image/container/containertest"
	"snapcase/imaging/image/ewf"
)

var _ imaging.Source = (*container.Image)(nil)

func open(t *testing.T, files [][]byte) *container.Image {
	t.Helper()
	img, err := ewf.Open(segments(files))
	if err != nil {
		t.Fatal(err)
	}
	return img
}

func TestRead(t *testing.T) {
	disk := small(t, 40*chunk+512)
	for _, compress := range []bool{false, true} {
		for _, perSegment := range []int{2, 100} {
			b := builder{disk: disk, perTable: 3, perSegment: perSegment, compress: compress, set: 9}
			files := b.build()
			img := open(t, files)
			containertest.Same(t, img, disk)
			md := md5.Sum(disk)
			if len(img.Gaps()) > 0 || len(img.Damage) > 0 || img.Stored["md5"] != hex.EncodeToString(md[:]) || img.SectorSize != 512 {
				t.Errorf("gaps %v, damage %q, stored %v", img.Gaps(), img.Damage, img.Stored)
			}
			if !slices.Contains(img.Header, container.Field{Name: "examiner", Value: "A. Nother"}) {
				t.Errorf("header %q", img.Header)
			}
			slices.Reverse(files) // the order of the files does not count
			containertest.Same(t, open(t, files), disk)
		}
	}
}

// Chunks behind a missing segment are placed from the end; those between two
// missing ones cannot be, and Damage says so.
func TestMissingSegments(t *testing.T) {
	disk := small(t, 40*chunk)
	b := builder{disk: disk, perTable: 2, perSegment: 2, compress: true, set: 9}
	whole := b.build() // ten segments of four chunks
	for _, c := range []struct {
		gone    []int
		off, to int64 // the gap, in chunks
		damage  string
	}{
		{[]int{0}, 0, 4, "segment 1 is missing"},
		{[]int{4}, 16, 20, "segment 5 is missing"},
		{[]int{4, 5}, 16, 24, "segments 5 to 6 are missing"},
		{[]int{9}, 36, 40, "does not end the image"},
		{[]int{2, 6}, 8, 28, "12 chunks lie between two losses"},
		{[]int{7, 9}, 28, 40, "between two losses"},
	} {
		files := slices.Clone(whole)
		for _, i := range c.gone {
			files[i] = nil
		}
		img := open(t, files)
		lost, right := containertest.Damaged(t, img, disk)
		gaps := img.Gaps()
		if !right || lost != (c.to-c.off)*chunk || len(gaps) != 1 || gaps[0].Offset != c.off*chunk {
			t.Errorf("without %v: right %v, gaps %v", c.gone, right, gaps)
		}
		if !strings.Contains(strings.Join(img.Damage, "\n"), c.damage) {
			t.Errorf("without %v: damage %q", c.gone, img.Damage)
		}
	}
}

func TestSegmentOfAnotherSet(t *testing.T) {
	disk := small(t, 24*chunk)
	b := builder{disk: disk, perTable: 2, perSegment: 2, set: 9}
	files := b.build()
	other := builder{disk: make([]byte, len(disk)), perTable: 2, perSegment: 2, set: 8}
	files[2] = other.build()[2]
	img := open(t, files)
	lost, right := containertest.Damaged(t, img, disk)
	if !right || lost != 4*chunk || !strings.Contains(strings.Join(img.Damage, "\n"), "of another image") {
		t.Errorf("right %v, gaps %v, damage %q", right, img.Gaps(), img.Damage)
	}
}

func TestBadSectors(t *testing.T) {
	disk := small(t, 8*chunk)
	b := builder{disk: disk, perTable: 20, perSegment: 1, bad: [][2]uint32{{3, 2}, {60, 100}, {9000, 1}}}
	img := open(t, b.build())
	gaps := img.Gaps()
	if len(gaps) != 2 || gaps[0].Offset != 3*512 || gaps[0].Length != 1024 || gaps[1].Offset != 60*512 || gaps[1].Length != 4*512 {
		t.Errorf("gaps %v", gaps)
	}
}

// One bit turned or the end cut off: whatever is not a gap is right, or the
// image says that something is wrong with it.
func TestBroken(t *testing.T) {
	disk := small(t, 20*chunk)
	for _, compress := range []bool{false, true} {
		b := builder{disk: disk, perTable: 4, perSegment: 100, compress: compress, set: 9}
		whole, opened := b.build()[0], 0
		containertest.Broken(whole, func(what string, f []byte) {
			img, err := ewf.Open(segments([][]byte{f}))
			if err != nil {
				var bad *imaging.FormatError
				var no *container.UnsupportedError
				if !errors.As(err, &bad) && !errors.As(err, &no) {
					t.Fatalf("%s: %v", what, err)
				}
				return
			}
			opened++
			lost, right := containertest.Damaged(t, img, disk)
			if !right && len(img.Damage) == 0 {
				t.Errorf("%s: bytes are wrong and nothing says so; gaps %v", what, img.Gaps())
			}
			if strings.HasPrefix(what, "bit") && lost > 5*chunk {
				t.Errorf("%s: %d bytes lost, damage %q", what, lost, img.Damage)
			}
		})
		if opened < 900 {
			t.Errorf("only %d opened", opened)
		}
	}
}

// Both copies of a table damaged, in different entries: those that agree count.
func TestBothTablesBad(t *testing.T) {
	disk := small(t, 16*chunk)
	b := builder{disk: disk, perTable: 16, perSegment: 1}
	f := b.build()[0]
	table, copy2 := bytes.Index(f, []byte("table\x00")), bytes.Index(f, []byte("table2"))
	f[table+76+24+4*3]++
	f[copy2+76+24+4*9]++
	img := open(t, [][]byte{f})
	// Entry 3 is also where chunk 2 ends.
	if lost, right := containertest.Damaged(t, img, disk); !right || lost > 4*chunk || lost == 0 {
		t.Errorf("right %v, %d lost: %v", right, lost, img.Gaps())
	}
}

func TestOthersAreNamed(t *testing.T) {
	for _, head := range []string{"EVF2\x0d\x0a\x81\x00", "LVF\x09\x0d\x0a\xff\x00", "LEF2\x0d\x0a\x81\x00"} {
		var no *container.UnsupportedError
		if _, err := ewf.Open(segments([][]byte{append([]byte(head), make([]byte, 100)...)})); !errors.As(err, &no) {
			t.Errorf("%q: %v", head, err)
		}
	}
}

func TestSegmentNames(t *testing.T) {
	names := []string{"a.E01", "a.E02", "a.E99", "a.EAA", "a.FZZ", "a.L01", "a.S01", "a.e03", "a.txt", "a.e01.txt", "b.E03"}
	if got := ewf.SegmentNames(names, "a.E01"); !slices.Equal(got, []string{"a.E01", "a.E02", "a.E99", "a.EAA", "a.FZZ"}) {
		t.Errorf("%v", got)
	}
	if got := ewf.SegmentNames(names, "a"); got != nil {
		t.Errorf("%v", got)
	}
}

func FuzzOpen(f *testing.F) {
	b := builder{disk: make([]byte, 9*chunk), perTable: 4, perSegment: 2, compress: true, bad: [][2]uint32{{1, 1}}}
	files := b.build()
	f.Add(files[0], files[1])
	f.Add(files[1], files[0])
	f.Add(files[0], []byte{})
	f.Add(files[0][:len(files[0])/2], files[1])
	f.Fuzz(func(t *testing.T, one, two []byte) {
		img, err := ewf.Open([]ewf.Segment{{Name: "one", Source: bytes.NewReader(one)}, {Name: "two", Source: bytes.NewReader(two)}})
		containertest.Exercise(t, img, err)
	})
}

// virtual is a file of zeros but for some parts.
type virtual struct {
	size  int64
	parts map[int64][]byte
}

func (v virtual) Size() int64 { return v.size }

func (v virtual) ReadAt(p []byte, off int64) (int, error) {
	n := int(min(int64(len(p)), v.size-off))
	clear(p[:n])
	for at, b := range v.parts {
		if from, to := max(at, off), min(at+int64(len(b)), off+int64(n)); from < to {
			copy(p[from-off:to-off], b[from-at:to-at])
		}
	}
	return n, nil
}

// A table whose offsets pass 2 GiB uses the highest bit for them.
func TestTableOver2GiB(t *testing.T) {
	const sectors, chunks = 32768, 135
	const size = sectors * 512 // 16 MiB
	v := make([]byte, 1048)
	le.PutUint32(v[4:], chunks)
	le.PutUint32(v[8:], sectors)
	le.PutUint32(v[12:], 512)
	le.PutUint64(v[16:], chunks*sectors)
	start := add([]byte("EVF\x09\x0d\x0a\xff\x00\x01\x01\x00\x00\x00"), "volume", sum(v))
	file := virtual{parts: map[int64][]byte{0: start}}
	at := int64(len(start))
	end := at + 76 + chunks*(size+4)
	d := make([]byte, 72)
	copy(d, "sectors")
	le.PutUint64(d[16:], uint64(end))
	le.PutUint64(d[24:], uint64(end-at))
	file.parts[at] = sum(d)
	at += 76
	var entries []byte
	one := make([]byte, size, size+4)
	for i := range int64(chunks) {
		b := make([]byte, 4)
		le.PutUint32(b, uint32(i))
		file.parts[at+i*(size+4)] = b // the first bytes of chunk i are its number
		copy(one, b)
		file.parts[at+i*(size+4)+size] = bytes.Clone(sum(one)[size:])
		entries = le.AppendUint32(entries, uint32(at+i*(size+4)))
	}
	head := make([]byte, 20)
	le.PutUint32(head, chunks)
	body := append(sum(head), sum(entries)...)
	d = make([]byte, 72)
	copy(d, "table")
	le.PutUint64(d[16:], uint64(end)+76+uint64(len(body)))
	le.PutUint64(d[24:], 76+uint64(len(body)))
	file.parts[end] = append(sum(d), body...)
	end += 76 + int64(len(body))
	d = make([]byte, 72)
	copy(d, "done")
	le.PutUint64(d[16:], uint64(end))
	file.parts[end] = sum(d)
	file.size = end + 76
	img, err := ewf.Open([]ewf.Segment{{Name: "big.E01", Source: file}})
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range []int64{0, 1, 126, 127, 128, 129, chunks - 1} {
		p := make([]byte, 4)
		if _, err := img.ReadAt(p, i*size); err != nil || le.Uint32(p) != uint32(i) {
			t.Errorf("chunk %d: %v, %v", i, p, err)
		}
	}
	if len(img.Gaps()) > 0 || len(img.Damage) > 0 {
		t.Errorf("gaps %v, damage %q", img.Gaps(), img.Damage)
	}
}

// FuzzFields keeps the checksums right, so that what they guard is reached.
func FuzzFields(f *testing.F) {
	f.Add(uint32(8), uint32(512), uint64(72), uint32(9), uint64(0), []byte{0xa0, 5, 0, 0, 0xa4, 5, 0, 0}, []byte{1, 0, 0, 0, 1, 0, 0, 0}, []byte("data"))
	f.Add(uint32(1), uint32(512), uint64(1)<<40, uint32(1<<31), uint64(1)<<62, []byte{0xa0, 5, 0, 0x80}, []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, pack(make([]byte, 512)))
	f.Fuzz(func(t *testing.T, perChunk, perSector uint32, count uint64, n uint32, base uint64, entries, rows, data []byte) {
		v := make([]byte, 1048)
		le.PutUint32(v[8:], perChunk)
		le.PutUint32(v[12:], perSector)
		le.PutUint64(v[16:], count)
		head := make([]byte, 20)
		le.PutUint32(head, n)
		le.PutUint64(head[8:], base)
		seg := add([]byte("EVF\x09\x0d\x0a\xff\x00\x01\x01\x00\x00\x00"), "volume", sum(v))
		seg = add(add(seg, "sectors", data), "table", append(sum(head), sum(bytes.Clone(entries))...))
		bad := make([]byte, 516)
		le.PutUint32(bad, uint32(len(rows)/8))
		seg = add(add(seg, "error2", append(sum(bad), sum(bytes.Clone(rows))...)), "done", nil)
		img, err := ewf.Open(segments([][]byte{seg}))
		containertest.Exercise(t, img, err)
	})
}

func BenchmarkRead(b *testing.B) {
	disk := containertest.Disk(32 << 20)
	for name, compress := range map[string]bool{"deflate": true, "stored": false} {
		b.Run(name, func(b *testing.B) {
			w := builder{disk: disk, perTable: 4000, perSegment: 100, compress: compress}
			files := w.build()
			img, err := ewf.Open(segments(files))
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
		})
	}
}
