package ntfs

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"snapcase/imaging"
	"snapcase/imaging/filesystem"
)

// disk is an opened image.
type disk struct {
	*os.File
	size int64
}

func (d disk) Size() int64 { return d.size }

func openDisk(t testing.TB, path string) imaging.Source {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	st, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	return disk{f, st.Size()}
}

// volume is one that ntfs-3g writes.
type volume struct {
	t          *testing.T
	image, mnt string
}

func makeVolume(t *testing.T, size int64, args ...string) *volume {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("a mount needs root")
	}
	for _, name := range []string{"mkfs.ntfs", "ntfs-3g", "umount"} {
		if _, err := exec.LookPath(name); err != nil {
			t.Skipf("%s is not installed", name)
		}
	}
	dir := t.TempDir()
	v := &volume{t, filepath.Join(dir, "img"), filepath.Join(dir, "mnt")}
	if err := os.WriteFile(v.image, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(v.image, size); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(v.mnt, 0o700); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("mkfs.ntfs", append(append([]string{"-F", "-Q", "-q"}, args...), v.image)...).CombinedOutput(); err != nil {
		t.Fatalf("mkfs.ntfs: %v: %s", err, out)
	}
	return v
}

// mounted runs do while the volume is mounted.
func (v *volume) mounted(options string, do func(root string)) {
	v.t.Helper()
	if out, err := exec.Command("ntfs-3g", "-o", options+"compression,streams_interface=xattr", v.image, v.mnt).CombinedOutput(); err != nil {
		v.t.Skipf("ntfs-3g: %v: %s", err, out)
	}
	defer func() {
		if out, err := exec.Command("umount", v.mnt).CombinedOutput(); err != nil {
			v.t.Fatalf("umount: %v: %s", err, out)
		}
	}()
	do(v.mnt)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// fill writes what NTFS can hold.
func (v *volume) fill(root string) {
	t, r := v.t, rand.New(rand.NewChaCha8([32]byte{1}))
	noise := func(n int) []byte {
		p := make([]byte, n)
		for i := range p {
			p[i] = byte(r.Uint32())
		}
		return p
	}
	write := func(name string, p []byte) { must(t, os.WriteFile(filepath.Join(root, name), p, 0o644)) }
	must(t, os.MkdirAll(root+"/a/b/c", 0o755))
	must(t, os.Mkdir(root+"/comp", 0o755))
	must(t, syscall.Setxattr(root+"/comp", "system.ntfs_attrib_be", []byte{0, 0, 8, 16}, 0))
	for i := range 400 {
		write(fmt.Sprintf("a/b/f%03d", i), noise(i*i%3000))
	}
	for i := range 40 { // compressed, of every mixture of noise, zeros and text, with holes
		f, err := os.Create(fmt.Sprintf("%s/comp/c%02d", root, i))
		must(t, err)
		for range 1 + r.IntN(12) {
			n := 1 + r.IntN(90000)
			switch r.IntN(4) {
			case 0:
				_, err = f.Write(noise(n))
			case 1:
				_, err = f.Write(make([]byte, n))
			case 2:
				_, err = f.Write(bytes.Repeat([]byte(fmt.Sprintf("line %d of it\n", n)), n/12+1))
			case 3:
				_, err = f.Seek(int64(n*3), io.SeekCurrent)
			}
			must(t, err)
		}
		f.Write([]byte("end"))
		must(t, f.Close())
	}
	var turns []*os.File
	for i := range 4 {
		f, err := os.Create(fmt.Sprintf("%s/turn%d", root, i))
		must(t, err)
		turns = append(turns, f)
	}
	for range 1500 { // each write of one forces the next of the other elsewhere
		for _, f := range turns {
			f.Write(noise(1500 + r.IntN(900)))
			f.Seek(int64(4096*r.IntN(2)), io.SeekCurrent)
		}
	}
	for _, f := range turns {
		must(t, f.Close())
	}
	must(t, syscall.Setxattr(root+"/a/b/f007", "user.large", noise(50000), 0))
	must(t, syscall.Setxattr(root+"/a", "user.small", []byte("on a directory"), 0))
	must(t, os.Link(root+"/a/b/f009", root+"/a/hard"))
	must(t, os.Symlink("b/f001", root+"/a/link"))
	write("gone.bin", noise(300000))
	must(t, os.Mkdir(root+"/old", 0o755))
	for i := range 30 {
		write(fmt.Sprintf("old/g%02d", i), noise(i*200))
	}
}

// compare demands that the walk gives what the mount gives, and nothing else.
func (v *volume) compare(n *FS, root string) {
	t := v.t
	got := make(map[string]filesystem.Entry)
	for e, err := range n.Walk(context.Background()) {
		must(t, err)
		if e.Damage != "" {
			t.Errorf("%q: %s", e.Path, e.Damage)
		}
		if e.Status == filesystem.Allocated && e.Ref.Inode >= firstUser && !strings.HasPrefix(e.Path, "/$Extend/") {
			got[e.Path] = e
		}
	}
	must(t, filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		must(t, err)
		name := strings.TrimPrefix(path, root)
		if name == "" {
			return nil
		}
		e, ok := got[name]
		if !ok {
			t.Errorf("%q: not found", name)
			return nil
		}
		delete(got, name)
		st, err := d.Info()
		must(t, err)
		if m := st.ModTime(); imaging.TimeOf(m) != e.Modified {
			t.Errorf("%q: modified %s, mount says %s", name, e.Modified, m)
		}
		switch {
		case d.IsDir():
			if e.Type != filesystem.TypeDir {
				t.Errorf("%q: %s", name, e.Type)
			}
		case d.Type()&fs.ModeSymlink != 0:
			if l, err := os.Readlink(path); err != nil || l != e.Link {
				t.Errorf("%q: %q, mount says %q", name, e.Link, l)
			}
		default:
			p, err := os.ReadFile(path)
			must(t, err)
			v.content(n, e, p)
		}
		return nil
	}))
	for _, s := range []struct{ file, stream string }{{"/a/b/f007", "large"}, {"/a", "small"}} {
		p := make([]byte, 100000)
		k, err := syscall.Getxattr(root+s.file, "user."+s.stream, p)
		must(t, err)
		v.content(n, got[s.file+":"+s.stream], p[:k])
		delete(got, s.file+":"+s.stream)
	}
	for name := range got {
		t.Errorf("%q: the mount does not have it", name)
	}
}

