package ext4

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"

	"snapcase/imaging"
	"snapcase/imaging/filesystem"
	"snapcase/imaging/filesystem/fstest"

	"golang.org/x/sys/unix"
)

// truthOf is what one life of an inode was.
type truthOf struct {
	names map[string]bool
	data  [][]byte // since the last commit: any of them may be on the disk
	ever  [][]byte
	dir   bool
	gone  bool
}

// model is what a test did to a volume.
type model struct {
	v     *volume
	r     *rand.Rand
	lives map[filesystem.Ref]*truthOf
	files map[string]filesystem.Ref
	dirs  []string
	n     int
}

// ref asks the kernel for an inode's number and generation.
func (m *model) ref(name string) filesystem.Ref {
	f, err := os.Open(m.v.path(name))
	m.v.must(err)
	defer f.Close()
	var s unix.Stat_t
	m.v.must(unix.Fstat(int(f.Fd()), &s))
	const getVersion = 0x80087601
	gen, err := unix.IoctlGetInt(int(f.Fd()), getVersion)
	m.v.must(err)
	return filesystem.Ref{Inode: s.Ino, Generation: uint32(gen)}
}

func (m *model) life(ref filesystem.Ref) *truthOf {
	l := m.lives[ref]
	if l == nil {
		l = &truthOf{names: map[string]bool{}}
		m.lives[ref] = l
	}
	return l
}

func (m *model) create() {
	m.n++
	name := fmt.Sprintf("%s/file-%d-%s", m.dirs[m.r.IntN(len(m.dirs))], m.n, bytes.Repeat([]byte("x"), m.r.IntN(40)))
	m.write(name)
}

func (m *model) write(name string) {
	data := bytes.Repeat([]byte(fmt.Sprintf("%d %d ", m.n, m.r.Uint64())), m.r.IntN(900))
	m.v.write(name, data)
	ref := m.ref(name)
	l := m.life(ref)
	l.names["/"+name] = true
	l.data, l.ever = append(l.data, data), append(l.ever, data)
	m.files[name] = ref
}

// pick gives one of the files that are there.
func (m *model) pick() (string, bool) {
	if len(m.files) == 0 {
		return "", false
	}
	names := slices.Sorted(maps.Keys(m.files))
	return names[m.r.IntN(len(names))], true
}

func (m *model) step() {
	name, ok := m.pick()
	switch op := m.r.IntN(10); {
	case op < 4 || !ok:
		m.create()
	case op < 7:
		m.v.must(os.Remove(m.v.path(name)))
		m.life(m.files[name]).gone = true
		delete(m.files, name)
	case op == 7:
		to := fmt.Sprintf("%s/moved-%d", m.dirs[m.r.IntN(len(m.dirs))], m.n)
		m.n++
		m.v.must(os.Rename(m.v.path(name), m.v.path(to)))
		m.files[to] = m.files[name]
		delete(m.files, name)
		m.life(m.files[to]).names["/"+to] = true
	case op == 8:
		// A file that is written again is written back at once. If it then went
		// within the same transaction its data would lie in blocks that were
		// never seen to be in use.
		m.n++
		m.write(name)
		m.commit()
	default: // a directory with files comes and goes
		m.n++
		d := fmt.Sprintf("%s/dir-%d", m.dirs[m.r.IntN(len(m.dirs))], m.n)
		m.v.must(os.Mkdir(m.v.path(d), 0o755))
		l := m.life(m.ref(d))
		l.names["/"+d], l.dir, l.gone = true, true, true
		for i := range m.r.IntN(5) {
			m.write(fmt.Sprintf("%s/in-%d", d, i))
			m.life(m.files[fmt.Sprintf("%s/in-%d", d, i)]).gone = true
			delete(m.files, fmt.Sprintf("%s/in-%d", d, i))
		}
		if m.r.IntN(2) == 0 {
			m.commit()
		}
		m.v.must(os.RemoveAll(m.v.path(d)))
	}
}

// commit makes what was written last the only content of each file.
func (m *model) commit() {
	m.v.commit()
	for _, l := range m.lives {
		if !l.gone && len(l.data) > 1 {
			l.data = l.data[len(l.data)-1:]
		}
	}
}

