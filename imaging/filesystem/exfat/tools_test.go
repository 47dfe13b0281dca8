package exfat

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"snapcase/imaging/filesystem"
	"snapcase/imaging/filesystem/fstest"
)

func command(t *testing.T, name string, args ...string) []byte {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), "TZ=UTC", "LC_ALL=C.UTF-8")
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %q: %v\n%s", name, args, err, errs.Bytes())
	}
	return out
}

// mounted makes an image and gives what the mount showed of it before files
// were deleted and after.
func mounted(t *testing.T, args ...string) (image string, tree map[string]string) {
	t.Helper()
	for _, tool := range []string{"mkfs.exfat", "mount.exfat-fuse", "losetup", "umount"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("needs %s", tool)
		}
	}
	if os.Geteuid() != 0 || testing.Short() {
		t.Skip("needs root, and takes long")
	}
	dir := t.TempDir()
	image = filepath.Join(dir, "image")
	if err := os.WriteFile(image, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(image, 64<<20); err != nil {
		t.Fatal(err)
	}
	command(t, "mkfs.exfat", append(args, image)...)
	loop, err := exec.Command("losetup", "-f", "--show", image).Output()
	if err != nil {
		t.Skipf("needs loop devices: %v", err)
	}
	dev, point := strings.TrimSpace(string(loop)), filepath.Join(dir, "m")
	defer exec.Command("losetup", "-d", dev).Run()
	if err := os.Mkdir(point, 0o700); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("mount.exfat-fuse", dev, point).CombinedOutput(); err != nil {
		t.Skipf("cannot mount: %v: %s", err, out)
	}
	defer exec.Command("umount", point).Run()
	fill(t, point)
	tree = map[string]string{}
	err = filepath.WalkDir(point, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == point {
			return err
		}
		i, err := d.Info()
		if err != nil {
			return err
		}
		tree[path[len(point):]] = facts(d.IsDir(), i.Size(), i.ModTime().Unix(), readAll(t, path, d.IsDir()))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return image, tree
}

func readAll(t *testing.T, path string, dir bool) []byte {
	if dir {
		return nil
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func facts(dir bool, size, mtime int64, b []byte) string {
	if dir {
		return fmt.Sprintf("dir %d", size)
	}
	return fmt.Sprintf("file %d %d %x", size, mtime, sha256.Sum256(b))
}

// fill makes files, folders, holes and fragments, and deletes some.
func fill(t *testing.T, dir string) {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	r := rand.New(rand.NewPCG(1, 2))
	content := func(n int) []byte {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(r.Uint32())
		}
		return b
	}
	names := []string{"README.TXT", "a", "name with spaces.doc", "Grüße aus Köln.txt", "日本語のファイル名.txt", strings.Repeat("long", 63) + "xyz", "exactly15chars!", "exactly30charactersexactly30ch", "😀.txt"}
	for i, n := range names {
		must(os.WriteFile(filepath.Join(dir, n), content(r.IntN(20000)*(i%3)), 0o644))
	}
	deep := dir
	for _, n := range []string{"EFI.d", "Ünïcödé dir", "x"} {
		deep = filepath.Join(deep, n)
		must(os.Mkdir(deep, 0o755))
		for i := range 3 {
			must(os.WriteFile(filepath.Join(deep, fmt.Sprintf("file %d.bin", i)), content(r.IntN(50000)), 0o644))
		}
	}
	for _, n := range []string{"many", "doomed"} {
		must(os.Mkdir(filepath.Join(dir, n), 0o755))
		for i := range 300 {
			must(os.WriteFile(filepath.Join(dir, n, fmt.Sprintf("%s %04d", n, i)), content(i%7*1000), 0o644))
		}
	}
	a, err := os.Create(filepath.Join(dir, "braid a"))
	must(err)
	b, err := os.Create(filepath.Join(dir, "braid b"))
	must(err)
	for range 40 {
		_, err = a.Write(content(9000))
		must(err)
		_, err = b.Write(content(5000))
		must(err)
	}
	must(a.Close())
	must(b.Close())
	must(os.WriteFile(filepath.Join(dir, "hole"), content(100), 0o644))
	must(os.Truncate(filepath.Join(dir, "hole"), 3<<20))
	old := time.Date(2001, 9, 9, 1, 46, 40, 0, time.UTC)
	must(os.Chtimes(filepath.Join(dir, "a"), old, old))
	for i := 0; i < 300; i += 3 {
		must(os.Remove(filepath.Join(dir, "many", fmt.Sprintf("many %04d", i))))
	}
	must(os.RemoveAll(filepath.Join(dir, "doomed")))
	must(os.Remove(filepath.Join(dir, "braid b")))
}

// TestMount compares every entry with what the mount shows, and with The
// Sleuth Kit.
func TestMount(t *testing.T) {
	for _, form := range [][]string{{"-L", "EINS"}, {"-c", "512"}, {"-c", "32K", "-L", "ÄÖÜ"}} {
		t.Run(strings.Join(form, " "), func(t *testing.T) {
			image, tree := mounted(t, form...)
			src := fstest.File(t, image)
			f, err := Open(src)
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("%+v", f.Info())
			n := 0
			for _, e := range all(t, f) {
				if e.Status != filesystem.Allocated || e.Path == "/" {
					continue
				}
				n++
				got := facts(e.Type == filesystem.TypeDir, e.Size, e.Modified.Sec, read(t, f, e.Ref))
				if e.Damage != "" || got != tree[e.Path] {
					t.Errorf("%q: %s (%s), mount %s", e.Path, got, e.Damage, tree[e.Path])
				}
			}
			if n != len(tree) {
				t.Errorf("%d entries, mount has %d", n, len(tree))
			}
			t.Logf("%d entries compared with the mount", n)
			compareTSK(t, image, f)
			checkCover(t, f)
			fstest.Sound(t, Open, src, nil)
		})
	}
}

// compareTSK demands the numbers, names, sizes, times and status that fls
// gives, and the bytes of icat.
func compareTSK(t *testing.T, image string, f *FS) {
	t.Helper()
	if _, err := exec.LookPath("fls"); err != nil {
		t.Log("not compared: needs fls")
		return
	}
	type facts struct {
		name, status        string
		size                int64
		atime, mtime, btime int64
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
		for i, v := range map[int]*int64{6: &x.size, 7: &x.atime, 8: &x.mtime, 10: &x.btime} {
			fmt.Sscan(p[i], v)
		}
		theirs[p[2]] = x
	}
	differ, contents, dead, only := 0, 0, 0, 0
	for _, e := range all(t, f) {
		ino := fmt.Sprint(e.Ref.Inode)
		want, ok := theirs[ino]
		if e.Path == "/" || seen[ino] || e.Ref.Inode >= lostInode {
			continue
		}
		seen[ino] = true
		if !ok {
			if only++; e.Status == filesystem.Allocated {
				t.Errorf("%q, inode %s: fls does not have it", e.Path, ino)
			}
			continue
		}
		got := facts{e.Path, e.Status.String(), e.Size, e.Accessed.Sec, e.Modified.Sec, e.Born.Sec}
		// The Sleuth Kit leaves out the field of ten milliseconds, which may
		// hold a second.
		got.mtime, got.btime = got.mtime&^1, got.btime&^1
		if got != want {
			if differ++; differ < 20 {
				t.Errorf("inode %s: %+v, fls %+v, damage %q", ino, got, want, e.Damage)
			}
		}
		if e.Type != filesystem.TypeFile || strings.Contains(e.Damage, "partial") || contents > 100 && e.Ref.Inode%16 != 0 {
			continue
		}
		contents++
		if e.Status == filesystem.Deleted {
			dead++
		}
		if got, want := read(t, f, e.Ref), command(t, "icat", "-r", image, ino); !bytes.Equal(got, want) {
			t.Errorf("%q: %d bytes, icat %d, damage %q", e.Path, len(got), len(want), e.Damage)
		}
	}
	for ino, x := range theirs {
		if !seen[ino] {
			t.Errorf("inode %s: only fls has it: %+v", ino, x)
		}
	}
	t.Logf("%d entries of fls, %d not the same; %d contents compared with icat, %d of them deleted; %d deleted that fls does not have", len(theirs), differ, contents, dead, only)
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
