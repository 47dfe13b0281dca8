package ntfs

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"snapcase/imaging"
	"snapcase/imaging/filesystem/fstest"
)

// over is a volume with a part written over; what does not fit is left out.
type over struct {
	imaging.Source
	p  []byte
	at int64
}

func (o over) ReadAt(b []byte, off int64) (int, error) {
	n, err := o.Source.ReadAt(b, off)
	if from := max(off, o.at); from < min(off+int64(n), o.at+int64(len(o.p))) {
		copy(b[from-off:n], o.p[from-o.at:])
	}
	return n, err
}

// FuzzVolume writes over a part of a sound volume, in a record as well when
// the place says so, and walks it.
func FuzzVolume(f *testing.F) {
	src := fstest.File(f, "testdata/fuzz.img.gz")
	whole := make([]byte, src.Size())
	if _, err := src.ReadAt(whole, 0); err != nil && !errors.Is(err, io.EOF) {
		f.Fatal(err)
	}
	fs, err := Open(src)
	if err != nil {
		f.Fatal(err)
	}
	mft := fs.mftPlace(0)
	f.Add([]byte{0, 2, 255}, uint32(11))
	for _, n := range []int64{0, 5, 64, 66, 70, 75} {
		at := mft + n*1024
		f.Add(slices.Clone(whole[at:at+600]), uint32(at))
	}
	f.Fuzz(func(t *testing.T, p []byte, at uint32) {
		fs, err := Open(over{src, p, int64(at) % src.Size()})
		if err != nil {
			return
		}
		buf := make([]byte, 4096)
		for e, err := range fs.Walk(context.Background()) {
			if err != nil {
				t.Fatal(err)
			}
			if e.Size < 0 || e.Path == "" || e.Path[0] != '/' {
				t.Fatalf("%+v", e)
			}
			c, err := fs.Open(e.Ref)
			if err != nil {
				continue
			}
			c.ReadAt(buf, 0)
			c.ReadAt(buf, c.Size()/2)
		}
		for x, err := range fs.Extents(context.Background()) {
			if err != nil {
				t.Fatal(err)
			}
			if x.Start < 0 || x.Length <= 0 || x.Start+x.Length > src.Size() {
				t.Fatalf("%+v", x)
			}
		}
	})
}

// TestRecordsBeyondVolume makes the first record claim more records than the
// volume has room for: its copy is used, and without that the volume is refused.
func TestRecordsBeyondVolume(t *testing.T) {
	src := fstest.File(t, "testdata/fuzz.img.gz")
	sound, err := Open(src)
	if err != nil {
		t.Fatal(err)
	}
	bad := func(src imaging.Source, lcn uint64) imaging.Source { // the place of the first cluster, in the attribute of the content
		return over{src, []byte{0x2c, 0xde, 0x5e, 0x02}, int64(lcn)*sound.boot.cluster + 0x110} //nolint:gosec // inside the volume
	}
	once := bad(src, sound.boot.mft)
	fs, err := Open(once)
	if err != nil {
		t.Fatal(err)
	}
	if fs.records != sound.records || !strings.Contains(strings.Join(fs.Info().State, "\n"), "its copy at byte") {
		t.Errorf("%d records, want %d; state %q", fs.records, sound.records, fs.Info().State)
	}
	var format *imaging.FormatError
	if _, err := Open(bad(once, sound.boot.mirror)); !errors.As(err, &format) || !strings.Contains(err.Error(), "the volume has room for") {
		t.Errorf("without the copy: %v", err)
	}
}
