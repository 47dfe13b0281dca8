package ext4

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"snapcase/imaging"
	"snapcase/imaging/filesystem/fstest"
)

// fastWork is changes that fast commits can tell, each synced.
func (v *volume) fastWork(r *rand.Rand) {
	v.t.Helper()
	sync := func(name string) {
		f, err := os.Open(v.path(name))
		v.must(err)
		v.must(f.Sync())
		f.Close()
	}
	for i := range 40 {
		name := fmt.Sprintf("d40/fast%d-%s", i, randomName(r, i))
		v.write(name, randomBytes(r, r.IntN(30000)))
		sync(name)
	}
	for i := range 60 { // more than the directory has room for
		name := fmt.Sprintf("d3/%d%s", i, strings.Repeat("n", 150))
		v.write(name, randomBytes(r, 100))
		if i%10 == 9 {
			sync(name)
		}
	}
	v.fastDirs(sync)
	for i, name := range []string{"size4095", "size100000", "special/again0", "special/first"} {
		v.must(os.Remove(v.path(name)))
		v.write(fmt.Sprintf("d0/after%d", i), randomBytes(r, 5000))
		sync(fmt.Sprintf("d0/after%d", i))
	}
	v.must(os.Rename(v.path("size4096"), v.path("d0/renamed")))
	sync("d0/renamed")
	v.must(os.Rename(v.path("d0/after1"), v.path("d0/after2"))) // over another
	v.must(os.Link(v.path("d0/renamed"), v.path("d3/linked")))
	sync("d0/renamed")
	v.must(os.Truncate(v.path("size1048576"), 70000))
	sync("size1048576")
	v.must(os.Truncate(v.path("size1048576"), 700000))
	v.must(os.Chmod(v.path("size1048576"), 0o4700))
	sync("size1048576")
	f, err := os.OpenFile(v.path("pieces"), os.O_WRONLY, 0)
	v.must(err)
	for i := range 40 { // content in the holes: hundreds of extents
		_, err = f.WriteAt(randomBytes(r, 5000), int64(i)*65536+32768)
		v.must(err)
	}
	v.must(f.Sync())
	f.Close()
	f, err = os.Create(v.path("d0/log"))
	v.must(err)
	for range 25 {
		_, err = f.Write(randomBytes(r, 700))
		v.must(err)
		v.must(f.Sync())
	}
	f.Close()
}

// fastDirs makes and removes directories.
func (v *volume) fastDirs(sync func(name string)) {
	v.t.Helper()
	v.must(os.Mkdir(v.path("d0/sub"), 0o751))
	v.write("d0/sub/file", []byte("in a new directory"))
	sync("d0/sub/file")
	v.must(os.Mkdir(v.path("d0/sub/deep"), 0o751))
	v.must(unix.Mknod(v.path("d0/sub/deep/fifo"), unix.S_IFIFO|0o620, 0))
	sync("d0/sub/file")
	v.must(os.Mkdir(v.path("d0/gone"), 0o751))
	v.write("d0/gone/file", []byte("gone"))
	sync("d0/gone/file")
	v.must(os.RemoveAll(v.path("d0/gone")))
	v.must(os.Remove(v.path("d40/empty")))
	sync("d0/sub/file")
}

// TestFastCommits compares what fast commits are replayed to with what the
// kernel makes of a copy. e2fsck 1.47 is no judge: it gives up at the first
// directory that is new or full.
func TestFastCommits(t *testing.T) {
	needKernel(t)
	for i, options := range []string{
		"-t ext4 -O fast_commit",
		"-t ext4 -O fast_commit -b 4096 -J fast_commit_size=1024",
		"-t ext4 -O fast_commit,inline_data,^metadata_csum -b 4096 -I 512 -J fast_commit_size=1024",
		"-t ext4 -O fast_commit,bigalloc -b 4096",
	} {
		t.Run(options, func(t *testing.T) {
			v := newVolume(t, 300<<20, options, "")
			v.fill(rand.New(rand.NewPCG(5, 9)))
			v.must(os.Mkdir(v.path("d40/empty"), 0o755))
			v.must(os.Link(v.path("special/first"), v.path("special/again0")))
			v.commit()
			v.fastWork(rand.New(rand.NewPCG(7, 9)))
			if i%2 == 0 {
				v.shutdown(false)
			} else { // as a snapshot of a running machine
				image := v.image
				v.copyImage()
				v.image += ".later"
				v.must(os.Rename(image, v.image)) // the kernel goes on with it
				v.unmount()
				v.image = image + ".copy"
			}
			raw := v.copyImage()
			x, err := Open(openDisk(t, raw))
			if err != nil {
				t.Fatal(err)
			}
			t.Log(strings.Join(x.Info().State, "\n"))
			kinds := map[uint16]int{}
			l, err := x.log.fast(context.Background(), x.logEnd)
			if err != nil {
				t.Fatal(err)
			}
			for _, tag := range l.tags {
				kinds[tag.kind]++
			}
			t.Log("tags by kind:", kinds)
			if len(kinds) < 6 {
				t.Error("the work does not use all kinds of tags")
			}
			v.mount("rw,noatime")
			v.dated = true
			v.compare(x)
			if !strings.Contains(options, "bigalloc") {
				checkCover(t, x)
			}
		})
	}
}

// fastBlock makes a block of fast commits in code.
type fastBlock struct {
	p   []byte
	sum uint32
}

func (b *fastBlock) tag(kind uint16, value ...[]byte) {
	v := bytes.Join(value, nil)
	start := len(b.p)
	b.p = le.AppendUint16(b.p, kind)
	b.p = append(le.AppendUint16(b.p, uint16(len(v))), v...)
	b.sum = crc32c(b.sum, b.p[start:])
}

