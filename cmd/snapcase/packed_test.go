package main

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"snapcase/evidence"
)

// demoImage is the disk of the demonstration case, unpacked.
func demoImage(t *testing.T, dir string) string {
	t.Helper()
	b, err := os.ReadFile("demo/disk.raw.zst")
	must(t, err)
	d, err := zstd.NewReader(nil)
	must(t, err)
	defer d.Close()
	raw, err := d.DecodeAll(b, nil)
	must(t, err)
	path := filepath.Join(dir, "disk.raw")
	must(t, os.WriteFile(path, raw, 0o644))
	return path
}

// TestPackedExhibit acquires one disk raw and packed: both answer alike, both
// verify, both go into a bundle; a changed bit of the packed one is found.
func TestPackedExhibit(t *testing.T) {
	dir, home := t.TempDir(), t.TempDir()
	source := demoImage(t, dir)
	answers := map[string][]byte{}
	var address string
	for _, format := range []string{"raw", "zst"} {
		cs := filepath.Join(dir, format)
		output(t, home, []int{0}, "new", cs, "--title", "T", "--examiner", "jdoe")
		var a struct {
			SHA256 string
			Packed *evidence.Packed
		}
		must(t, json.Unmarshal(output(t, home, []int{0, 4}, "acquire", cs, source, "--as", "disk", "--format", format, "--json"), &a))
		if a.SHA256 != sum(t, source) || (a.Packed != nil) != (format == "zst") {
			t.Fatalf("%s: %+v", format, a)
		}
		for _, verb := range [][]string{{"files", "--hash"}, {"keys"}, {"timeline"}, {"stats"}} {
			b := output(t, home, []int{0, 4}, append([]string{verb[0], cs, "--json"}, verb[1:]...)...)
			b = regexp.MustCompile(`"packed":\{[^}]*\},|"(source|label|secret_fingerprint)":"[^"]*",`).ReplaceAll(b, nil)
			if was, ok := answers[verb[0]]; ok && !bytes.Equal(was, b) {
				t.Errorf("%s differs:\n%.2000s\n%.2000s", verb[0], was, b)
			}
			answers[verb[0]] = b
		}
		for _, e := range entries(t, output(t, home, []int{0, 4}, "files", cs, "--json")) {
			if e.Type == "file" && e.Size > 1000 && e.Status == "allocated" && e.Damage == nil {
				address = e.Address
			}
		}
		content := output(t, home, []int{0}, "cat", cs, address)
		if was, ok := answers["cat"]; ok && !bytes.Equal(was, content) || len(content) == 0 {
			t.Errorf("cat differs")
		}
		answers["cat"] = content
		output(t, home, []int{0}, "verify", cs, "--signers", filepath.Join(cs, "allowed_signers"))
	}
	cs := filepath.Join(dir, "zst")
	bag := filepath.Join(dir, "bag")
	output(t, home, []int{0, 4}, "bundle", cs, "-o", bag)
	output(t, home, []int{0, 4}, "verify", bag, "--signers", filepath.Join(cs, "allowed_signers"))
	if _, err := exec.LookPath("sh"); err != nil {
		t.Log("VERIFY.sh is not run: no sh here")
	} else if out, err := exec.Command("sh", filepath.Join(bag, "VERIFY.sh"), bag, filepath.Join(cs, "allowed_signers")).CombinedOutput(); err != nil && !strings.Contains(string(out), "VERDICT    partial") {
		t.Errorf("VERIFY.sh: %v: %s", err, out)
	}
	image := filepath.Join(cs, "exhibits", "EX-001", "image.raw.zst")
	if _, err := exec.LookPath("zstd"); err == nil {
		raw := filepath.Join(dir, "image.raw")
		do(t, "zstd", "-q", "-d", image, "-o", raw)
		if sum(t, raw) != sum(t, source) {
			t.Error("zstd -d gives another disk")
		}
	}
	b, err := os.ReadFile(image)
	must(t, err)
	b[len(b)/2] ^= 2
	must(t, os.Chmod(image, 0o644))
	must(t, os.WriteFile(image, b, 0o444))
	report := output(t, home, []int{3}, "verify", cs, "--json")
	if !strings.Contains(string(report), "exhibits/EX-001/image.raw.zst") {
		t.Errorf("the changed file is not named: %s", report)
	}
	packed := evidence.Folder(cs).PackedImage("EX-001")
	st, err := os.Stat(packed)
	must(t, err)
	must(t, os.Chmod(packed, 0o644))
	must(t, os.Truncate(packed, st.Size()-100))
	output(t, home, []int{3}, "index", cs, "--rebuild") // cut since it was sealed: no answer from it
}
