package inside

import (
	"archive/zip"
	"bytes"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func corpus(t testing.TB) string {
	t.Helper()
	dir := os.Getenv("SNAPCASE_CORPUS")
	if dir == "" {
		t.Skip("needs SNAPCASE_CORPUS, the folder of the test corpus")
	}
	return dir
}

// TestJournals wants of real journals the fields that journalctl exports: each
// one that was compressed is there.
func TestJournals(t *testing.T) {
	z, err := zip.OpenReader(filepath.Join(corpus(t), "images/journal/system.journal.zip"))
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	for _, f := range z.File {
		if f.FileInfo().IsDir() {
			continue
		}
		t.Run(f.Name, func(t *testing.T) {
			r, err := f.Open()
			if err != nil {
				t.Fatal(err)
			}
			b, err := io.ReadAll(r)
			if err != nil {
				t.Fatal(err)
			}
			k := walk(t, b)
			t.Logf("%d bytes, %d streams, damage %q", len(b), len(k.streams), k.damage)
			path := filepath.Join(t.TempDir(), "x.journal")
			os.WriteFile(path, b, 0o600)
			out, err := exec.Command("journalctl", "--file", path, "-o", "export", "--all").Output()
			if err != nil {
				t.Skipf("journalctl: %v", err)
			}
			n := 0
			for path, s := range k.streams {
				name, value, _ := strings.Cut(s, "=")
				if !bytes.Contains(out, []byte(value)) {
					t.Logf("%s: a field %s of %d bytes that journalctl does not export", path, name, len(s))
					continue
				}
				n++
			}
			long := 0
			for line := range bytes.Lines(out) {
				if len(line) > 600 && !bytes.Contains(b, line[:len(line)-1]) {
					long++
				}
			}
			t.Logf("%d streams are exported; %d long lines of the export are not in the file as they are", n, long)
		})
	}
}

// TestCorpus walks every file of the corpus: nothing panics, and what comes
// out without damage is what the tools say.
func TestCorpus(t *testing.T) {
	n := 0
	err := filepath.WalkDir(corpus(t), func(p string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		b, err := os.ReadFile(p)
		if err != nil {
			return err
		}
		k := walk(t, b)
		n += len(k.streams)
		for i, d := range k.damage {
			if i < 3 {
				t.Logf("%s: %.200s", p, d)
			}
			if strings.Contains(d, "decoder failed") {
				t.Errorf("%s: %s", p, d)
			}
		}
		return nil
	})
	t.Logf("%d streams", n)
	if err != nil {
		t.Fatal(err)
	}
}