func (v *volume) content(n *FS, e filesystem.Entry, want []byte) {
	v.t.Helper()
	c, err := n.Open(e.Ref)
	if err != nil {
		v.t.Errorf("%q: %v", e.Path, err)
		return
	}
	got, err := io.ReadAll(io.NewSectionReader(c, 0, c.Size()))
	if err != nil || sha256.Sum256(got) != sha256.Sum256(want) || e.Size != int64(len(want)) {
		v.t.Errorf("%q: %d bytes, the mount has %d, %v", e.Path, len(got), len(want), err)
	}
}

func TestMountAgrees(t *testing.T) {
	for _, args := range [][]string{{"-c", "4096"}, {"-c", "512"}, {"-c", "1024", "-s", "1024"}, {"-c", "65536"}} {
		t.Run(strings.Join(args, ""), func(t *testing.T) {
			v := makeVolume(t, 96<<20, args...)
			v.mounted("", v.fill)
			v.mounted("", func(root string) {
				must(t, os.Remove(root+"/gone.bin"))
				must(t, os.RemoveAll(root+"/old"))
			})
			n, err := Open(openDisk(t, v.image))
			must(t, err)
			v.mounted("ro,", func(root string) { v.compare(n, root) })
			v.sleuthkit(n)
		})
	}
}

// sleuthkit compares what is deleted with fls and icat.
func (v *volume) sleuthkit(n *FS) {
	t := v.t
	if _, err := exec.LookPath("fls"); err != nil {
		t.Log("fls is not installed")
		return
	}
	out, err := exec.Command("fls", "-r", "-d", "-p", v.image).Output()
	must(t, err)
	deleted := make(map[string]filesystem.Entry)
	lists := 0
	for e, err := range n.Walk(context.Background()) {
		must(t, err)
		if e.Status == filesystem.Deleted {
			deleted[e.Path] = e
		}
		budget := int64(maxList)
		if f, err := n.file(e.Ref.Inode, &budget); err == nil && f != nil && f.spread {
			lists++
		}
	}
	seen := 0
	for _, line := range strings.Split(strings.TrimSpace(string(out)), "\n") {
		meta, name, _ := strings.Cut(line, ":\t")
		f := strings.Fields(meta)
		id := f[len(f)-1]
		if strings.Contains(name, "$OrphanFiles") || strings.Contains(meta, "realloc") {
			continue
		}
		e, ok := deleted["/"+name]
		if !ok {
			t.Errorf("fls has %q, the walk has not", line)
			continue
		}
		seen++
		if number, _, _ := strings.Cut(id, "-"); number != strconv.FormatUint(e.Ref.Inode, 10) {
			t.Errorf("%q: record %d, fls says %s", name, e.Ref.Inode, id)
		}
		if e.Type == filesystem.TypeFile && e.Damage == "" {
			p, err := exec.Command("icat", "-r", v.image, id).Output()
			must(t, err)
			v.content(n, e, p)
		}
	}
	if seen < 30 {
		t.Errorf("%d deleted entries compared", seen)
	}
	t.Logf("%d deleted entries as fls has them, %d entries with an attribute list", seen, lists)
}
