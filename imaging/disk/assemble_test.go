package disk

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"snapcase/imaging"
	"snapcase/imaging/filesystem"
	"snapcase/imaging/filesystem/fstest"
	"snapcase/imaging/volume/lvm"
)

const mdChunk = 64 << 10

// raidMember is a member of an array with version 1 metadata, 1.2 or 1.0, that
// holds data.
func raidMember(version string, name byte, level int32, devices, role int, data []byte) []byte {
	start, at := 1*mib, 4096
	size := start + len(data)
	if version == "1.0" {
		start, at, size = 0, len(data), len(data)+8192
	}
	d := make([]byte, size)
	copy(d[start:], data)
	p := d[at:]
	put := func(off int, v uint64) { binary.LittleEndian.PutUint64(p[off:], v) }
	put(0, 0xa92b4efc|1<<32)
	copy(p[16:], bytes.Repeat([]byte{name}, 16))
	copy(p[32:], "web-1:"+string('0'+name%10))
	binary.LittleEndian.PutUint32(p[72:], uint32(level))
	put(80, uint64(len(data)/512))
	binary.LittleEndian.PutUint32(p[88:], mdChunk/512)
	binary.LittleEndian.PutUint32(p[92:], uint32(devices))
	put(128, uint64(start/512))
	put(136, uint64(len(data)/512))
	put(144, uint64(at/512))
	put(160, uint64(role))
	p[168], p[169] = name, byte(role+1)
	put(200, 7)
	put(208, math.MaxUint64)
	binary.LittleEndian.PutUint32(p[220:], uint32(devices))
	for i := range devices {
		binary.LittleEndian.PutUint16(p[256+2*i:], uint16(i))
	}
	sum := uint64(0)
	for i := 0; i < 256+2*devices; i += 2 {
		sum += uint64(binary.LittleEndian.Uint16(p[i:])) << (8 * (i & 2))
	}
	binary.LittleEndian.PutUint32(p[216:], uint32(sum)+uint32(sum>>32))
	return d
}

// stripes cuts content as a raid0 of two does.
func stripes(content []byte) [2][]byte {
	var legs [2][]byte
	for i := 0; i < len(content); i += mdChunk {
		n := i / mdChunk % 2
		legs[n] = append(legs[n], content[i:i+mdChunk]...)
	}
	return legs
}

// textOf is a content that tells where its bytes belong.
func textOf(name string) []byte {
	return bytes.Repeat(fmt.Appendf(nil, "content of %-53s\n", name), 20000)
}

