package exfat

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"snapcase/imaging/filesystem/fstest"
)

// TestCorpus compares an image that another project made with what The Sleuth
// Kit lists.
func TestCorpus(t *testing.T) {
	dir := os.Getenv("SNAPCASE_CORPUS")
	if dir == "" {
		t.Skip("needs SNAPCASE_CORPUS, the folder of the test corpus")
	}
	src := fstest.File(t, filepath.Join(dir, "images", "other", "test.exfat.gz"))
	f, err := Open(src)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%+v", f.Info())
	b := make([]byte, src.Size())
	if _, err := src.ReadAt(b, 0); err != nil {
		t.Fatal(err)
	}
	image := filepath.Join(t.TempDir(), "image")
	if err := os.WriteFile(image, b, 0o600); err != nil {
		t.Fatal(err)
	}
	compareTSK(t, image, f)
	checkCover(t, f)
	fstest.Run(t, Open, src, nil)
}

// BenchmarkWalk walks the small volume.
func BenchmarkWalk(b *testing.B) {
	f, err := Open(fstest.Bytes(small().b))
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		for _, err := range f.Walk(context.Background()) {
			if err != nil {
				b.Fatal(err)
			}
		}
	}
}
