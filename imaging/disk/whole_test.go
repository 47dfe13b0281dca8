package disk

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"snapcase/imaging/filesystem"
	"snapcase/imaging/filesystem/fstest"
)

// run starts a tool and gives what it prints.
func run(t *testing.T, stdin string, args ...string) {
	t.Helper()
	if _, err := exec.LookPath(args[0]); err != nil {
		t.Skipf("needs %s", args[0])
	}
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Stdin = strings.NewReader(stdin)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%q: %v: %s", args, err, out)
	}
}

// TestWhole makes a disk as a cloud instance has it, and asks for the owners of
// bytes that are known by their content.
func TestWhole(t *testing.T) {
	dir := t.TempDir()
	image, tree := filepath.Join(dir, "image"), filepath.Join(dir, "tree")
	texts := map[string]string{}
	for _, name := range []string{"ext-live", "fat-live", "fat-gone"} {
		texts[name] = strings.Repeat("content of "+name+"\n", 500)
	}
	if err := os.MkdirAll(filepath.Join(tree, "etc"), 0o755); err != nil {
		t.Fatal(err)
	}
	for path, text := range map[string]string{
		filepath.Join(tree, "etc", "ext-live"): texts["ext-live"], filepath.Join(dir, "fat-live"): texts["fat-live"],
		filepath.Join(dir, "fat-gone"): texts["fat-gone"], image: "",
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Truncate(image, 128*mib); err != nil {
		t.Fatal(err)
	}
	run(t, "label: gpt\n14: start=2048, size=8192, type=21686148-6449-6E6F-744E-656564454649\n15: size=65536, type=U\n1: size=131072, type=L\n", "sfdisk", "-q", image)
	run(t, "", "mkfs.fat", "--offset", "10240", "-F16", "-n", "UEFI", image, "32768")
	run(t, "", "mkfs.ext4", "-q", "-L", "rootfs", "-d", tree, "-E", "offset=38797312", image, "65536k")
	at := image + "@@5242880"
	run(t, "", "mcopy", "-i", at, filepath.Join(dir, "fat-live"), filepath.Join(dir, "fat-gone"), "::/")
	run(t, "", "mdel", "-i", at, "::/fat-gone")

	b, err := os.ReadFile(image)
	if err != nil {
		t.Fatal(err)
	}
	d, err := Open(fstest.Bytes(b))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, v := range d.Volumes {
		if v.Err != nil {
			t.Errorf("%s: %v", v.ID, v.Err)
		}
		got = append(got, v.ID+" "+v.Type+" "+v.FSType+" "+v.FSLabel)
	}
	if s := strings.Join(got, ", "); s != "u1 unallocated  , p14 bios  , p15 efi vfat UEFI, p1 linux ext4 rootfs, u2 unallocated  " {
		t.Errorf("volumes: %s", s)
	}
	for name, text := range texts {
		i := bytes.Index(b, []byte(text))
		if i < 0 {
			t.Fatalf("%s is not in the image", name)
		}
		own, err := d.Owners(context.Background(), []int64{int64(i), int64(i) + 5000, int64(i) + int64(len(text))})
		if err != nil {
			t.Fatal(err)
		}
		v := d.Volume(own[0].Volume)
		if v == nil || v.FS == nil || own[0].Kind != filesystem.OwnContent || own[0].FileOffset != 0 || own[1].FileOffset != 5000 || !own[2].Slack {
			t.Fatalf("%s: %+v", name, own)
		}
		if (own[0].Status == filesystem.Deleted) != (name == "fat-gone") {
			t.Errorf("%s is %s", name, own[0].Status)
		}
		src, err := v.FS.Open(own[0].Ref)
		if err != nil {
			t.Fatal(err)
		}
		p := make([]byte, src.Size())
		if _, err := src.ReadAt(p, 0); string(p) != text {
			t.Errorf("%s: the owner has other content: %v", name, err)
		}
	}
	checkAnswers(t, d, int64(len(b)))
}

// checkAnswers demands that every byte lies in a volume or a table. It asks
// for one in 4,099.
func checkAnswers(t *testing.T, d *Disk, size int64) {
	t.Helper()
	var offsets []int64
	for off := int64(0); off < size; off += 4099 {
		offsets = append(offsets, off)
	}
	own, err := d.Owners(context.Background(), offsets)
	if err != nil {
		t.Fatal(err)
	}
	kinds := map[filesystem.OwnerKind]int{}
	for i, o := range own {
		if o.Volume == "" && o.Region == "" {
			t.Errorf("byte %d has no answer", offsets[i])
		}
		if v := d.Volume(o.Volume); v != nil && v.FS != nil && o.Kind == 0 && o.Region == "" {
			t.Errorf("byte %d of %s has no owner", offsets[i], o.Volume)
		}
		kinds[o.Kind]++
	}
	t.Logf("bytes by kind of owner: %v", kinds)
}