// ext4With is a file system with one file of textOf(name).
func ext4With(t *testing.T, name string, size int64) []byte {
	t.Helper()
	dir := t.TempDir()
	must(t, os.Mkdir(filepath.Join(dir, "tree"), 0o755))
	must(t, os.WriteFile(filepath.Join(dir, "tree", name), textOf(name), 0o644))
	image := filepath.Join(dir, "fs")
	must(t, os.WriteFile(image, nil, 0o644))
	must(t, os.Truncate(image, size))
	run(t, "", "mkfs.ext4", "-q", "-d", filepath.Join(dir, "tree"), image)
	b, err := os.ReadFile(image)
	must(t, err)
	return b
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func openThese(images ...[]byte) []*Disk {
	var list []Image
	for i, b := range images {
		list = append(list, Image{fmt.Sprintf("EX-%03d", i+1), fstest.Bytes(b)})
	}
	return OpenAll(list)
}

// checkFile demands the file in a volume of the disk, byte for byte, and that
// every byte of it in every image is known to be its own.
func checkFile(t *testing.T, disks []*Disk, images [][]byte, at int, id, name string) {
	t.Helper()
	v := disks[at].Volume(id)
	if v == nil || v.FS == nil {
		t.Fatalf("no file system in %s: %s", id, shape(disks))
	}
	var ref filesystem.Ref
	for e, err := range v.FS.Walk(t.Context()) {
		must(t, err)
		if e.Path == "/"+name {
			ref = e.Ref
		}
	}
	src, err := v.FS.Open(ref)
	must(t, err)
	got := make([]byte, src.Size())
	if _, err := src.ReadAt(got, 0); err != nil && !errors.Is(err, io.EOF) || !bytes.Equal(got, textOf(name)) {
		t.Errorf("%s in %s has other content: %v", name, id, err)
	}
	mark := fmt.Appendf(nil, "content of %-53s\n", name)
	for i, b := range images {
		var places []int64
		for from := 0; ; {
			k := bytes.Index(b[from:], mark)
			if k < 0 {
				break
			}
			places = append(places, int64(from+k))
			from += k + 4096
		}
		own, err := disks[i].Owners(t.Context(), places)
		must(t, err)
		for k, o := range own {
			if o.Volume != id || o.Image != disks[at].Name || o.Ref != ref || o.Kind != filesystem.OwnContent || o.FileOffset%int64(len(mark)) != 0 {
				t.Fatalf("byte %d of image %d belongs to %+v, want %s in %s", places[k], i, o, name, id)
			}
		}
		if len(places) == 0 {
			t.Errorf("image %d has nothing of %s", i, name)
		}
	}
}

// shape is a line a volume, for messages and comparisons.
func shape(disks []*Disk) string {
	var b strings.Builder
	for _, d := range disks {
		for _, v := range d.Volumes {
			if v.Gap() {
				continue
			}
			fmt.Fprintf(&b, "%s %s fs=%t", d.Name, strings.Join(strings.Fields(v.ID+" "+v.Type+" "+v.FSType), " "), v.FS != nil)
			if v.Err != nil {
				fmt.Fprintf(&b, " err=%v", v.Err)
			}
			b.WriteString("\n")
		}
	}
	return b.String()
}

func TestMirrorOfTwoImages(t *testing.T) {
	fs := ext4With(t, "mirrored", 16*mib)
	for _, version := range []string{"1.0", "1.2"} {
		images := [][]byte{raidMember(version, 0xa0, 1, 2, 0, fs), raidMember(version, 0xa0, 1, 2, 1, fs)}
		disks := openThese(images...)
		want := "EX-001 p0 linux_raid_member fs=false\nEX-001 md0 raid1 ext4 fs=true\nEX-002 p0 linux_raid_member fs=false\n"
		if got := shape(disks); got != want {
			t.Errorf("%s: got\n%swant\n%s", version, got, want)
		}
		checkFile(t, disks, images, 0, "md0", "mirrored")
		checkFile(t, openThese(images[1]), images[1:], 0, "md0", "mirrored") // one leg alone
	}
}

func TestStripesWithoutOne(t *testing.T) {
	legs := stripes(ext4With(t, "striped", 32*mib))
	images := [][]byte{raidMember("1.2", 0xa1, 0, 2, 0, legs[0]), raidMember("1.2", 0xa1, 0, 2, 1, legs[1])}
	disks := openThese(images[1], images[0]) // in the other order
	if disks[1].Volume("md1") == nil {
		t.Fatalf("it is not listed where it begins: %s", shape(disks))
	}
	checkFile(t, disks, [][]byte{images[1], images[0]}, 1, "md1", "striped")
	if f := disks[0].Foreign(); len(f) != 1 || f[0].ID != "md1" || len(disks[1].Reaches()) != 1 || disks[1].Reaches()[0] != disks[0] {
		t.Error("the disks do not know of one another")
	}
	one := openThese(images[0])[0]
	v := one.Volume("md1")
	if v == nil || v.FS == nil || !strings.Contains(strings.Join(v.Notes, "\n"), "gap: of ") {
		t.Fatalf("%+v", v)
	}
	hole, holed, files, _, err := v.Missing(t.Context())
	must(t, err)
	if !holed || hole.Offset != mdChunk || hole.Length != mdChunk {
		t.Errorf("the first hole is %+v", hole)
	}
	found := false
	for e, err := range v.FS.Walk(t.Context()) {
		if err == nil && e.Path == "/striped" {
			_, found = files[e.Ref]
		}
	}
	if !found {
		t.Errorf("nothing is missing of the file: %v", files)
	}
	checkHoles(t, v.Source, func(at int64) bool { return at/mdChunk%2 == 1 })
}

// checkHoles asks for the first hole from many places and compares.
func checkHoles(t *testing.T, src imaging.Source, lost func(at int64) bool) {
	t.Helper()
	for off := int64(0); off < src.Size(); off += 31 * 1024 {
		for _, n := range []int64{1, 4096, 60 << 10, 200 << 10} {
			want := int64(-1)
			for at := off; at < min(off+n, src.Size()); at++ {
				if lost(at) {
					want = at
					break
				}
			}
			h, ok := imaging.FirstHole(src, off, n)
			switch {
			case ok != (want >= 0):
				t.Fatalf("within %d from %d: %+v %t, want one at %d", n, off, h, ok, want)
			case ok && (h.Offset != want || !lost(h.Offset+h.Length-1) || h.Offset+h.Length > off+n):
				t.Fatalf("within %d from %d: %+v, want one at %d", n, off, h, want)
			}
		}
	}
}

// group makes a volume group on files with the lvm tools, whose extents begin
// at 1 MiB and have 4 MiB.
func group(t *testing.T, name string, files []string, commands ...string) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root for loop devices")
	}
	for _, tool := range []string{"lvm", "losetup"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("needs %s", tool)
		}
	}
	var devices, filter []string
	for _, f := range files {
		dev, err := exec.Command("losetup", "-f", "--show", f).Output()
		if err != nil {
			t.Skip("needs free loop devices")
		}
		loop := strings.TrimSpace(string(dev))
		defer exec.Command("losetup", "-d", loop).Run()
		devices, filter = append(devices, loop), append(filter, `"a|^`+loop+`$|"`)
	}
	config := `devices { scan="/dev" filter=[` + strings.Join(filter, ",") + `,"r|.*|"] use_devicesfile=0 } activation { udev_sync=0 udev_rules=0 } backup { backup=0 archive=0 }`
	lvm := func(args ...string) {
		t.Helper()
		c := exec.Command("lvm", append([]string{args[0], "--driverloaded", "n", "--config", config}, args[1:]...)...)
		c.Env = append(os.Environ(), "LVM_SUPPRESS_FD_WARNINGS=1")
		if out, err := c.CombinedOutput(); err != nil {
			t.Fatalf("lvm %q: %v: %s", args, err, out)
		}
	}
	lvm(append([]string{"pvcreate"}, devices...)...)
	lvm(append([]string{"vgcreate", name}, devices...)...)
	for _, c := range commands {
		for i, dev := range devices {
			c = strings.ReplaceAll(c, fmt.Sprintf("@%d", i), dev)
		}
		lvm(strings.Fields(c)...)
	}
}

