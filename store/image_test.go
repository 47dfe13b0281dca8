package store

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"snapcase/evidence"
	"snapcase/evidence/credential"
)

// diskCase is a case folder with one disk exhibit, whose image is a link to
// path, indexed beside it.
func diskCase(t testing.TB, kind evidence.Kind, path string, hits []credential.Hit) *Case {
	t.Helper()
	f := evidence.Folder(t.TempDir())
	writeJSON(t, f.CaseFile(), evidence.CaseFile{Version: evidence.CaseVersion, Title: "T"})
	addImage(t, f, "EX-001", kind, path, hits)
	c, err := Open(context.Background(), string(f), Options{Bundle: true, Index: filepath.Join(t.TempDir(), "index.db")})
	must(t, err)
	t.Cleanup(func() { must(t, c.Close()) })
	return c
}

func addImage(t testing.TB, f evidence.Folder, id string, kind evidence.Kind, path string, hits []credential.Hit) {
	t.Helper()
	must(t, os.MkdirAll(f.Exhibit(id), 0o755))
	writeJSON(t, f.Acquisition(id), evidence.Acquisition{Exhibit: id, Kind: kind})
	must(t, os.Symlink(path, f.Image(id)))
	w, err := os.Create(filepath.Join(f.Exhibit(id), hitsFile))
	must(t, err)
	must(t, credential.WriteHits(w, hits, 0))
	must(t, w.Close())
}

func writeJSON(t testing.TB, path string, v any) {
	t.Helper()
	b, err := json.Marshal(v)
	must(t, err)
	must(t, os.MkdirAll(filepath.Dir(path), 0o755))
	must(t, os.WriteFile(path, b, 0o644))
}

// BenchmarkIndexDisk indexes the image that SNAPCASE_IMAGE names.
func BenchmarkIndexDisk(b *testing.B) {
	path := os.Getenv("SNAPCASE_IMAGE")
	if path == "" {
		b.Skip("needs SNAPCASE_IMAGE")
	}
	c := diskCase(b, evidence.KindDisk, path, nil)
	for b.Loop() {
		if err := c.Index(context.Background(), IndexOptions{Rebuild: true}, nil); err != nil {
			b.Fatal(err)
		}
	}
}
