package ext4

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
	stat unix.Stat_t
}

// victims makes files in directories of several sizes.
func (v *volume) victims(r *rand.Rand) map[string]victim {
	v.t.Helper()
	all := map[string]victim{}
	for _, n := range []int{6, 60, 400, 1500} {
		d := fmt.Sprintf("v%d", n)
		v.must(os.Mkdir(v.path(d), 0o755))
		for i := range n {
			name := d + "/" + strings.ReplaceAll(randomName(r, i), "/", "_")
			data := randomBytes(r, r.IntN(20000))
			if i%97 == 0 {
				data = randomBytes(r, 1<<20)
			}
			v.write(name, data)
			all["/"+name] = victim{data: data}
		}
	}
	v.pieces("v6/pieces", r, 900)
	data, err := os.ReadFile(v.path("v6/pieces"))
	v.must(err)
	all["/v6/pieces"] = victim{data: data}
	for name, w := range all {
		v.must(unix.Lstat(v.path(name), &w.stat))
		w.ino = w.stat.Ino
		all[name] = w
	}
	return all
}

// pieces writes a file with holes, whose map has blocks of its own.
func (v *volume) pieces(name string, r *rand.Rand, n int) {
	v.t.Helper()
	f, err := os.Create(v.path(name))
	v.must(err)
	for i := range n {
		_, err = f.WriteAt(randomBytes(r, 1500), int64(i)*16384)
		v.must(err)
	}
	v.must(f.Close())
}

// recovery is what was found of deleted files.
type recovery struct{ gone, listed, timed, named, sized, content, wrong int }

// look compares what the reader says of deleted files with what they were.
func (v *volume) look(victims map[string]victim, gone map[string]bool, x *FS) (c recovery) {
	t := v.t
	t.Helper()
	paths, inodes := map[string][]filesystem.Entry{}, map[uint64]filesystem.Entry{}
	for _, e := range all(t, x) {
		if e.Status == filesystem.Deleted {
			paths[e.Path] = append(paths[e.Path], e)
			inodes[e.Ref.Inode] = e
		}
	}
	for path := range gone {
		c.gone++
		w := victims[path]
		if e, ok := inodes[w.ino]; ok {
			c.listed++
			if e.Deleted.Set && e.Changed.Set && e.Accessed.Set && e.Modified.Set {
				c.timed++
			}
		}
		for _, e := range paths[path] {
			if e.Ref.Inode != w.ino || e.Ref.Stream != "" {
				continue
			}
			c.named++
			if e.Size == int64(len(w.data)) {
				c.sized++
			}
			src, err := x.Open(e.Ref)
			if err != nil {
				t.Errorf("%q: %v", path, err)
				continue
			}
			got, err := io.ReadAll(io.NewSectionReader(src, 0, src.Size()))
			if err != nil {
				t.Errorf("%q: %v", path, err)
			}
			if bytes.Equal(got, w.data) {
				c.content++
			} else if e.Damage == "" || src.(*Content).Damage() == "" {
				c.wrong++
				t.Errorf("%q: %d bytes, want %d, differ without a word: %+v", path, len(got), len(w.data), e)
			}
			if m := w.stat.Mtim; e.Damage == "" && (e.Modified.Sec != m.Sec || int64(e.Modified.Nsec) != m.Nsec && x.sb.inodeSize > 128) {
				t.Errorf("%q: modified %v, want %v", path, e.Modified, m)
			}
			break
		}
	}
	return c
}

// TestRecover deletes files and looks for them on volumes of all kinds.
func TestRecover(t *testing.T) {
	needKernel(t)
	for _, k := range kinds {
		ways := []string{"remount", "same mount", "reuse", "whole directories"}
		if !k.thorough {
			ways = ways[:1]
		}
		for _, how := range ways {
			t.Run(k.name+" "+how, func(t *testing.T) {
				v := newVolume(t, 300<<20, k.options, k.mount)
				r := rand.New(rand.NewPCG(5, uint64(len(k.name))))
				victims := v.victims(r)
				v.commit()
				if how != "same mount" {
					v.unmount()
					v.mount("rw," + k.mount)
				}
				gone := map[string]bool{}
				for path := range victims {
					if how == "whole directories" || r.IntN(4) == 0 {
						gone[path] = true
					}
				}
				touched := v.spread(victims)
				v.commit()
				for path := range gone {
					v.must(os.Remove(v.path(path)))
				}
				if how == "whole directories" {
					for _, n := range []int{6, 60, 400, 1500} {
						v.must(os.Remove(v.path(fmt.Sprintf("v%d", n))))
					}
				}
				v.commit()
				if how == "reuse" {
					for i := range 200 {
						v.write(fmt.Sprintf("later%d", i), randomBytes(r, r.IntN(30000)))
					}
					v.commit()
					for i := range 100 {
						v.must(os.Remove(v.path(fmt.Sprintf("later%d", 2*i))))
					}
				}
				v.unmount()
				x, err := Open(openDisk(t, v.image))
				if err != nil {
					t.Fatal(err)
				}
				c := v.look(victims, gone, x)
				t.Logf("%+v of %d, %d touched", c, len(victims), touched)
				if how != "reuse" && (c.listed < c.gone || c.timed < c.gone) {
					t.Errorf("%d deleted, %d listed, %d with times", c.gone, c.listed, c.timed)
				}
				floor := 0.95
				if float64(c.named) < floor*float64(c.gone) || float64(c.content) < floor*float64(c.gone) && how != "reuse" {
					t.Errorf("%d deleted, %d with the name, %d with the content", c.gone, c.named, c.content)
				}
			})
		}
	}
}

// spread changes one file of each directory, as use does.
func (v *volume) spread(victims map[string]victim) (n int) {
	for path := range victims {
		if n++; n%3 == 0 {
			v.must(os.Chmod(v.path(path), 0o600))
		}
	}
	return n / 3
}
