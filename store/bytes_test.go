package store

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"snapcase/evidence"
	"snapcase/imaging"
)

func readAll(t testing.TB, src imaging.Source) []byte {
	t.Helper()
	b := make([]byte, src.Size())
	n, err := src.ReadAt(b, 0)
	if n != len(b) || err != nil && !errors.Is(err, io.EOF) {
		t.Fatalf("%d of %d bytes: %v", n, len(b), err)
	}
	return b
}

// bytesOf is the content that a name of bytes gives.
func bytesOf(t testing.TB, c *Case, name string) (*Content, []byte) {
	t.Helper()
	b, err := evidence.ParseBytes(name)
	must(t, err)
	content, err := c.OpenBytes(t.Context(), b)
	must(t, err)
	return content, readAll(t, content)
}

// TestBytes reads ranges of the image and of a volume, and compares them with
// the file that was acquired.
func TestBytes(t *testing.T) {
	path := demoDisk(t)
	raw, err := os.ReadFile(path)
	must(t, err)
	c := indexed(t, diskCase(t, evidence.KindDisk, path, nil))
	const p2 = 9437184
	for name, want := range map[string][]byte{
		"EX-001@0+512":           raw[:512],
		"EX-001@1000003+77777":   raw[1000003:][:77777],
		"EX-001/p2@1024+1024":    raw[p2+1024:][:1024],
		"EX-001/u1/$Unallocated": raw[17408:1048576],
	} {
		if content, got := bytesOf(t, c, name); !bytes.Equal(got, want) || content.Damage != "" {
			t.Errorf("%s: %d bytes, damage %q", name, len(got), content.Damage)
		}
	}
	end := fmt.Sprintf("EX-001@%d+100", len(raw)-10)
	if content, got := bytesOf(t, c, end); !bytes.Equal(got, raw[len(raw)-10:]) || !strings.Contains(content.Damage, "90 bytes") {
		t.Errorf("%s: %d bytes, damage %q", end, len(got), content.Damage)
	}
	for name, is := range map[string]error{
		fmt.Sprintf("EX-001@%d+1", len(raw)+1): evidence.ErrNotFound, "EX-001/p9@0+1": evidence.ErrNotFound, "EX-002@0+1": evidence.ErrNotFound,
	} {
		b, err := evidence.ParseBytes(name)
		must(t, err)
		if _, err := c.OpenBytes(t.Context(), b); !errors.Is(err, is) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestUnallocated compares what is unallocated with The Sleuth Kit, and the map
// of an extracted copy with the image.
func TestUnallocated(t *testing.T) {
	path := demoDisk(t)
	raw, err := os.ReadFile(path)
	must(t, err)
	c := indexed(t, diskCase(t, evidence.KindDisk, path, nil))
	for volume, sector := range map[string]int64{"p1": 2048, "p2": 18432} {
		content, got := bytesOf(t, c, "EX-001/"+volume+"/$Unallocated")
		for _, r := range content.Runs {
			if !bytes.Equal(got[r.Offset:][:r.Length], raw[sector*512+r.VolumeOffset:][:r.Length]) {
				t.Errorf("%s: %+v is not what lies there", volume, r)
			}
		}
		if _, err := exec.LookPath("blkls"); err != nil {
			continue
		}
		want, err := exec.Command("blkls", "-o", fmt.Sprint(sector), path).Output()
		must(t, err)
		if !bytes.Equal(got, want) {
			t.Errorf("%s: %d bytes are unallocated, blkls gives %d", volume, len(got), len(want))
		}
	}
	out := filepath.Join(t.TempDir(), "out")
	names, err := c.UnallocatedOf(t.Context(), []string{"EX-001"})
	must(t, err)
	all, err := c.Extract(t.Context(), names, out)
	must(t, err)
	if len(all) != 8 { // four volumes, each with its map
		t.Errorf("%+v", all)
	}
	_, want := bytesOf(t, c, "EX-001/p2/$Unallocated")
	got, err := os.ReadFile(filepath.Join(out, "EX-001-p2-unallocated-3"))
	must(t, err)
	if !bytes.Equal(got, want) {
		t.Errorf("%d bytes were extracted, %d are unallocated", len(got), len(want))
	}
	places, err := os.ReadFile(filepath.Join(out, "EX-001-p2-unallocated-3.map.jsonl"))
	must(t, err)
	var sum int64
	for line := range strings.Lines(string(places)) {
		var r ContentRun
		must(t, json.Unmarshal([]byte(line), &r))
		sum += r.Length
	}
	if sum != int64(len(got)) {
		t.Errorf("the map has %d bytes of %d", sum, len(got))
	}
}

// TestSlack compares the slack of every file with what The Sleuth Kit says
// of its last block.
func TestSlack(t *testing.T) {
	if _, err := exec.LookPath("istat"); err != nil {
		t.Skip("istat is not installed")
	}
	path := demoDisk(t)
	raw, err := os.ReadFile(path)
	must(t, err)
	c := indexed(t, diskCase(t, evidence.KindDisk, path, nil))
	n := 0
	for _, e := range listFiles(t, c, FileQuery{Volume: "p2"}) {
		if e.Type != "file" || e.Size == 0 || e.Status != "allocated" || n == 60 {
			continue
		}
		a, err := evidence.ParseAddress(e.Address)
		must(t, err)
		content, _, err := c.OpenSlack(t.Context(), a)
		must(t, err)
		got := readAll(t, content)
		text, err := exec.Command("istat", "-o", "18432", path, fmt.Sprint(e.Inode)).Output()
		must(t, err)
		_, blocks, ok := strings.Cut(string(text), "Direct Blocks:\n")
		words := strings.Fields(blocks)
		if !ok || len(words) == 0 || int64(len(words))*4096 < e.Size {
			continue // no blocks, or holes
		}
		var want []byte
		if last, err := strconv.ParseInt(words[len(words)-1], 10, 64); err == nil && last > 0 && e.Size%4096 != 0 {
			at := 9437184 + last*4096
			want = raw[at+e.Size%4096 : at+4096]
		}
		if n++; !bytes.Equal(got, want) {
			t.Errorf("%s: %d bytes of slack, want %d", e.Address, len(got), len(want))
		}
	}
	if n < 20 {
		t.Errorf("%d files were compared", n)
	}
}

// TestOwner asks who owns bytes of every kind.
func TestOwner(t *testing.T) {
	path := demoDisk(t)
	c := indexed(t, diskCase(t, evidence.KindDisk, path, nil))
	seen := map[string]int{}
	for _, e := range listFiles(t, c, FileQuery{Volume: "p2"}) {
		if e.Type != "file" || e.Size == 0 || e.Status != "allocated" {
			continue
		}
		a, err := evidence.ParseAddress(e.Address)
		must(t, err)
		content, _, err := c.OpenSlack(t.Context(), a)
		must(t, err)
		if len(content.Runs) == 0 {
			continue
		}
		at := content.Runs[0].VolumeOffset
		for off, want := range map[int64]string{at: "slack", at - 1: "allocated"} {
			o, err := c.Owner(t.Context(), evidence.Bytes{Exhibit: "EX-001", Volume: "p2", Offset: off, Length: 1})
			must(t, err)
			if o.Status != want || o.Address == nil {
				t.Errorf("%s, byte %d: %+v", e.Address, off, o)
			} else if got, err := evidence.ParseAddress(*o.Address); err != nil || got.Inode != e.Inode {
				t.Errorf("%s: owned by %s", e.Address, *o.Address)
			}
			image, err := c.Owner(t.Context(), evidence.Bytes{Exhibit: "EX-001", Offset: *o.Offset, Length: 1})
			must(t, err)
			if image.Status != o.Status || *image.Address != *o.Address || *image.VolumeOffset != off {
				t.Errorf("by the image %+v, by the volume %+v", image, o)
			}
			seen[want]++
		}
		if seen["slack"] > 10 {
			break
		}
	}
	free, _ := bytesOf(t, c, "EX-001/p2/$Unallocated")
	last := free.Runs[len(free.Runs)-1]
	for off, want := range map[int64]string{
		0: "unallocated MBR", 512: "unallocated primary GPT header", 17408: "unallocated ", 9437184 + 1024: "unallocated metadata",
		9437184 + last.VolumeOffset + last.Length - 1: "unallocated ",
	} {
		o, err := c.Owner(t.Context(), evidence.Bytes{Exhibit: "EX-001", Offset: off, Length: 1})
		must(t, err)
		if got := o.Status + " " + o.Area; got != want || o.Address != nil {
			t.Errorf("byte %d: %q, want %q", off, got, want)
		}
	}
	if seen["slack"] == 0 || seen["allocated"] == 0 {
		t.Errorf("%v", seen)
	}
}
