package cloudtrail

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

// corpus is the folder of public CloudTrail files, or the test is skipped.
func corpus(t testing.TB, sub string) string {
	t.Helper()
	dir := os.Getenv("SNAPCASE_CORPUS")
	if dir == "" {
		t.Skip("needs SNAPCASE_CORPUS, a folder of public logs")
	}
	return filepath.Join(dir, "cloudtrail", sub)
}

// eachFile opens every file below dir.
func eachFile(t testing.TB, dir string, do func(path string, f *os.File)) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() || filepath.Ext(path) == ".md" {
			return err
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		do(path, f)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestCorpusFigures(t *testing.T) {
	for _, c := range []struct {
		set                               string
		records, keys, issued, used, busy int
		busyKey                           string
		runs, runsFailed, permanent       int
	}{
		{"invictus", 2900, 133, 36, 8, 2104, "AKIATFQR7NSC8Q4X20BJ", 8, 6, 2},
		{"stratus", 310, 40, 9, 5, 0, "", 0, 0, 0},
	} {
		t.Run(c.set, func(t *testing.T) {
			ids, keys, issued := map[string]int{}, map[string]int{}, map[string]bool{}
			n, runs, failed, permanent := 0, 0, 0, 0
			rd := NewReader()
			eachFile(t, corpus(t, c.set), func(path string, f *os.File) {
				for r, err := range rd.Read(f) {
					if err != nil {
						t.Errorf("%s: %v", path, err)
						continue
					}
					n++
					ids[r.Event.EventID]++
					if k := r.Event.AccessKeyID; k != "" {
						keys[k]++
					}
					for _, i := range r.Issued {
						if i.Permanent {
							permanent++
						} else {
							issued[i.KeyID] = true
						}
					}
					if r.Event.Name == "RunInstances" {
						runs++
						if r.Failed() {
							failed++
						}
					}
				}
			})
			used := 0
			for k := range issued {
				if keys[k] > 0 {
					used++
				}
			}
			if n != c.records || len(ids) != c.records || len(keys) != c.keys {
				t.Errorf("%d records, %d ids, %d keys; want %d, %d, %d", n, len(ids), len(keys), c.records, c.records, c.keys)
			}
			if len(issued) != c.issued || used != c.used {
				t.Errorf("%d issued, %d used; want %d, %d", len(issued), used, c.issued, c.used)
			}
			if c.busyKey != "" && keys[c.busyKey] != c.busy {
				t.Errorf("busiest key %d events, want %d", keys[c.busyKey], c.busy)
			}
			if c.runs > 0 && (runs != c.runs || failed != c.runsFailed || permanent != c.permanent) {
				t.Errorf("%d RunInstances, %d failed, %d permanent keys", runs, failed, permanent)
			}
		})
	}
}