// check demands that each deleted entry which is said to be sound has a name
// and a content that its life had: the last or, in the raw view, any.
func (m *model) check(x *FS, raw bool) {
	t := m.v.t
	t.Helper()
	known, gone, named, content, damaged := 0, 0, map[filesystem.Ref]bool{}, map[filesystem.Ref]bool{}, 0
	for _, e := range all(t, x) {
		if e.Status != filesystem.Deleted {
			continue
		}
		l := m.lives[e.Ref]
		if l == nil || e.Ref.Stream != "" {
			continue
		}
		known++
		if e.Parent != 0 {
			if !l.names[e.Path] && e.Damage == "" {
				t.Errorf("%q was never a name of it: %+v", e.Path, e)
			}
			named[e.Ref] = true
		}
		if l.dir {
			continue
		}
		src, err := x.Open(e.Ref)
		if err != nil {
			t.Errorf("%q: %v", e.Path, err)
			continue
		}
		got, err := io.ReadAll(io.NewSectionReader(src, 0, src.Size()))
		if err != nil {
			t.Errorf("%q: %v", e.Path, err)
		}
		right, versions := false, l.data
		if raw {
			versions = l.ever
		}
		for _, want := range versions {
			right = right || bytes.Equal(got, want)
		}
		damage := src.(*Content).Damage()
		switch {
		case right:
			content[e.Ref] = true
		case damage == "":
			t.Errorf("%q: %d bytes that it never held, without a word: %+v", e.Path, len(got), e)
		default:
			damaged++
		}
	}
	for _, l := range m.lives {
		if l.gone && !l.dir {
			gone++
		}
	}
	t.Logf("%d files deleted: %d lives with a name, %d with their content; %d entries, %d damaged", gone, len(named), len(content), known, damaged)
}

// seeds is how many rounds each kind has: EXT4_CHURN, or few.
func seeds() uint64 {
	if n, err := strconv.ParseUint(os.Getenv("EXT4_CHURN"), 10, 64); err == nil {
		return n
	}
	return 3
}

// TestChurn works on small volumes, where inodes and blocks are used again and
// again and the journal wraps, and demands that nothing is said of a deleted
// file that was not so.
func TestChurn(t *testing.T) {
	needKernel(t)
	for _, k := range []struct{ name, options, mount string }{
		{"bs1k", "-t ext4 -b 1024 -J size=2 -N 2000", ""},
		{"bs4k", "-t ext4 -J size=4 -N 2000", ""},
		{"no checksums", "-t ext4 -b 1024 -J size=2 -N 2000 -O ^metadata_csum,^64bit", ""},
		{"ext3", "-t ext3 -b 1024 -J size=1 -N 2000 -I 128", ""},
		{"data journal", "-t ext4 -b 1024 -J size=4 -N 2000", "data=journal"},
		{"ext3 data journal", "-t ext3 -b 1024 -J size=4 -N 2000", "data=journal"},
		{"inline", "-t ext4 -b 1024 -J size=2 -N 2000 -O inline_data", ""},
		{"bigalloc", "-t ext4 -J size=4 -N 2000 -O bigalloc", ""},
	} {
		for seed := range seeds() {
			t.Run(fmt.Sprintf("%s %d", k.name, seed), func(t *testing.T) {
				v := newVolume(t, 24<<20, k.options, k.mount)
				m := &model{v: v, r: rand.New(rand.NewPCG(seed, 11)), lives: map[filesystem.Ref]*truthOf{}, files: map[string]filesystem.Ref{}}
				for i := range 6 {
					m.dirs = append(m.dirs, fmt.Sprintf("d%d", i))
					v.must(os.Mkdir(v.path(m.dirs[i]), 0o755))
				}
				for range 250 {
					m.create()
				}
				for range 40 {
					for range 1 + m.r.IntN(30) {
						m.step()
					}
					if m.r.IntN(3) > 0 {
						m.commit()
					}
				}
				if seed == 1 {
					v.shutdown(m.r.IntN(2) == 0)
				} else {
					v.unmount()
				}
				for i, open := range []func(imaging.Source) (*FS, error){Open, OpenRaw} {
					x, err := open(openDisk(t, v.image))
					if err != nil {
						t.Fatal(err)
					}
					m.check(x, i == 1)
				}
				if seed == 1 && (k.name == "bs1k" || k.name == "ext3") {
					fstest.Damage(t, Open, openDisk(t, v.image))
				}
			})
		}
	}
}
