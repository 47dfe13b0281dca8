package store

import (
	"errors"
	"os"
	"strings"
	"testing"

	"snapcase/evidence"
)

// alter changes one byte of a sealed image.
func alter(t testing.TB, path string, off int64) {
	t.Helper()
	must(t, os.Chmod(path, 0o644))
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	must(t, err)
	b := make([]byte, 1)
	_, err = f.ReadAt(b, off)
	must(t, err)
	b[0] ^= 1
	_, err = f.WriteAt(b, off)
	must(t, errors.Join(err, f.Close()))
}

// TestAlteredImage: what lies in a block that was changed since it was sealed
// is not given, not hashed and not indexed; the rest is.
func TestAlteredImage(t *testing.T) {
	c := newTestCase(t)
	id := bringPath(t, c, evidence.KindDisk, demoDisk(t))
	var victim evidence.FileEntry
	for _, e := range listFiles(t, c, FileQuery{Volume: "p2"}) {
		if e.Type == "file" && e.Size > 100 && e.Status == "allocated" {
			victim = e
		}
	}
	a, err := evidence.ParseAddress(victim.Address)
	must(t, err)
	src, _, err := c.OpenEntry(t.Context(), a)
	must(t, err)
	want := readAll(t, src)
	v, err := c.volume(t.Context(), id, "p2")
	must(t, err)
	row, err := c.findEntry(t.Context(), a)
	must(t, err)
	at := v.Start + row.first
	must(t, c.Close())
	alter(t, c.folder.Image(id), at+1)

	o := testOptions(t, c.file.Key)
	c, err = Open(t.Context(), string(c.folder), o)
	must(t, err)
	defer c.Close() //nolint:errcheck // a test
	if _, got := bytesOf(t, c, "EX-001@0+512"); len(got) != 512 {
		t.Error("an untouched block is not given")
	}
	b := make([]byte, len(want))
	src, _, err = c.OpenEntry(t.Context(), a)
	if err == nil {
		_, err = src.ReadAt(b, 0)
	}
	if !errors.Is(err, evidence.ErrBroken) || !strings.Contains(err.Error(), id) || !strings.Contains(err.Error(), "offset") {
		t.Errorf("content of an altered block: %v", err)
	}
	if _, err := c.Extract(t.Context(), []string{victim.Address}, t.TempDir()+"/out"); !errors.Is(err, evidence.ErrBroken) {
		t.Errorf("extract: %v", err)
	}
	if err := firstError(c.Files(t.Context(), FileQuery{Hash: true})); !errors.Is(err, evidence.ErrBroken) {
		t.Errorf("files --hash: %v", err)
	}
}

// TestAlteredMetadata: an image whose file system was changed is not indexed
// again, and the index that was stays.
func TestAlteredMetadata(t *testing.T) {
	c := newTestCase(t)
	id := bringPath(t, c, evidence.KindDisk, demoDisk(t))
	before := len(listFiles(t, c, FileQuery{}))
	alter(t, c.folder.Image(id), 9437184+1024+120) // the label in the superblock of p2
	err := c.Index(t.Context(), IndexOptions{Rebuild: true}, nil)
	if !errors.Is(err, evidence.ErrBroken) || !strings.Contains(err.Error(), id) {
		t.Errorf("an altered image is indexed: %v", err)
	}
	if after := len(listFiles(t, c, FileQuery{})); after != before || before == 0 {
		t.Errorf("%d entries, before %d", after, before)
	}
	must(t, os.Truncate(c.folder.Image(id), 1<<20))
	if err := c.Index(t.Context(), IndexOptions{Rebuild: true}, nil); !errors.Is(err, evidence.ErrBroken) {
		t.Errorf("a shorter image: %v", err)
	}
}
