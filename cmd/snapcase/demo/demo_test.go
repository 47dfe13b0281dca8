package demo_test

import (
	"bufio"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"snapcase/cmd/snapcase/demo"
)

const testdata = "../../../testdata/demo/"

func sum(t *testing.T, path string) string {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		t.Fatal(err)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// TestEmbedded checks the embedded files against the generator's list.
func TestEmbedded(t *testing.T) {
	f, err := os.Open(testdata + "SHA256SUMS")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	n := 0
	for s := bufio.NewScanner(f); s.Scan(); {
		want, name, _ := strings.Cut(s.Text(), "  ")
		if strings.HasSuffix(name, ".zst") {
			n++
			if got := sum(t, name); got != want {
				t.Errorf("%s: %s, SHA256SUMS has %s", name, got, want)
			}
		}
	}
	if n != 2 {
		t.Fatalf("%d embedded files in SHA256SUMS, want 2", n)
	}
}

// TestWrite unpacks twice and compares with what the generator says it made.
func TestWrite(t *testing.T) {
	dir := t.TempDir()
	sources, err := demo.Write(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := demo.Write(dir); err != nil {
		t.Fatalf("second time: %v", err)
	}
	kinds := ""
	for _, s := range sources {
		kinds += s.Kind + " "
		if _, err := os.Stat(s.Path); err != nil {
			t.Error(err)
		}
	}
	if kinds != "disk cloudtrail flowlog pcap " {
		t.Errorf("kinds %q", kinds)
	}
	sums, err := os.ReadFile(testdata + "SHA256SUMS")
	if err != nil {
		t.Fatal(err)
	}
	if disk := sum(t, filepath.Join(dir, "disk.raw")); !strings.Contains(string(sums), disk+"  disk.raw\n") {
		t.Errorf("disk.raw is %s, not that of SHA256SUMS", disk)
	}
	var truth struct {
		CloudTrail struct {
			Files, Records, Distinct int
			Keys                     map[string]int `json:"events_by_key"`
		} `json:"cloudtrail"`
	}
	b, err := os.ReadFile(testdata + "truth.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &truth); err != nil {
		t.Fatal(err)
	}
	files, records, ids, keys := count(t, filepath.Join(dir, "cloudtrail"))
	if files != truth.CloudTrail.Files || records != truth.CloudTrail.Records || len(ids) != truth.CloudTrail.Distinct {
		t.Errorf("%d files, %d records, %d distinct; want %+v", files, records, len(ids), truth.CloudTrail)
	}
	for k, n := range truth.CloudTrail.Keys {
		if keys[k] != n {
			t.Errorf("key %s: %d events, want %d", k, keys[k], n)
		}
	}
}

// count reads the trail with the standard library alone.
func count(t *testing.T, dir string) (files, records int, ids map[string]bool, keys map[string]int) {
	t.Helper()
	ids, keys = map[string]bool{}, map[string]int{}
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		files++
		f, err := os.Open(p)
		if err != nil {
			return err
		}
		defer f.Close()
		z, err := gzip.NewReader(f)
		if err != nil {
			return err
		}
		var x struct {
			Records []struct {
				ID   string `json:"eventID"`
				User struct {
					Key string `json:"accessKeyId"`
				} `json:"userIdentity"`
			}
		}
		if err := json.NewDecoder(z).Decode(&x); err != nil {
			return err
		}
		for _, r := range x.Records {
			records++
			if !ids[r.ID] {
				ids[r.ID] = true
				keys[r.User.Key]++
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return files, records, ids, keys
}
