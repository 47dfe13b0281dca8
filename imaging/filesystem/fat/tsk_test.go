package fat

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"snapcase/imaging/filesystem"
)

// compareTSK demands the numbers, names, sizes, times and status that fls
// gives, and of deleted files the bytes of icat.
func compareTSK(t *testing.T, image string, f *FS) {
	t.Helper()
	if _, err := exec.LookPath("fls"); err != nil {
		t.Log("not compared: needs fls")
		return
	}
	type facts struct {
		name, status  string
		size          int64
		mtime, crtime int64
	}
	theirs, seen := map[string]facts{}, map[string]bool{}
	for line := range strings.Lines(string(command(t, "fls", "-r", "-z", "UTC", "-m", "/", image))) {
		p := strings.Split(strings.TrimRight(line, "\n"), "|")
		if len(p) != 11 || strings.HasPrefix(p[1], "/$") || strings.HasSuffix(p[1], "(Volume Label Entry)") {
			continue
		}
		x := facts{name: p[1], status: "allocated"}
		for _, mark := range []string{" (deleted)", " (deleted-realloc)"} {
			if s, ok := strings.CutSuffix(x.name, mark); ok {
				x.name, x.status = s, "deleted"
			}
		}
		for i, v := range map[int]*int64{6: &x.size, 8: &x.mtime, 10: &x.crtime} {
			fmt.Sscan(p[i], v)
		}
		theirs[p[2]] = x
	}
	differ, contents := 0, 0
	for _, e := range all(t, f) {
		ino := fmt.Sprint(e.Ref.Inode)
		want, ok := theirs[ino]
		if e.Path == "/" || seen[ino] {
			continue
		}
		seen[ino] = true
		if !ok {
			t.Errorf("%q, inode %s: fls does not have it", e.Path, ino)
			continue
		}
		got := facts{e.Path, e.Status.String(), e.Size, e.Modified.Sec, e.Born.Sec}
		if e.Type == filesystem.TypeDir && e.Status == filesystem.Deleted {
			got.size = want.size // theirs is not bounded by what looks like a directory
		}
		if got != want {
			differ++
			t.Logf("inode %s: %+v, fls %+v", ino, got, want)
		}
		if e.Status != filesystem.Deleted || e.Type != filesystem.TypeFile {
			continue
		}
		contents++
		if got, want := read(t, f, e.Ref), command(t, "icat", "-r", image, ino); !bytes.Equal(got, want) {
			t.Errorf("%q: %d bytes, icat %d", e.Path, len(got), len(want))
		}
	}
	// fls cuts a name of 255 letters, and cleans the bytes of a code page.
	if differ > 2 || len(seen) != len(theirs) {
		t.Errorf("%d entries of which %d are not as fls has them; it has %d", len(seen), differ, len(theirs))
	}
	t.Logf("%d entries of fls, %d not the same; %d contents compared with icat", len(theirs), differ, contents)
}

// checkCover demands that every byte up to the last cluster has exactly one
// owner among what is in use or free.
func checkCover(t *testing.T, f *FS) {
	t.Helper()
	var list []filesystem.Extent
	for x, err := range f.Extents(context.Background()) {
		if err != nil {
			t.Fatal(err)
		}
		if x.Status == filesystem.Allocated {
			list = append(list, x)
		}
	}
	slices.SortFunc(list, func(a, b filesystem.Extent) int { return int(a.Start - b.Start) })
	at := int64(0)
	for _, x := range list {
		if x.Start != at {
			t.Fatalf("owned up to byte %d, the next extent is %+v", at, x)
		}
		at = x.Start + x.Length
	}
	if at != f.g.end() {
		t.Errorf("owned up to byte %d of %d", at, f.g.end())
	}
}