// blanks makes empty files.
func blanks(t *testing.T, sizes ...int64) []string {
	t.Helper()
	var files []string
	for i, n := range sizes {
		path := filepath.Join(t.TempDir(), fmt.Sprint(i))
		must(t, os.WriteFile(path, nil, 0o600))
		must(t, os.Truncate(path, n))
		files = append(files, path)
	}
	return files
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	must(t, err)
	return b
}

// TestGroupOfTwoImages has one volume whose end lies on the second disk.
func TestGroupOfTwoImages(t *testing.T) {
	files := blanks(t, 17*mib, 41*mib) // 4 and 10 extents
	group(t, "data", files, "lvcreate -an -Zn -Wn -l 4 -n db data @0", "lvextend -l 10 data/db @1")
	fs := ext4With(t, "rows", 40*mib)
	a, b := read(t, files[0]), read(t, files[1])
	copy(a[mib:], fs[:16*mib])
	copy(b[mib:], fs[16*mib:])
	both := openThese(a, b)
	want := "EX-001 p0 LVM2_member fs=false\nEX-001 data-db logical ext4 fs=true\nEX-002 p0 LVM2_member fs=false\n"
	if got := shape(both); got != want {
		t.Fatalf("got\n%swant\n%s", got, want)
	}
	v := both[0].Volume("data-db")
	if strings.Join(v.Images, " ") != "EX-001 EX-002" || !strings.Contains(strings.Join(v.Notes, "\n"), "it lies on EX-001, EX-002: it is listed under the first") {
		t.Errorf("%v %v", v.Images, v.Notes)
	}
	for _, d := range both {
		own, err := d.Owners(context.Background(), []int64{mib + 4096})
		must(t, err)
		if own[0].Volume != "data-db" || own[0].Image != "EX-001" {
			t.Errorf("%s: %+v", d.Name, own[0])
		}
	}
	reversed := openThese(b, a)
	if reversed[1].Volume("data-db") == nil || reversed[0].Volume("data-db") != nil {
		t.Errorf("not under the first: %s", shape(reversed))
	}
	alone := openThese(a)[0].Volume("data-db")
	hole, holed, _, _, err := alone.Missing(t.Context())
	must(t, err)
	if !holed || hole.Offset != 16*mib || hole.Length != 24*mib {
		t.Errorf("%+v %t", hole, holed)
	}
	checkHoles(t, imaging.Section(alone.Source, 15*mib, 2*mib), func(at int64) bool { return at >= mib })
}

