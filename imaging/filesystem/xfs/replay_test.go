package xfs

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"snapcase/imaging/filesystem"
)

// TestReplay stops a volume in the middle of its work and compares what the
// reader shows with what the kernel makes of a copy.
func TestReplay(t *testing.T) {
	needKernel(t)
	if _, err := exec.LookPath("xfs_io"); err != nil {
		t.Skip("needs xfs_io")
	}
	for name, options := range map[string]string{
		"default": "", "bs1k": "-b size=1k", "dir16k rmapbt": "-n size=16k -m rmapbt=1", "nobigtime": "-m bigtime=0,reflink=0",
		"nrext64 sector4k": "-i nrext64=1 -s size=4096", "su256k": "-l su=256k", "wrapped": "",
	} {
		t.Run(name, func(t *testing.T) {
			v := newVolume(t, 330<<20, strings.Fields(options)...)
			v.fill(rand.New(rand.NewPCG(uint64(len(name)), 9)))
			v.remount("rw")
			if name == "wrapped" {
				v.wrap()
			}
			v.churn(rand.New(rand.NewPCG(3, 9)))
			if out, err := exec.Command("xfs_io", "-x", "-c", "shutdown -f", v.dir).CombinedOutput(); err != nil {
				t.Fatalf("xfs_io: %s", out)
			}
			v.open.Close()
			v.unmount()
			raw := v.image
			v.image += ".copy"
			if out, err := exec.Command("cp", "--sparse=always", raw, v.image).CombinedOutput(); err != nil {
				t.Fatalf("cp: %s", out)
			}
			x, err := Open(openDisk(t, raw))
			if err != nil {
				t.Fatal(err)
			}
			t.Log(x.Info().State)
			if s := strings.Join(x.Info().State, "\n"); !strings.Contains(s, "needs log recovery") {
				t.Errorf("state is %q", s)
			}
			v.mount("rw,noatime")
			v.compare(x)
			orphans := 0
			for _, e := range all(t, x) {
				if e.Status == filesystem.Orphan && e.From == "unlinked-list" && e.Size == 10 {
					orphans++
				}
			}
			if orphans != 1 {
				t.Errorf("%d files that were open and deleted, want 1", orphans)
			}
			checkCover(t, x)
		})
	}
}

// churn changes all that there is: new and removed files, renames, growing and
// shrinking directories, attributes, truncation.
func (v *volume) churn(r *rand.Rand) {
	v.t.Helper()
	for i := range 1500 {
		d := fmt.Sprintf("new%d", i%5)
		v.must(os.MkdirAll(v.path(d), 0o755))
		v.write(fmt.Sprintf("%s/%s", d, randomName(r, i)), []byte(strings.Repeat("x", r.IntN(9000))))
	}
	for _, d := range []string{"d9", "d40", "d150", "d700", "d3000", "new1"} {
		list, err := os.ReadDir(v.path(d))
		v.must(err)
		for i, e := range list {
			switch i % 5 {
			case 0, 1:
				v.must(os.RemoveAll(v.path(d + "/" + e.Name())))
			case 2:
				v.must(os.Rename(v.path(d+"/"+e.Name()), v.path(fmt.Sprintf("d1/moved-%s-%d", d, i))))
			}
		}
	}
	v.must(os.Truncate(v.path("pieces"), 40<<20))
	v.must(os.Remove(v.path("attr60000")))
	v.must(os.Chmod(v.path("size4096"), 0o4711))
	v.must(os.RemoveAll(v.path("deep")))
	v.must(os.RemoveAll(v.path("thin1")))
	v.checkpoint()
	for i := range 300 { // the same blocks and inodes again
		v.write(fmt.Sprintf("new2/again%d", i), []byte("second"))
		if i%3 == 0 {
			v.must(os.Remove(v.path(fmt.Sprintf("new2/again%d", i))))
		}
		if i%50 == 0 {
			v.checkpoint()
		}
	}
	f, err := os.Create(v.path("open-and-deleted"))
	v.must(err)
	_, err = f.WriteString("still here")
	v.must(err)
	v.open = f
	v.must(os.Remove(f.Name()))
	v.must(os.RemoveAll(v.path("new3")))
	v.checkpoint()
	v.must(os.Mkdir(v.path("new3"), 0o711))
	v.write("new3/last", bytes.Repeat([]byte("end"), 5000))
}

// wrap writes more than the log holds.
func (v *volume) wrap() {
	v.t.Helper()
	for round := range 14 {
		d := fmt.Sprintf("wrap%d", round%2)
		v.must(os.Mkdir(v.path(d), 0o755))
		for i := range 8000 {
			v.write(fmt.Sprintf("%s/some-long-name-of-a-file-%d", d, i), nil)
		}
		v.checkpoint()
		if round < 13 {
			v.must(os.RemoveAll(v.path(d)))
		}
	}
}

// checkpoint makes the kernel write its log.
func (v *volume) checkpoint() {
	v.t.Helper()
	v.must(exec.Command("sync", "-f", v.dir).Run())
}

// TestReplayFreeing stops volumes while files are being removed, until the log
// of one holds extents that the kernel had begun to free: they belong to nobody
// else, and must not be a gap in the owner map.
func TestReplayFreeing(t *testing.T) {
	needKernel(t)
	if _, err := exec.LookPath("xfs_io"); err != nil {
		t.Skip("needs xfs_io")
	}
	v := newVolume(t, 330<<20)
	v.remount("rw")
	for try := range 12 {
		const folders, files = 4, 400
		for d := range folders {
			v.must(os.MkdirAll(v.path(fmt.Sprintf("gone%d-%d", try, d)), 0o755))
			for i := range files {
				v.write(fmt.Sprintf("gone%d-%d/%d", try, d, i), bytes.Repeat([]byte("g"), 9000))
			}
		}
		v.checkpoint()
		var removing sync.WaitGroup
		for d := range folders {
			removing.Go(func() { _ = os.RemoveAll(v.path(fmt.Sprintf("gone%d-%d", try, d))) }) // ends when the volume stops
		}
		time.Sleep(time.Duration(try+1) * 2 * time.Millisecond)
		if out, err := exec.Command("xfs_io", "-x", "-c", "shutdown -f", v.dir).CombinedOutput(); err != nil {
			t.Fatalf("xfs_io: %s", out)
		}
		removing.Wait()
		v.unmount()
		x, err := Open(openDisk(t, v.image))
		if err != nil {
			t.Fatal(err)
		}
		checkCover(t, x)
		if len(x.freeing) > 0 {
			t.Logf("stopped for the %dth time: %v %v", try+1, x.Info().State, x.freeing)
			return
		}
		v.mount("rw,noatime")
	}
	t.Skip("the kernel never stopped between the two")
}
