package lvm

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"snapcase/imaging"
	"snapcase/imaging/filesystem"
	"snapcase/imaging/filesystem/ext4"
	"snapcase/imaging/volume"
)

// TestCorpus reads a disk that the kernel wrote: a volume in two pieces whose
// file system holds what the truth lists.
func TestCorpus(t *testing.T) {
	dir := os.Getenv("SNAPCASE_CORPUS")
	if dir == "" {
		t.Skip("needs SNAPCASE_CORPUS, the folder of the test corpus")
	}
	dir = filepath.Join(dir, "images", "made")
	img, err := exec.Command("zstd", "-dc", filepath.Join(dir, "gpt_lvm.img.zst")).Output()
	if err != nil {
		t.Skipf("zstd: %v", err)
	}
	table, err := volume.Scan(memory(img))
	if err != nil {
		t.Fatal(err)
	}
	var pvs []imaging.Source
	for _, p := range table.Volumes {
		if src := p.Source(memory(img)); Probe(src) {
			pvs = append(pvs, src)
		}
	}
	g := group(t, 0, pvs...)
	t.Logf("group %s seqno %d, %d older texts, %d gone, notes %q", g.Name, g.Seqno, len(g.History), len(g.Gone), g.Notes)
	root, xfs := find(t, g.LVs, "root"), find(t, g.LVs, "var")
	if len(root.Segments) != 2 || root.Damage+xfs.Damage != "" {
		t.Errorf("root %+v, var %+v", root, xfs)
	}
	var magic [4]byte
	if xfs.Source.ReadAt(magic[:], 0); string(magic[:]) != "XFSB" {
		t.Errorf("var begins with %q", magic)
	}
	truth := paths(t, filepath.Join(dir, "gpt_lvm.root.truth.jsonl.gz"))
	fs, err := ext4.Open(root.Source)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for e, err := range fs.Walk(context.Background()) {
		if err != nil || e.Damage != "" && e.Status == filesystem.Allocated {
			t.Errorf("%q: %q, %v", e.Path, e.Damage, err)
		}
		if e.Status == filesystem.Allocated && truth[strings.TrimPrefix(e.Path, "/")] {
			n++
		}
	}
	if n != len(truth) {
		t.Errorf("%d of %d files", n, len(truth))
	}
}

func paths(t *testing.T, name string) map[string]bool {
	t.Helper()
	p, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	z, err := gzip.NewReader(bytes.NewReader(p))
	if err != nil {
		t.Fatal(err)
	}
	all := make(map[string]bool)
	for s := bufio.NewScanner(z); s.Scan(); {
		var e struct {
			Path []byte `json:"path"`
		}
		if err := json.Unmarshal(s.Bytes(), &e); err != nil {
			t.Fatal(err)
		}
		all[strings.TrimPrefix(string(e.Path), "/")] = true
	}
	return all
}
