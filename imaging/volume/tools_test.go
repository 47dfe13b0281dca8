package volume

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// layouts are scripts for sfdisk.
var layouts = map[string]string{
	"gpt": "label: gpt\nstart=2048, size=4096, type=21686148-6449-6E6F-744E-656564454649, name=\"bios\"\n" +
		"size=20480,type=U,name=\"EFI System\"\nsize=+,type=L,name=\"Wurzel ä\"\n",
	"gpt with a hole": "label: gpt\n1: start=2048, size=4096\n3: start=10240, size=2048, type=S\n128: start=8192, size=100, type=V\n",
	"mbr":             "label: dos\nlabel-id: 0x9e107d9d\nstart=2048, size=4096, type=83, bootable\nsize=8192, type=7\nsize=+, type=8e\n",
	"mbr with logical": "label: dos\nstart=2048, size=4096, type=83\nstart=8192,size=100000,type=f\nstart=10240,size=2048,type=82\n" +
		"start=20480,size=4096,type=83\nstart=40960,size=50000,type=fd\n",
}

// TestSfdisk compares with what sfdisk reads of tables that it made, and with
// the partitions that mmls lists.
func TestSfdisk(t *testing.T) {
	if _, err := exec.LookPath("sfdisk"); err != nil {
		t.Skip("needs sfdisk")
	}
	for name, script := range layouts {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "image")
			if err := os.WriteFile(path, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Truncate(path, 64<<20); err != nil {
				t.Fatal(err)
			}
			cmd := exec.Command("sfdisk", "-q", path)
			cmd.Stdin = strings.NewReader(script)
			cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8")
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("sfdisk: %v: %s", err, out)
			}
			compare(t, path)
		})
	}
}

// TestCorpus compares the images of the corpus that have a table.
func TestCorpus(t *testing.T) {
	dir := os.Getenv("SNAPCASE_CORPUS")
	if dir == "" {
		t.Skip("needs SNAPCASE_CORPUS, the folder of the test corpus")
	}
	for file, tool := range map[string]string{"made/gpt_lvm.img.zst": "zstd", "other/mbr.img.gz": "gzip", "blkid/gpt.img.xz": "xz", "blkid/dos+bsd.img.xz": "xz"} {
		t.Run(filepath.Base(file), func(t *testing.T) {
			if _, err := exec.LookPath(tool); err != nil {
				t.Skipf("needs %s", tool)
			}
			path := filepath.Join(t.TempDir(), "image")
			b, err := exec.Command(tool, "-dc", filepath.Join(dir, "images", file)).Output()
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, b, 0o600); err != nil {
				t.Fatal(err)
			}
			compare(t, path)
		})
	}
}

func compare(t *testing.T, path string) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	table, err := Scan(source{bytes.NewReader(b)})
	if err != nil {
		t.Fatal(err)
	}
	check(t, table, int64(len(b)))
	compareSfdisk(t, path, table)
	compareMmls(t, path, table)
}

func compareSfdisk(t *testing.T, path string, table Table) {
	t.Helper()
	out, err := exec.Command("sfdisk", "-J", path).Output()
	if err != nil {
		t.Fatalf("sfdisk -J: %v", err)
	}
	var theirs struct {
		PartitionTable struct {
			Label, ID  string
			SectorSize int64
			Partitions []struct {
				Node, Type, UUID, Name string
				Start, Size            int64
			}
		}
	}
	if err := json.Unmarshal(out, &theirs); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{}
	for _, p := range theirs.PartitionTable.Partitions {
		code := p.Type
		if theirs.PartitionTable.Label == "dos" {
			if p.Type == "5" || p.Type == "f" || p.Type == "85" {
				continue // an extended partition is no volume
			}
			n, _ := strconv.ParseUint(p.Type, 16, 8)
			code = fmt.Sprintf("0x%02x", n)
		}
		want["p"+strings.TrimPrefix(p.Node, path)] = fmt.Sprintf("%d+%d %s %s %q", p.Start*512, p.Size*512, code, strings.ToLower(p.UUID), p.Name)
	}
	got := map[string]string{}
	for _, v := range table.Volumes {
		if v.Gap() {
			continue
		}
		uuid := v.UUID
		if table.Scheme == SchemeMBR {
			uuid = "" // sfdisk does not show them
		}
		got[v.ID] = fmt.Sprintf("%d+%d %s %s %q", v.Start, v.Size, v.Code, uuid, v.Label)
	}
	for id := range want {
		if got[id] != want[id] {
			t.Errorf("%s: %s, sfdisk has %s", id, got[id], want[id])
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d partitions, sfdisk has %d", len(got), len(want))
	}
	id := strings.TrimPrefix(theirs.PartitionTable.ID, "0x")
	if table.UUID != id {
		t.Errorf("the disk is %s, sfdisk has %s", table.UUID, id)
	}
	t.Logf("%d partitions equal to sfdisk", len(want))
}

// compareMmls demands each partition that mmls lists.
func compareMmls(t *testing.T, path string, table Table) {
	t.Helper()
	if _, err := exec.LookPath("mmls"); err != nil {
		t.Log("not compared: needs mmls")
		return
	}
	out, err := exec.Command("mmls", "-a", path).Output()
	if err != nil {
		t.Fatalf("mmls: %v", err)
	}
	n := 0
	for line := range strings.Lines(string(out)) {
		f := strings.Fields(line)
		if len(f) < 6 || !strings.HasSuffix(f[0], ":") || f[1] == "Meta" || f[1] == "-------" {
			continue
		}
		start, _ := strconv.ParseInt(f[2], 10, 64)
		length, _ := strconv.ParseInt(f[4], 10, 64)
		n++
		found := false
		for _, v := range table.Volumes {
			found = found || v.Start == start*512 && v.Size == length*512
		}
		if !found {
			t.Errorf("mmls has %q", line)
		}
	}
	t.Logf("%d partitions of mmls", n)
}
