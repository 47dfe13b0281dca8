package xfs

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"snapcase/imaging/filesystem"

	"golang.org/x/sys/unix"
)

// victim is a file that is deleted.
type victim struct {
	ino  uint64
	data []byte
}

// victims makes files in directories of every form.
func (v *volume) victims(r *rand.Rand) map[string]victim {
	v.t.Helper()
	all := map[string]victim{}
	for _, n := range []int{6, 60, 400, 2500} {
		d := fmt.Sprintf("v%d", n)
		v.must(os.Mkdir(v.path(d), 0o755))
		for i := range n {
			name := d + "/" + strings.ReplaceAll(randomName(r, i), "/", "_")
			data := bytes.Repeat([]byte(fmt.Sprintf("%d ", r.Uint64())), r.IntN(1200))
			v.write(name, data)
			var s unix.Stat_t
			v.must(unix.Lstat(v.path(name), &s))
			all["/"+name] = victim{s.Ino, data}
		}
	}
	return all
}

// recovery is what was found of deleted files.
type recovery struct{ gone, named, sized, content int }

func (v *volume) look(victims map[string]victim, gone map[string]bool, open func() *FS) (c recovery) {
	v.t.Helper()
	x := open()
	found := map[string]filesystem.Entry{}
	for _, e := range all(v.t, x) {
		if e.Status == filesystem.Deleted {
			found[e.Path] = e
		}
	}
	for path := range gone {
		c.gone++
		e, ok := found[path]
		if !ok || e.Ref.Inode != victims[path].ino {
			continue
		}
		c.named++
		want := victims[path].data
		if e.Size == int64(len(want)) {
			c.sized++
		}
		src, err := x.Open(e.Ref)
		if err != nil {
			continue
		}
		got, err := io.ReadAll(io.NewSectionReader(src, 0, src.Size()))
		if err == nil && len(got) >= len(want) && bytes.Equal(got[:len(want)], want) && len(want) > 0 {
			c.content++
		}
	}
	return c
}

// withoutLog is a source whose log is zeros, as if it had been written over.
type withoutLog struct {
	disk
	x *FS
}

func (w withoutLog) ReadAt(p []byte, off int64) (int, error) {
	n, err := w.disk.ReadAt(p, off)
	if j, ok, _ := w.x.journal(); ok {
		from, to := max(j.start-off, 0), min(j.start+j.size*basic-off, int64(n))
		if from < to {
			clear(p[from:to])
		}
	}
	return n, err
}

// TestRecover deletes files and looks for them: scattered ones after a
// remount, scattered ones in the same mount, whole directories.
func TestRecover(t *testing.T) {
	needKernel(t)
	for _, k := range []struct {
		name, options string
		remount       bool
		whole         bool
		deep          bool
		floor         float64 // of names
	}{
		{"remount", "", true, false, false, 0.95},
		{"remount dir16k", "-n size=16k", true, false, false, 0.95},
		{"remount bs1k", "-b size=1k", true, false, false, 0.95},
		{"same mount", "", false, false, false, 0.95},
		{"whole directories", "", true, true, false, 0.85},
		{"whole directories in one mount", "", false, true, false, 0},
		{"log is gone", "", true, true, true, 0.5},
	} {
		t.Run(k.name, func(t *testing.T) {
			v := newVolume(t, 330<<20, strings.Fields(k.options)...)
			r := rand.New(rand.NewPCG(5, uint64(len(k.name))))
			victims := v.victims(r)
			if k.remount {
				v.remount("rw")
			}
			gone := map[string]bool{}
			for path := range victims {
				if k.whole || r.IntN(5) == 0 {
					gone[path] = true
					v.must(os.Remove(v.path(path)))
				}
			}
			if k.whole {
				for _, n := range []int{6, 60, 400, 2500} {
					v.must(os.Remove(v.path(fmt.Sprintf("v%d", n))))
				}
			}
			v.unmount()
			src := openDisk(t, v.image)
			c := v.look(victims, gone, func() *FS {
				x, err := Open(src)
				if k.deep {
					x, err = OpenDeep(withoutLog{src, x})
				}
				v.must(err)
				return x
			})
			t.Logf("%d deleted: %d with name and inode, %d with the size, %d with the content", c.gone, c.named, c.sized, c.content)
			if float64(c.named) < k.floor*float64(c.gone) {
				t.Errorf("%d of %d names", c.named, c.gone)
			}
		})
	}
}

// TestFreedChunk deletes what fills whole chunks of inodes within one mount:
// the chunks are freed and nothing of the inodes is ever written to their place.
// The log knows them: each name comes once, with times, size and content.
func TestFreedChunk(t *testing.T) {
	needKernel(t)
	v := newVolume(t, 330<<20)
	v.must(os.Mkdir(v.path("etc"), 0o755))
	for i := range 400 {
		v.write(fmt.Sprintf("etc/file%d", i), fmt.Appendf(nil, "content of %d", i))
	}
	v.checkpoint()
	for i := range 100 {
		v.must(os.Remove(v.path(fmt.Sprintf("etc/file%d", 100+i))))
	}
	v.unmount()
	x, err := Open(openDisk(t, v.image))
	v.must(err)
	seen, fromLog := map[string]int{}, 0
	for _, e := range all(t, x) {
		if e.Status != filesystem.Deleted || !strings.HasPrefix(e.Path, "/etc/") {
			continue
		}
		seen[e.Path]++
		if strings.Contains(e.Damage, "chunk was freed") {
			fromLog++
		}
		want := "content of " + strings.TrimPrefix(e.Path, "/etc/file")
		src, err := x.Open(e.Ref)
		if err != nil {
			t.Errorf("%s: %v", e.Path, err)
			continue
		}
		got, err := io.ReadAll(io.NewSectionReader(src, 0, src.Size()))
		if err != nil || string(got) != want || e.Size != int64(len(want)) || !e.Modified.Set || e.Type != filesystem.TypeFile {
			t.Errorf("%s: %q %v, %+v", e.Path, got, err, e)
		}
	}
	if len(seen) != 100 {
		t.Errorf("%d names of 100", len(seen))
	}
	for path, n := range seen {
		if n > 1 {
			t.Errorf("%s is given %d times", path, n)
		}
	}
	if fromLog == 0 {
		t.Error("no chunk was freed: the test tests nothing")
	}
}
