package ext4

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
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
	for range 50 {
		_, err = f.Write(randomBytes(r, 700))
		v.must(err)
		v.must(f.Sync())
	}
	f.Close()
}

// TestFastCommits compares what fast commits are replayed to with what the
// kernel makes of a copy.
func TestFastCommits(t *testing.T) {
	needKernel(t)
	for _, options := range []string{
		"-t ext4 -O fast_commit",
		"-t ext4 -O fast_commit -b 4096",
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
			v.shutdown(false)
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