// TestMachinesOfOneImage has two disks with the same UUIDs everywhere: each has
// its own volume, and a second disk goes with the one whose text names it.
func TestMachinesOfOneImage(t *testing.T) {
	files := blanks(t, 17*mib)
	group(t, "root", files, "lvcreate -an -Zn -Wn -l 4 -n var root")
	a := read(t, files[0])
	b := bytes.Clone(a)
	copy(a[mib:], ext4With(t, "first", 16*mib))
	copy(b[mib:], ext4With(t, "second", 16*mib))
	disks := openThese(a, b)
	want := "EX-001 p0 LVM2_member fs=false\nEX-001 root-var logical ext4 fs=true\nEX-002 p0 LVM2_member fs=false\nEX-002 root-var logical ext4 fs=true\n"
	if got := shape(disks); got != want {
		t.Fatalf("got\n%swant\n%s", got, want)
	}
	checkFile(t, disks[:1], [][]byte{a}, 0, "root-var", "first")
	checkFile(t, disks[1:], [][]byte{b}, 0, "root-var", "second")
}

// TestGroupOnArray has a volume group on a striped array, as RHEL makes it.
func TestGroupOnArray(t *testing.T) {
	whole := blanks(t, 40*mib)
	group(t, "rhel", whole, "lvcreate -an -Zn -Wn -l 6 -n root rhel")
	b := read(t, whole[0])
	copy(b[mib:], ext4With(t, "nested", 24*mib))
	legs := stripes(b)
	for _, version := range []string{"1.2", "1.0"} {
		images := [][]byte{raidMember(version, 0xa2, 0, 2, 0, legs[0]), raidMember(version, 0xa2, 0, 2, 1, legs[1])}
		disks := openThese(images...)
		checkFile(t, disks, images, 0, "rhel-root", "nested")
		if n := strings.Count(shape(disks), "rhel-root"); n != 1 {
			t.Errorf("%s: listed %d times:\n%s", version, n, shape(disks))
		}
		v := openThese(images[0])[0].Volume("rhel-root")
		if v == nil {
			t.Fatal("one member alone has the text of the group, and no volume is listed")
		}
		if _, holed, _, _, err := v.Missing(t.Context()); !holed || err != nil {
			t.Errorf("no hole: %v", err)
		}
	}
	mirror := [][]byte{raidMember("1.0", 0xa3, 1, 2, 0, b), raidMember("1.0", 0xa3, 1, 2, 1, b)}
	disks := openThese(mirror...)
	checkFile(t, disks, mirror, 0, "rhel-root", "nested")
	if n := strings.Count(shape(disks), "rhel-root"); n != 1 {
		t.Errorf("mirror: listed %d times:\n%s", n, shape(disks))
	}
}

// TestArrayOnVolumes has an array whose members are logical volumes, and a
// partition table in it.
func TestArrayOnVolumes(t *testing.T) {
	files := blanks(t, 80*mib)
	group(t, "vg", files, "lvcreate -an -Zn -Wn -l 8 -n a vg", "lvcreate -an -Zn -Wn -l 8 -n b vg")
	table := blanks(t, 24*mib)
	run(t, "label: gpt\nstart=2048, size=40960, type=L\n", "sfdisk", "-q", table[0])
	content := read(t, table[0])
	copy(content[mib:], ext4With(t, "deep", 20*mib))
	legs := stripes(content)
	d := read(t, files[0])
	copy(d[mib:], raidMember("1.2", 0xa4, 0, 2, 0, legs[0]))
	copy(d[33*mib:], raidMember("1.2", 0xa4, 0, 2, 1, legs[1]))
	disks := openThese(d)
	checkFile(t, disks, [][]byte{d}, 0, "md4.p1", "deep")
	for _, id := range []string{"p0", "vg-a", "vg-b", "md4"} {
		if v := disks[0].Volume(id); v == nil || v.Err != nil {
			t.Errorf("%s: %+v", id, v)
		}
	}
}

