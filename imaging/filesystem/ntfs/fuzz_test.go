package ntfs

import (
	"context"
	"errors"
	"io"
	"slices"
	"testing"

	"snapcase/imaging/filesystem/fstest"
)

// FuzzVolume writes over a part of a sound volume, in a record as well when
// the place says so, and walks it.
func FuzzVolume(f *testing.F) {
	src := small(f)
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
	for _, n := range []int64{0, 5, 64, 75, 80, 137} {
		at := mft + n*1024
		f.Add(slices.Clone(whole[at:at+600]), uint32(at))
	}
	f.Fuzz(func(t *testing.T, p []byte, at uint32) {
		b := slices.Clone(whole)
		copy(b[int(at)%len(b):], p)
		fs, err := Open(fstest.Bytes(b))
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
			if x.Start < 0 || x.Length <= 0 || x.Start+x.Length > int64(len(b)) {
				t.Fatalf("%+v", x)
			}
		}
	})
}
