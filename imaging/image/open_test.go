package image_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"snapcase/imaging/image"
	"snapcase/imaging/image/container/containertest"
)

// The content tells the format, whatever the name is.
func TestNamesProveNothing(t *testing.T) {
	want := containertest.Disk(2<<20 + 512)
	for _, name := range []string{"disk.E01", "disk.qcow2", "disk.vmdk", "disk.vhd", "disk.zst", "disk.001", "disk"} {
		c := sound(t, put(t, t.TempDir(), name, want), "raw", want)
		if len(c.Tried) < 6 || len(c.Segments) != 1 || len(c.Stored) != 0 {
			t.Errorf("%s: tried %q, segments %v", name, c.Tried, c.Segments)
		}
		sound(t, put(t, t.TempDir(), name, compress(t, want)), "zst", want)
	}
}

func TestSplit(t *testing.T) {
	want := containertest.Disk(1<<20 + 512)
	dir := t.TempDir()
	for i := range 5 {
		put(t, dir, fmt.Sprintf("disk.%03d", i), want[i*250_000:min((i+1)*250_000, len(want))])
	}
	for i := range 5 {
		c := sound(t, filepath.Join(dir, fmt.Sprintf("disk.%03d", i)), "split", want)
		if len(c.Segments) != 5 || filepath.Base(c.Segments[0]) != "disk.000" || filepath.Base(c.Segments[4]) != "disk.004" {
			t.Errorf("segments %v", c.Segments)
		}
	}
	if err := os.Remove(filepath.Join(dir, "disk.002")); err != nil {
		t.Fatal(err)
	}
	c := openAny(t, filepath.Join(dir, "disk.000"))
	lost, right := containertest.Damaged(t, c, want)
	if gaps := c.Gaps(); !right || lost != 250_000 || len(gaps) != 1 || gaps[0].Offset != 500_000 || gaps[0].Reason != "piece 2 is missing" {
		t.Errorf("right %v, gaps %v", right, gaps)
	}
}

// A container that was cut into pieces is joined first; what a missing piece
// takes from it is known by its place in the disk.
func TestContainerInSplit(t *testing.T) {
	want := containertest.Disk(6<<20 + 512)
	packed := compress(t, want)
	dir := t.TempDir()
	n := len(packed)/4 + 1
	for i := range 4 {
		put(t, dir, fmt.Sprintf("disk.zst.%03d", i+1), packed[i*n:min((i+1)*n, len(packed))])
	}
	first := filepath.Join(dir, "disk.zst.001")
	c := sound(t, first, "zst in split", want)
	if len(c.Segments) != 4 {
		t.Errorf("segments %v", c.Segments)
	}
	if err := os.Remove(filepath.Join(dir, "disk.zst.002")); err != nil {
		t.Fatal(err)
	}
	c = openAny(t, first)
	lost, right := containertest.Damaged(t, c, want)
	if !right || lost < 1<<20 || lost > 4<<20 || !strings.Contains(strings.Join(c.Damage, "\n"), "piece 2 is missing") {
		t.Errorf("right %v, %d lost, damage %q", right, lost, c.Damage)
	}
}

// Files with numbers that are images of their own are not joined, and that they
// lie there is said.
func TestNotPieces(t *testing.T) {
	dir := t.TempDir()
	want := containertest.Disk(300_000)
	put(t, dir, "disk.001", compress(t, want))
	put(t, dir, "disk.002", compress(t, want[:1000]))
	c := openAny(t, filepath.Join(dir, "disk.001"))
	containertest.Same(t, c, want)
	if c.Format != "zst" || len(c.Segments) != 1 || len(c.Damage) != 1 || !strings.Contains(c.Damage[0], "not joined") {
		t.Errorf("%s, segments %v, damage %q", c.Format, c.Segments, c.Damage)
	}
}

