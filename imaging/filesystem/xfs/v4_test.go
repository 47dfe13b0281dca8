package xfs

import (
	"bufio"
	"bytes"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"snapcase/imaging/filesystem"
	"snapcase/imaging/filesystem/fstest"
)

// protoWant reads a prototype of mkfs.xfs: what each path is.
func protoWant(t *testing.T, text []byte) map[string]string {
	t.Helper()
	want := map[string]string{}
	lines := bufio.NewScanner(bytes.NewReader(text))
	lines.Buffer(nil, 1<<20)
	var dirs []string
	for n := 0; lines.Scan(); n++ {
		f := strings.Fields(lines.Text())
		if n < 2 || len(f) == 0 {
			continue
		}
		if f[0] == "$" {
			dirs = dirs[:max(0, len(dirs)-1)]
			continue
		}
		if strings.HasPrefix(f[0], "d--") && len(dirs) == 0 {
			dirs = append(dirs, "")
			want["/"] = protoLine(t, f, "")
			continue
		}
		path := dirs[len(dirs)-1] + "/" + f[0]
		target := ""
		if f[1][0] == 'l' {
			target = f[4]
		}
		want[path] = protoLine(t, f[1:], target)
		if f[1][0] == 'd' {
			dirs = append(dirs, path)
		}
	}
	return want
}

// protoLine renders type and mode, uid, gid and target of a prototype line.
func protoLine(t *testing.T, f []string, target string) string {
	t.Helper()
	kind := map[byte]filesystem.Type{
		'-': filesystem.TypeFile, 'd': filesystem.TypeDir, 'l': filesystem.TypeSymlink, 'p': filesystem.TypeFIFO, 'c': filesystem.TypeChar,
	}[f[0][0]]
	mode, err := strconv.ParseUint(f[0][3:], 8, 32)
	if err != nil {
		t.Fatal(err)
	}
	if f[0][1] == 'u' {
		mode |= 0o4000
	}
	if f[0][2] == 'g' {
		mode |= 0o2000
	}
	return fmt.Sprintf("%s %o %s %s %q", kind, mode, f[1], f[2], target)
}

// TestV4 compares the images of version 4, which the kernel here does not
// mount, with the prototypes that they were made from.
func TestV4(t *testing.T) {
	dir := filepath.Join(corpus(t), "made")
	want := protoWant(t, readFile(t, filepath.Join(dir, "xfs_v4.proto.txt")))
	for _, name := range []string{"xfs_v4", "xfs_v4noftype"} {
		fs, err := Open(fstest.Bytes(unpack(t, filepath.Join(dir, name+".img.zst"))))
		if err != nil {
			t.Fatal(err)
		}
		live := map[string]filesystem.Entry{}
		for _, e := range all(t, fs) {
			if e.Status != filesystem.Allocated || e.Damage != "" {
				t.Errorf("%s: %q is %s, damage %q", name, e.Path, e.Status, e.Damage)
			}
			live[e.Path] = e
			if got := fmt.Sprintf("%s %o %d %d %q", e.Type, e.Mode&0o7777, e.UID, e.GID, e.Link); got != want[e.Path] {
				t.Errorf("%s: %q: got %s, want %s", name, e.Path, got, want[e.Path])
			}
		}
		if len(live) != len(want) || len(want) < 100 {
			t.Errorf("%s: %d entries, want %d", name, len(live), len(want))
		}
		for _, line := range strings.Split(strings.TrimSpace(string(readFile(t, filepath.Join(dir, "xfs_v4.contents.txt")))), "\n") {
			sum, file, _ := strings.Cut(line, "  ")
			src, err := fs.Open(live["/"+file].Ref)
			if err != nil {
				t.Errorf("%s: %s: %v", name, file, err)
			} else if got := digest(t, src); got != sum {
				t.Errorf("%s: %s: sha256 %s, want %s", name, file, got, sum)
			}
		}
		fstest.Survive(t, Open, fstest.Bytes(unpack(t, filepath.Join(dir, name+".img.zst"))))
	}
}