// TestLoop has a volume that says it is the physical volume it lies on, and
// arrays that lie in themselves.
func TestLoop(t *testing.T) {
	files := blanks(t, 60*mib)
	group(t, "snake", files, "lvcreate -an -Zn -Wn -l 12 -n tail snake")
	d := read(t, files[0])
	copy(d[mib:], d[:mib])
	disks := openThese(d)
	if n := strings.Count(shape(disks), "snake-tail"); n != 1 {
		t.Errorf("listed %d times:\n%s", n, shape(disks))
	}
	if v := disks[0].Volume("snake-tail"); !strings.Contains(strings.Join(v.Notes, "\n"), "that it lies in itself") {
		t.Errorf("%v", v.Notes)
	}
	inner := raidMember("1.2", 0xa5, 1, 1, 0, make([]byte, 4*mib))
	for i := range 8 { // each another one
		inner = raidMember("1.2", 0xb0+byte(i), 1, 1, 0, inner)
	}
	same := raidMember("1.2", 0xa6, 1, 1, 0, raidMember("1.2", 0xa6, 1, 1, 0, make([]byte, 4*mib)))
	for _, b := range [][]byte{inner, same} {
		if n := len(openThese(b)[0].Volumes); n > 1+mostRounds {
			t.Errorf("%d volumes", n)
		}
	}
}

// TestKindsThatAreNotRead names snapshots, thin volumes and parity for what
// they are.
func TestKindsThatAreNotRead(t *testing.T) {
	g := &lvm.Group{Name: "vg", UUID: "a"}
	for _, kind := range []string{"snapshot", "thin", "thin-pool", "raid5"} {
		v := logicalVolume(g, &lvm.LV{Name: "x", Kind: kind, Reason: "it is not read"}, nil, false)
		if v.ID != "vg-x" || v.Type != kind || v.Err == nil {
			t.Errorf("%+v", v)
		}
	}
	if v := logicalVolume(g, &lvm.LV{Name: "x", Kind: "thin", Reason: "it is not read", Seqno: 3}, nil, true); v.ID != "vg-x@3" || v.Type != removed || v.Notes[len(v.Notes)-1] != "it was of kind thin" {
		t.Errorf("%+v", v)
	}
}

// FuzzAssemble opens two images that are the members of an array, or are not.
func FuzzAssemble(f *testing.F) {
	small := make([]byte, 256<<10)
	copy(small, "LABELONE")
	for _, version := range []string{"1.0", "1.2"} {
		for _, level := range []int32{-1, 0, 1, 5} {
			a, b := raidMember(version, 1, level, 2, 0, small), raidMember(version, 1, level, 2, 1, small)
			f.Add(a[:4096+512], a[len(a)-8192:], b[:4096+512], b[len(b)-8192:], uint32(len(small)))
		}
	}
	f.Fuzz(func(t *testing.T, head1, tail1, head2, tail2 []byte, size uint32) {
		image := func(head, tail []byte) []byte {
			b := make([]byte, size%(2<<20))
			copy(b, head)
			copy(b[max(0, len(b)-len(tail)):], tail)
			return b
		}
		for _, d := range openThese(image(head1, tail1), image(head2, tail2)) {
			_ = d.Assembly()
			if _, err := d.Owners(t.Context(), []int64{0, 4096, d.Size() - 1}); err != nil {
				t.Fatal(err)
			}
			for _, v := range d.Volumes {
				p := make([]byte, 512)
				if n, err := v.Source.ReadAt(p, v.Source.Size()/2); err == nil && n != len(p) {
					t.Fatalf("%s: %d bytes and no error", v.ID, n)
				}
				imaging.FirstHole(v.Source, 0, v.Source.Size())
			}
		}
	})
}

// TestDecoy has a file system whose superblock stands in the unused sectors of
// a physical volume: both are listed.
func TestDecoy(t *testing.T) {
	files := blanks(t, 41*mib)
	group(t, "real", files, "lvcreate -an -Zn -Wn -l 4 -n data real")
	d := read(t, files[0])
	copy(d[mib:], ext4With(t, "genuine", 16*mib))
	fs := blanks(t, 40*mib)[0]
	run(t, "", "mkfs.ext4", "-q", "-b", "1024", "-N", "16", "-O", "^has_journal", "-E", "resize=60000000", fs)
	decoy := read(t, fs)
	copy(d[1024:4096], decoy[1024:4096])
	copy(d[64<<10:mib], decoy[64<<10:mib])
	disks := openThese(d)
	v := disks[0].Volume("real-data")
	if v == nil || v.FS == nil {
		t.Fatalf("the volume is hidden:\n%s", shape(disks))
	}
	if p := disks[0].Volume("p0"); p.FS == nil || !strings.Contains(strings.Join(p.Notes, "\n"), `a physical volume of the LVM group "real"`) {
		t.Errorf("%q", p.Notes)
	}
}
