package lvm

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"snapcase/imaging"
)

// file is an opened image.
type file struct {
	*os.File
	size int64
}

func (f file) Size() int64 { return f.size }

func openFile(t testing.TB, path string) imaging.Source {
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
	return file{f, st.Size()}
}

// tools runs lvm2 on loop devices of its own.
type tools struct {
	t       *testing.T
	dir     string
	images  []string
	devices []string
}

func newTools(t *testing.T, disks int) *tools {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("loop devices need root")
	}
	for _, name := range []string{"lvm", "losetup"} {
		if _, err := exec.LookPath(name); err != nil {
			t.Skipf("%s is not installed", name)
		}
	}
	l := &tools{t: t, dir: t.TempDir()}
	for i := range disks {
		path := filepath.Join(l.dir, fmt.Sprintf("disk%d.img", i))
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(path, 64<<20); err != nil {
			t.Fatal(err)
		}
		out, err := exec.Command("losetup", "-f", "--show", path).CombinedOutput()
		if err != nil {
			t.Skipf("losetup: %v: %s", err, out)
		}
		dev := strings.TrimSpace(string(out))
		l.images, l.devices = append(l.images, path), append(l.devices, dev)
		t.Cleanup(func() { exec.Command("losetup", "-d", dev).Run() })
	}
	return l
}

// run runs one verb; activation is off, so it needs no device mapper.
func (l *tools) run(verb string, args ...string) string {
	l.t.Helper()
	filter := ""
	for _, d := range l.devices {
		filter += fmt.Sprintf("%q,", "a|^"+d+"$|")
	}
	config := "devices{dir=\"/dev\" scan=[\"/dev\"] use_devicesfile=0 filter=[" + filter + "\"r|.*|\"]} " +
		"activation{udev_sync=0 udev_rules=0 monitoring=0} backup{backup=0 archive=0}"
	cmd := exec.Command("lvm", append([]string{verb, "--driverloaded", "n", "--config", config}, args...)...)
	cmd.Env = append(os.Environ(), "LVM_SYSTEM_DIR="+l.dir, "LVM_SUPPRESS_FD_WARNINGS=1", "LC_ALL=C")
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		l.t.Fatalf("lvm %s %s: %v: %s", verb, args, err, errs.String())
	}
	return string(out)
}

// fill writes bytes that do not repeat to the extents of every disk.
func (l *tools) fill() {
	l.t.Helper()
	for i, path := range l.images {
		f, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			l.t.Fatal(err)
		}
		p := make([]byte, 62<<20) // a second metadata area may lie behind
		r := rand.NewChaCha8([32]byte{byte(i + 1)})
		r.Read(p)
		if _, err := f.WriteAt(p, 1<<20); err != nil {
			l.t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			l.t.Fatal(err)
		}
	}
}

// expect makes the content of a volume from what lvs says of its segments.
func (l *tools) expect(name string) []byte {
	l.t.Helper()
	var whole []byte
	out := l.run("lvs", "-a", "--noheadings", "--units", "b", "--nosuffix", "--separator", ";", "-o", "seg_start,seg_size,stripesize,seg_pe_ranges", name)
	for _, line := range strings.Split(strings.TrimSpace(out), "\n") {
		f := strings.Split(strings.TrimSpace(line), ";")
		start, _ := strconv.Atoi(f[0])
		size, _ := strconv.Atoi(f[1])
		chunk, _ := strconv.Atoi(f[2])
		var legs [][]byte
		for _, r := range strings.Fields(f[3]) {
			dev, pes, _ := strings.Cut(r, ":")
			from, to, _ := strings.Cut(pes, "-")
			a, _ := strconv.Atoi(from)
			z, _ := strconv.Atoi(to)
			p := make([]byte, (z-a+1)<<20)
			for i, d := range l.devices {
				if d == dev {
					img, err := os.Open(l.images[i])
					if err != nil {
						l.t.Fatal(err)
					}
					if _, err := img.ReadAt(p, int64(a+1)<<20); err != nil {
						l.t.Fatal(err)
					}
					img.Close()
				}
			}
			legs = append(legs, p)
		}
		if chunk == 0 {
			chunk = size
		}
		if start != len(whole) {
			l.t.Fatalf("%s: segment at %d, so far %d", name, start, len(whole))
		}
		for at := 0; len(whole) < start+size; at += chunk {
			for _, p := range legs {
				whole = append(whole, p[at:at+chunk]...)
			}
		}
	}
	return whole
}