// A name in the evidence must not bring other files of the machine in.
func TestNamesLeadNowhere(t *testing.T) {
	dir := t.TempDir()
	secret := put(t, t.TempDir(), "secret", bytes.Repeat([]byte("key!"), 128))
	if err := os.Symlink(secret, filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "folder"), 0o700); err != nil {
		t.Fatal(err)
	}
	put(t, dir, "good", bytes.Repeat([]byte("good"), 128))
	for _, name := range []string{"link", "folder", secret, "../" + filepath.Base(filepath.Dir(secret)) + "/secret", ".", "..", "", "a\x00b"} {
		text := "# Disk DescriptorFile\nparentCID=ffffffff\nRW 1 FLAT \"good\" 0\nRW 1 FLAT \"" + name + "\" 0\n"
		c, err := image.OpenAny(put(t, dir, "disk.vmdk", []byte(text)))
		if err != nil {
			t.Errorf("%q: %v", name, err)
			continue
		}
		p := make([]byte, c.Size())
		if _, err := c.ReadAt(p, 0); err != nil || bytes.Contains(p, []byte("key!")) {
			t.Errorf("%q: %v, %q", name, err, p)
		}
		if gaps := c.Gaps(); name != "a\x00b" && (len(gaps) != 1 || gaps[0].Offset != 512) {
			t.Errorf("%q: gaps %v", name, gaps)
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
}

// What begins as a container and cannot be opened as one is raw, and loudly so:
// a forged first sector must not hide a disk.
func TestForgedStart(t *testing.T) {
	want := containertest.Disk(1 << 20)
	for _, magic := range []string{"QFI\xfb\x00\x00\x00\x03", "KDMV", "vhdxfile", "EVF\x09\x0d\x0a\xff\x00\x01\x01\x00\x00\x00", "conectix", "# Disk DescriptorFile\n"} {
		copy(want, make([]byte, 4096))
		copy(want, magic)
		c := openAny(t, put(t, t.TempDir(), "disk.raw", want))
		containertest.Same(t, c, want)
		if c.Format != "raw" || len(c.Damage) != 1 || !strings.Contains(c.Damage[0], "its bytes are given as they are") {
			t.Errorf("%q: %s, damage %q", magic, c.Format, c.Damage)
		}
	}
}

func TestNamedContainers(t *testing.T) {
	vdi := make([]byte, 512)
	copy(vdi, "<<< Oracle VM VirtualBox Disk Image >>>\n")
	copy(vdi[0x40:], "\x7f\x10\xda\xbe")
	for want, b := range map[string][]byte{
		"gzip":   []byte("\x1f\x8b\x08\x00aaaaaaaaaaaaaa"),
		"xz":     []byte("\xfd7zXZ\x00aaaa"),
		"VDI":    vdi,
		"Ex01":   append([]byte("EVF2\x0d\x0a\x81\x00"), make([]byte, 600)...),
		"AFF":    []byte("AFF10\r\n\x00aaaa"),
		"UDIF":   append(make([]byte, 1000), append([]byte("koly"), make([]byte, 508)...)...),
		"COWD":   []byte("COWDaaaa"),
		"seek t": []byte("\x28\xb5\x2f\xfdaaaa"),
	} {
		var no *image.UnsupportedError
		if _, err := image.OpenAny(put(t, t.TempDir(), "disk.raw", b)); !errors.As(err, &no) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
}

// An image that names itself, or another that names it, as what it stands upon.
func TestCircle(t *testing.T) {
	dir := t.TempDir()
	text := "# Disk DescriptorFile\nparentCID=1\nparentFileNameHint=\"%s\"\nRW 1 ZERO\n"
	a := put(t, dir, "a.vmdk", fmt.Appendf(nil, text, "b.vmdk"))
	put(t, dir, "b.vmdk", fmt.Appendf(nil, text, "a.vmdk"))
	var no *image.UnsupportedError
	if _, err := image.OpenAny(a); !errors.As(err, &no) || !strings.Contains(err.Error(), "circle") {
		t.Errorf("%v", err)
	}
}

func TestOpenAnyRefuses(t *testing.T) {
	dir := t.TempDir()
	if _, err := image.OpenAny(dir); err == nil {
		t.Error("a folder was opened")
	}
	if _, err := image.OpenAny(filepath.Join(dir, "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%v", err)
	}
	c := openAny(t, put(t, dir, "empty", nil))
	if c.Size() != 0 || c.Format != "raw" {
		t.Errorf("%d bytes of %s", c.Size(), c.Format)
	}
}

// A device is what it is, whatever its first sector looks like.
func TestOpenAnyDevice(t *testing.T) {
	want := containertest.Disk(1 << 20)
	copy(want, "QFI\xfb\x00\x00\x00\x03")
	out, err := exec.Command("losetup", "--read-only", "--show", "-f", put(t, t.TempDir(), "disk.raw", want)).Output()
	if err != nil {
		t.Skip("needs root and loop devices")
	}
	dev := strings.TrimSpace(string(out))
	defer exec.Command("losetup", "-d", dev).Run()
	c := sound(t, dev, "raw", want)
	if !c.Device || c.SectorSize != 512 {
		t.Errorf("device %v, sector %d", c.Device, c.SectorSize)
	}
}

func TestNested(t *testing.T) {
	want := containertest.Disk(100_000)
	b := compress(t, compress(t, compress(t, want)))
	sound(t, put(t, t.TempDir(), "disk", b), "zst in zst in zst", want)
	var no *image.UnsupportedError
	if _, err := image.OpenAny(put(t, t.TempDir(), "disk", compress(t, compress(t, b)))); !errors.As(err, &no) {
		t.Errorf("%v", err)
	}
}

// The corpus, where there is one: the disks must have the hashes of its truth.
func TestCorpus(t *testing.T) {
	root := os.Getenv("SNAPCASE_CORPUS")
	if root == "" {
		t.Skip("SNAPCASE_CORPUS names no corpus")
	}
	const ext2 = "a6c2f0e39afe6c6ab432ca5465349fcefe8dc944398e97b2d957d3f89dbb5d80"
	for name, want := range map[string]string{
		"ext2.E01":                     ext2,
		"ext2.splitraw.000":            ext2,
		"ext2.splitraw.001":            ext2,
		"ext2.vmdk":                    ext2,
		"partition_image.E01":          "70cf9ee5abeb23ba4b7cca727acf5e8d57741dc666f83e83843ffda0bad65e88",
		"test.ntfs.dd.E01":             "4efccac3f92a14da89ae9bca7231644ba25c65c09772c1f06b4e490e691f28ca",
		"tsk-image.E01":                "0add63db3dc87ee60438e0fb94b526462502ba9f87e7a78bb0efe858668b1108",
		"tsk-imageformat_mmls_1.E01":   "e7eb6fca46bebeedc4af4cc5bfe9675691bab8ce471315317b561a28899e7902",
		"tsk-image.vmdk":               "854c3db1c4a07a241e2ed9fbd8892adf2adc662c7862a75deed26f3483f414c9",
		"plaso-image.qcow2":            "a9c0220b1dadd1812fc4bbe137f495d2c3b88c7b33b5a4de545d201fd31b3bc0",
		"vmdk-monolith.img":            "de2f256064a0af797747c2b97505dc0b9f3df0de4f489eac731c23ae9ca9cc31",
		"vmdk-streamoptimized.img":     "de2f256064a0af797747c2b97505dc0b9f3df0de4f489eac731c23ae9ca9cc31",
		"dfvfs-image.vhd":              "c6db12a7db548e193c29420c1b4533e4708b20c5033db5cc29ef075d48316d25",
		"dfvfs-image-differential.vhd": "c6db12a7db548e193c29420c1b4533e4708b20c5033db5cc29ef075d48316d25",
	} {
		c := openAny(t, filepath.Join(root, "images", "containers", name))
		if got := hash(t, c); got != want || len(c.Gaps()) > 0 {
			t.Errorf("%s: %s, want %s; gaps %v", name, got, want, c.Gaps())
		}
		if md := c.Stored["md5"]; md != "" && md != hashMD5(t, c) {
			t.Errorf("%s: stored %s", name, md)
		}
	}
}
