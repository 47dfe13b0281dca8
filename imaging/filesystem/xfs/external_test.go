package xfs

import (
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"snapcase/imaging/filesystem/fstest"
)

// partedImage is the small image with its log taken out of it.
func partedImage(t *testing.T) (fs, log []byte) {
	t.Helper()
	fs = smallImage(t)
	x, err := OpenRaw(fstest.Bytes(fs))
	if err != nil {
		t.Fatal(err)
	}
	j, ok, damage := x.journal()
	if !ok {
		t.Fatal(damage)
	}
	log = append([]byte(nil), fs[j.start:j.start+j.size*basic]...)
	clear(fs[j.start : j.start+j.size*basic])
	clear(fs[48:56])
	putSum(fs[:x.sb.sectorSize], 224)
	return fs, log
}

// TestLogApart reads a log that lies on a device of its own as one that lies in
// the volume, and refuses one that is not the volume's.
func TestLogApart(t *testing.T) {
	whole, err := Open(fstest.Bytes(smallImage(t)))
	if err != nil {
		t.Fatal(err)
	}
	fs, log := partedImage(t)
	want := all(t, whole)
	state := func(x *FS) string { return strings.Join(x.Info().State, "\n") }

	x, err := OpenWithLog(fstest.Bytes(fs), fstest.Bytes(log))
	if err != nil {
		t.Fatal(err)
	}
	if got := all(t, x); !reflect.DeepEqual(got, want) {
		t.Errorf("%d entries, want %d as with the log in the volume; state %q", len(got), len(want), state(x))
	}
	if id := x.LogUUID(); id != x.Info().UUID || whole.LogUUID() != "" {
		t.Errorf("the log is %q and %q", id, whole.LogUUID())
	}
	without, err := Open(fstest.Bytes(fs))
	if err != nil {
		t.Fatal(err)
	}
	if s := state(without); !strings.Contains(s, "it is not read") {
		t.Errorf("without the log: %q", s)
	}
	few := all(t, without)

	other := append([]byte(nil), log...)
	for at := 0; at < len(other); at += basic {
		if be.Uint32(other[at:]) == magicRecord {
			other[at+304] ^= 1
			clear(other[at+32 : at+36]) // a checksum of zero is not looked at
		}
	}
	late := append([]byte(nil), fs...)
	be.PutUint64(late[240:], 1<<40)
	putSum(late[:512], 224)
	for name, c := range map[string]struct {
		fs, log []byte
		want    string
	}{
		"other":  {fs, other, "of another file system"},
		"short":  {fs, log[:len(log)-basic], "truncated: the log has"},
		"older":  {late, log, "the log is older than the volume"},
		"random": {fs, []byte(strings.Repeat("\xfe\xed\xba\xbe", len(log)/4)), "no whole record"},
	} {
		x, err := OpenWithLog(fstest.Bytes(c.fs), fstest.Bytes(c.log))
		if err != nil {
			t.Fatal(err)
		}
		if s := state(x); !strings.Contains(s, "the log is not replayed") || !strings.Contains(s, c.want) {
			t.Errorf("%s: %q", name, s)
		}
		if got := all(t, x); name == "other" && !reflect.DeepEqual(got, few) {
			t.Errorf("%s: %d entries, want %d as without the log", name, len(got), len(few))
		}
	}
}

// loopDevice makes a file and the loop device of it.
func loopDevice(t *testing.T, size int64) (path, dev string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "device")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, size); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("losetup", "-f", "--show", path).Output()
	if err != nil {
		t.Skip("needs a free loop device")
	}
	dev = strings.TrimSpace(string(out))
	t.Cleanup(func() { exec.Command("losetup", "-d", dev).Run() })
	return path, dev
}

// TestKernelLogApart compares what is shown of a volume that was stopped with
// its log on another device with what the kernel makes of both.
func TestKernelLogApart(t *testing.T) {
	needKernel(t)
	if _, err := exec.LookPath("xfs_io"); err != nil {
		t.Skip("needs xfs_io")
	}
	for name, options := range map[string]string{"default": "", "sector4k": "-s size=4096 -l su=256k", "v4": "-m crc=0"} {
		t.Run(name, func(t *testing.T) {
			log, dev := loopDevice(t, 80<<20)
			v := &volume{t: t, extra: ",logdev=" + dev}
			v.make(330<<20, append([]string{"-l", "size=64m,logdev=" + dev}, strings.Fields(options)...)...)
			v.fill(rand.New(rand.NewPCG(uint64(len(name)), 9)))
			v.remount("rw")
			v.churn(rand.New(rand.NewPCG(3, 9)))
			if out, err := exec.Command("xfs_io", "-x", "-c", "shutdown -f", v.dir).CombinedOutput(); err != nil {
				t.Fatalf("xfs_io: %s", out)
			}
			v.open.Close()
			v.unmount()
			stopped := v.image + ".stopped"
			for from, to := range map[string]string{v.image: stopped, log: log + ".stopped"} {
				if out, err := exec.Command("cp", "--sparse=always", from, to).CombinedOutput(); err != nil {
					t.Fatalf("cp: %s", out)
				}
			}
			x, err := OpenWithLog(openDisk(t, stopped), openDisk(t, log+".stopped"))
			if err != nil {
				t.Fatal(err)
			}
			t.Log(x.Info().State)
			if s := strings.Join(x.Info().State, "\n"); !strings.Contains(s, "needs log recovery") {
				t.Errorf("state is %q", s)
			}
			v.mount("rw,noatime")
			v.compare(x)
			checkCover(t, x)
		})
	}
}