func (b *fastBlock) tail(sequence uint32) {
	start := len(b.p)
	b.p = le.AppendUint16(b.p, fastTail)
	b.p = le.AppendUint32(le.AppendUint16(b.p, 8), sequence)
	b.p = le.AppendUint32(b.p, crc32c(b.sum, b.p[start:]))
	b.sum = 0
}

func words(v ...uint32) []byte {
	var p []byte
	for _, w := range v {
		p = le.AppendUint32(p, w)
	}
	return p
}

// TestFastLog reads fast commits that are whole, stale, cut and damaged.
func TestFastLog(t *testing.T) {
	series := func(change func(b *fastBlock)) []byte {
		b := new(fastBlock)
		b.tag(fastHead, words(0, 7))
		b.tag(fastLink, words(2, 12), []byte("a"))
		b.tail(7)
		b.tag(fastUnlink, words(2, 12), []byte("b"))
		b.tag(fastPad, make([]byte, 40))
		change(b)
		return append(b.p, make([]byte, 64)...)
	}
	flip := func(p []byte, at int) []byte {
		p[at] ^= 1
		return p
	}
	whole := series(func(b *fastBlock) { b.tail(7) })
	for _, c := range []struct {
		name          string
		p             []byte
		commits, tags int
		damage        string
	}{
		{"whole", whole, 2, 2, ""},
		{"being written", series(func(*fastBlock) {}), 1, 1, ""},
		{"older ones behind", series(func(b *fastBlock) { b.tail(6) }), 1, 1, ""},
		{"a new head", series(func(b *fastBlock) { b.tail(7); b.tag(fastHead, words(0, 6)) }), 2, 2, ""},
		{"unknown tag", series(func(b *fastBlock) { b.tag(10, words(1)); b.tail(7) }), 1, 1, ""},
		{"unknown features", series(func(b *fastBlock) { b.tag(fastHead, words(4, 7)) }), 1, 1, "partial"},
		{"second damaged", flip(bytes.Clone(whole), 49), 1, 1, "csum"},
		{"first damaged", flip(bytes.Clone(whole), 24), 0, 0, "csum"},
		{"a length damaged", flip(bytes.Clone(whole), 15), 0, 0, ""},
	} {
		l := &fastLog{inodeSize: 256, sequence: 7}
		l.block(c.p)
		if l.commits != c.commits || l.whole != c.tags || !strings.HasPrefix(l.damage, c.damage) || c.damage == "" && l.damage != "" {
			t.Errorf("%s: %d commits, %d tags, damage %q", c.name, l.commits, l.whole, l.damage)
		}
	}
}

// fastSeeds are fast commits that fit the images of testdata.
func fastSeeds(t testing.TB, x *FS) [][]byte {
	in, _, err := x.readInode(13)
	if err != nil {
		t.Fatal(err)
	}
	name := []byte("name")
	extent := func(at uint32, n uint16, block uint32) []byte {
		return le.AppendUint32(append(le.AppendUint16(words(at), n), 0, 0), block)
	}
	var seeds [][]byte
	for _, fill := range []func(b *fastBlock){
		func(b *fastBlock) {
			b.tag(fastInode, words(60), in)
			b.tag(fastCreate, words(2, 60), name)
			b.tag(fastAddRange, words(60), extent(0, 3, 900))
			b.tag(fastDelRange, words(60, 1, 1))
		},
		func(b *fastBlock) {
			dir, _, err := x.readInode(rootInode)
			if err != nil {
				t.Fatal(err)
			}
			b.tag(fastInode, words(61), dir)
			b.tag(fastCreate, words(2, 61), name)
			for i := range 30 {
				b.tag(fastLink, words(61, 13), bytes.Repeat([]byte{byte('a' + i)}, 200))
			}
			b.tag(fastUnlink, words(2, 61), name)
		},
		func(b *fastBlock) {
			b.tag(fastUnlink, words(2, 13), []byte("a"))
			for i := range 20 {
				b.tag(fastAddRange, words(14), extent(uint32(9*i), 2, uint32(700+5*i)))
			}
			b.tag(fastInode, words(13), in[:128])
		},
	} {
		b := new(fastBlock)
		fill(b)
		seeds = append(seeds, b.p)
	}
	return seeds
}

// FuzzFastCommits replays fast commits without asking for their checksums.
func FuzzFastCommits(f *testing.F) {
	images := map[string]imaging.Source{}
	for k, name := range []string{"ext2", "ext4", "inline"} {
		images[name] = fstest.File(f, "testdata/"+name+".img.gz")
		x, err := Open(images[name])
		if err != nil {
			f.Fatal(err)
		}
		for _, seed := range fastSeeds(f, x) {
			f.Add(uint8(k), seed)
		}
	}
	f.Fuzz(func(t *testing.T, image uint8, p []byte) {
		src := images[[]string{"ext2", "ext4", "inline"}[image%3]]
		fstest.Survive(t, func(src imaging.Source) (*FS, error) {
			x, err := Open(src)
			if err != nil {
				return nil, err
			}
			l := &fastLog{inodeSize: x.sb.inodeSize, commits: 1}
			for off := 0; off+4 <= len(p); {
				kind, n := le.Uint16(p[off:]), int(le.Uint16(p[off+2:]))
				if off+4+n > len(p) || !l.sound(kind, n) {
					break
				}
				if kind < fastPad {
					l.tags = append(l.tags, fastTag{kind, p[off+4 : off+4+n]})
				}
				off += 4 + n
			}
			return x, x.showFast(t.Context(), l)
		}, src)
	})
}