// compare reads a volume and maps some of its bytes back.
func (l *tools) compare(v *LV, pvs []imaging.Source, want []byte) {
	l.t.Helper()
	if v.Source == nil {
		l.t.Fatalf("%s: %s", v.Name, v.Reason)
	}
	got, err := io.ReadAll(io.NewSectionReader(v.Source, 0, v.Source.Size()))
	if err != nil {
		l.t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		l.t.Fatalf("%s: %d bytes differ from the %d that lvs names", v.Name, len(got), len(want))
	}
	if v.Damage != "" {
		l.t.Errorf("%s: damage %q", v.Name, v.Damage)
	}
	found := 0
	for pv, src := range pvs {
		for off := int64(0); off < src.Size(); off += 4093 {
			at, ok := v.Locate(pv, off)
			if !ok {
				continue
			}
			found++
			var b [1]byte
			if _, err := src.ReadAt(b[:], off); err != nil || b[0] != want[at] {
				l.t.Fatalf("%s: byte %d of source %d is not byte %d", v.Name, off, pv, at)
			}
			if to, in, ok := v.Place(at); !ok {
				l.t.Fatalf("%s: byte %d has no place", v.Name, at)
			} else if back, ok := v.Locate(to, in); !ok || back != at {
				l.t.Fatalf("%s: byte %d lies at byte %d of source %d, which is byte %d", v.Name, at, in, to, back)
			}
		}
	}
	if found < len(want)/4093-8 || found > len(want)/4093+8 {
		l.t.Errorf("%s: %d of %d bytes map back", v.Name, found, len(want)/4093)
	}
}

func TestToolsMakeWhatIsRead(t *testing.T) {
	l := newTools(t, 3)
	l.run("pvcreate", l.devices...)
	l.run("vgcreate", append([]string{"-s", "1M", "vg0"}, l.devices...)...)
	create := func(args ...string) {
		l.run("lvcreate", append([]string{"-an", "-Zn", "-Wn", "-y"}, args...)...)
	}
	create("-n", "lin", "-L", "10M", "vg0", l.devices[0])
	create("-n", "str", "-i", "2", "-I", "64k", "-L", "16M", "vg0", l.devices[0], l.devices[1])
	create("-n", "secret", "-L", "7M", "vg0", l.devices[2])
	create("-n", "three", "-i", "3", "-I", "4k", "-L", "12M", "vg0")
	l.run("lvextend", "-L", "25M", "vg0/lin", l.devices[2])
	l.run("lvextend", "-i", "3", "-I", "128k", "-L", "28M", "vg0/str")
	l.fill()
	secret := l.expect("vg0/secret")
	l.run("lvremove", "-y", "vg0/secret")

	var pvs []imaging.Source
	for _, path := range l.images {
		src := openFile(t, path)
		if !Probe(src) {
			t.Errorf("%s: not seen as a physical volume", path)
		}
		pvs = append(pvs, src)
	}
	g := group(t, 0, pvs...)
	uuid := strings.Fields(l.run("vgs", "--noheadings", "-o", "vg_uuid,vg_seqno", "vg0"))
	if g.UUID != uuid[0] || fmt.Sprint(g.Seqno) != uuid[1] || g.Name != "vg0" || g.Former || len(g.Notes) > 0 {
		t.Errorf("group %s %s seqno %d notes %q, vgs says %v", g.Name, g.UUID, g.Seqno, g.Notes, uuid)
	}
	if len(g.LVs) != 3 {
		t.Errorf("%d volumes", len(g.LVs))
	}
	for _, name := range []string{"lin", "str", "three"} {
		v := find(t, g.LVs, name)
		l.compare(v, pvs, l.expect("vg0/"+name))
		if u := strings.TrimSpace(l.run("lvs", "--noheadings", "-o", "lv_uuid", "vg0/"+name)); u != v.UUID {
			t.Errorf("%s: uuid %s, lvs says %s", name, v.UUID, u)
		}
	}
	l.compare(find(t, g.Gone, "secret"), pvs, secret)
	if v := g.History[0]; !strings.Contains(v.Command, "lvextend") || !v.Whole || v.Host == "" || !v.Written.Set {
		t.Errorf("newest older text: %+v", v)
	}
	l.removed(pvs, secret)
}

// removed removes the whole group and finds it again.
func (l *tools) removed(pvs []imaging.Source, secret []byte) {
	l.t.Helper()
	l.run("vgrename", "vg0", "renamed")
	if g := group(l.t, 0, pvs...); g.Name != "renamed" || g.History[0].Name != "vg0" {
		l.t.Errorf("renamed: %s, before %s", g.Name, g.History[0].Name)
	}
	l.run("vgremove", "-f", "-y", "renamed")
	g := group(l.t, 0, pvs...)
	if !g.Former || g.Name != "renamed" || len(g.LVs) > 3 {
		l.t.Errorf("removed: %+v", g)
	}
	l.compare(find(l.t, append(g.LVs, g.Gone...), "secret"), pvs, secret)
	l.run("pvremove", "-y", l.devices[2])
	if !Probe(pvs[2]) {
		l.t.Error("a removed physical volume is not seen")
	}
	g = group(l.t, 0, pvs...)
	if g.PVs[2].Source != 2 || g.PVs[2].Damage == "" {
		l.t.Errorf("member without label: %+v", g.PVs[2])
	}
	if v := find(l.t, append(g.LVs, g.Gone...), "secret"); v.Source == nil || len(v.Gaps) > 0 {
		l.t.Errorf("secret: %+v", v)
	}
}
