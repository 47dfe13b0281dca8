package vmdk_test

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"testing"

	"snapcase/imaging"
	"snapcase/imaging/image/container"
	"snapcase/imaging/image/container/containertest"
	"snapcase/imaging/image/vmdk"
)

var le = binary.LittleEndian

const (
	grain    = 4096
	perTable = 16
)

const descriptor = `# Disk DescriptorFile
version=1
CID=7b1f2a3c
parentCID=ffffffff
createType="%s"
# Extent description
RW %d SPARSE "disk.vmdk"
ddb.adapterType = "ide"
`

// header is that of a sparse extent.
func header(size int, flags uint32, dir uint64) []byte {
	h := make([]byte, 512)
	copy(h, "KDMV")
	le.PutUint32(h[4:], 3)
	le.PutUint32(h[8:], flags|1)
	le.PutUint64(h[12:], uint64(size/512))
	le.PutUint64(h[20:], grain/512)
	le.PutUint64(h[28:], 1)
	le.PutUint64(h[36:], 1)
	le.PutUint32(h[44:], perTable)
	le.PutUint64(h[56:], dir)
	le.PutUint64(h[64:], 8)
	copy(h[73:], "\n \r\n")
	if flags&(1<<16) != 0 {
		h[77] = 1
	}
	return h
}

func pad(b []byte) []byte { return append(b, make([]byte, -len(b)&511)...) }

// stream writes a streamOptimized file as VMware does: the header points to the
// footer. Grains of zeros are not written.
func stream(disk []byte) []byte {
	const flags = 1<<16 | 1<<17
	out := header(len(disk), flags, ^uint64(0))
	out = append(out, fmt.Sprintf(descriptor, "streamOptimized", len(disk)/512)...)
	out = append(out, make([]byte, 8*512-len(out))...)
	grains := (len(disk) + grain - 1) / grain
	var dir []byte
	table := make([]byte, 0, 4*perTable)
	flush := func() {
		if len(table) == 0 {
			return
		}
		m := make([]byte, 512)
		le.PutUint64(m, 4*perTable/512+1)
		le.PutUint32(m[12:], 1)
		out = append(out, m...)
		dir = le.AppendUint32(dir, uint32(len(out)/512))
		out = pad(append(out, table...))
		table = table[:0]
	}
	for i := range grains {
		g := make([]byte, grain)
		copy(g, disk[i*grain:])
		at := uint32(0)
		if bytes.Count(g, []byte{0}) != grain {
			at = uint32(len(out) / 512)
			var z bytes.Buffer
			w := zlib.NewWriter(&z)
			w.Write(g)
			w.Close()
			out = le.AppendUint64(out, uint64(i*grain/512))
			out = le.AppendUint32(out, uint32(z.Len()))
			out = pad(append(out, z.Bytes()...))
		}
		if table = le.AppendUint32(table, at); len(table) == 4*perTable {
			flush()
		}
	}
	flush()
	m := make([]byte, 512)
	le.PutUint64(m, uint64(len(dir)+511)/512)
	le.PutUint32(m[12:], 2)
	out = append(out, m...)
	where := uint64(len(out) / 512)
	out = pad(append(out, dir...))
	m = make([]byte, 512)
	le.PutUint64(m, 1)
	le.PutUint32(m[12:], 3)
	out = append(out, m...)
	out = append(out, header(len(disk), flags, where)...)
	return append(out, make([]byte, 512)...)
}

// sparse writes a monolithicSparse file with both directories.
func sparse(disk []byte) []byte {
	grains := (len(disk) + grain - 1) / grain
	tables := (grains + perTable - 1) / perTable
	out := header(len(disk), 2|4, 0)
	out = append(out, fmt.Sprintf(descriptor, "monolithicSparse", len(disk)/512)...)
	out = append(out, make([]byte, 8*512-len(out))...)
	le.PutUint64(out[48:], 8)
	dirs := [2]int{8 * 512, 0}
	size := len(pad(make([]byte, 4*tables))) + tables*512
	dirs[1] = dirs[0] + size
	le.PutUint64(out[56:], uint64(dirs[1]/512))
	out = append(out, make([]byte, 2*size)...)
	for _, d := range dirs {
		for i := range tables {
			le.PutUint32(out[d+4*i:], uint32((d+len(pad(make([]byte, 4*tables))))/512+i))
		}
	}
	for i := range grains {
		g := make([]byte, grain)
		copy(g, disk[i*grain:])
		e := uint32(1) // zeros
		if bytes.Count(g, []byte{0}) != grain {
			e = uint32(len(out) / 512)
			out = append(out, g...)
		} else if i%2 == 0 {
			e = 0
		}
		for _, d := range dirs {
			t := int(le.Uint32(out[d+4*(i/perTable):])) * 512
			le.PutUint32(out[t+4*(i%perTable):], e)
		}
	}
	return out
}

func open(t *testing.T, b []byte, folder container.Folder) *container.Image {
	t.Helper()
	img, err := vmdk.Open(bytes.NewReader(b), folder)
	if err != nil {
		t.Fatal(err)
	}
	return img
}

func TestRead(t *testing.T) {
	disk := containertest.Disk(1<<20 + 512)
	for name, b := range map[string][]byte{"stream": stream(disk), "sparse": sparse(disk)} {
		img := open(t, b, nil)
		containertest.Same(t, img, disk)
		if len(img.Gaps()) > 0 || len(img.Damage) > 0 {
			t.Errorf("%s: gaps %v, damage %q", name, img.Gaps(), img.Damage)
		}
	}
}

func TestExtents(t *testing.T) {
	disk := containertest.Disk(256 << 10)
	text := "# Disk DescriptorFile\nCID=1\nparentCID=ffffffff\ncreateType=\"custom\"\n" +
		"RW 128 FLAT \"C:\\vm\\a-flat.vmdk\" 3\nRW 128 SPARSE \"b.vmdk\"\nRW 64 ZERO\nRDONLY 192 VMFS \"/vmfs/c.vmdk\" 0\n"
	clear(disk[128<<10 : 160<<10])
	folder := containertest.Folder{
		"a-flat.vmdk": append(make([]byte, 3*512), disk[:64<<10]...),
		"b.vmdk":      sparse(disk[64<<10 : 128<<10]),
		"c.vmdk":      disk[160<<10:],
	}
	containertest.Same(t, open(t, []byte(text), folder), disk)

	folder["c.vmdk"] = folder["c.vmdk"][:10000]
	delete(folder, "b.vmdk")
	img := open(t, []byte(text), folder)
	lost, right := containertest.Damaged(t, img, disk)
	if want := int64(64<<10 + 96<<10 - 10000); !right || lost != want || len(img.Gaps()) != 2 {
		t.Errorf("right %v, %d lost, want %d: %v", right, lost, want, img.Gaps())
	}
	var no *container.UnsupportedError
	if _, err := vmdk.Open(strings.NewReader(text), containertest.Folder{}); !errors.As(err, &no) {
		t.Errorf("without any extent: %v", err)
	}
}

// A stream that lost its end still gives what was written, by its markers.
func TestLostFooter(t *testing.T) {
	disk := containertest.Disk(512 << 10)
	whole := stream(disk)
	for _, n := range []int{len(whole) - 512, len(whole) * 3 / 4, len(whole) / 4} {
		img := open(t, whole[:n], nil)
		lost, right := containertest.Damaged(t, img, disk)
		if !right || len(img.Damage) == 0 || n < len(whole)-512 && lost == 0 || lost == int64(len(disk)) {
			t.Errorf("cut at %d of %d: right %v, %d lost; %q", n, len(whole), right, lost, img.Damage)
		}
	}
}

// A directory that lies past the end is replaced by its copy.
func TestRedundantDirectory(t *testing.T) {
	disk := containertest.Disk(256 << 10)
	b := sparse(disk)
	dir := le.Uint64(b[56:]) * 512
	for i := range 4 {
		le.PutUint32(b[dir+4*uint64(i):], 1<<30)
	}
	containertest.Same(t, open(t, b, nil), disk)
}

// A directory that was wiped: the copy has the grains, and they are listed.
func TestWipedDirectory(t *testing.T) {
	disk := containertest.Disk(256 << 10)
	b := sparse(disk)
	dir := le.Uint64(b[56:]) * 512
	clear(b[dir : dir+512])
	img := open(t, b, nil)
	got := make([]byte, len(disk))
	if _, err := img.ReadAt(got, 0); err != nil || !bytes.Equal(got, disk) {
		t.Errorf("%v, or bytes differ", err)
	}
	if gaps := img.Gaps(); len(gaps) == 0 || !strings.Contains(gaps[0].Reason, "only the copy") {
		t.Errorf("gaps %v", gaps)
	}
}

func TestBroken(t *testing.T) {
	disk := containertest.Disk(200 << 10)
	for _, whole := range [][]byte{stream(disk), sparse(disk)} {
		containertest.Broken(whole, func(what string, f []byte) {
			img, err := vmdk.Open(bytes.NewReader(f), nil)
			containertest.Exercise(t, img, err)
			if err == nil && strings.HasPrefix(what, "cut") {
				if _, right := containertest.Damaged(t, img, disk); !right {
					t.Errorf("%s: bytes are wrong and no gap says so; %q", what, img.Damage)
				}
			}
		})
	}
}

func FuzzOpen(f *testing.F) {
	disk := make([]byte, 40<<10)
	copy(disk[9000:], "some text")
	f.Add(stream(disk))
	f.Add(sparse(disk))
	f.Add(stream(disk)[:5000])
	f.Add([]byte("# Disk DescriptorFile\nparentCID=1\nparentFileNameHint=\"flat\"\nRW 8 FLAT \"flat\" 1\nRW 80 SPARSE \"sparse\"\nRW 9 ZERO\n"))
	f.Add([]byte("# Disk DescriptorFile\nRW 999999999999 FLAT \"flat\" 99999999999\nRW 9223372036854775807 ZERO\n"))
	folder := containertest.Folder{"flat": disk, "sparse": sparse(disk)}
	f.Fuzz(func(t *testing.T, b []byte) {
		img, err := vmdk.Open(bytes.NewReader(b), folder)
		containertest.Exercise(t, img, err)
	})
}

func BenchmarkRead(b *testing.B) {
	disk := containertest.Disk(32 << 20)
	img, err := vmdk.Open(bytes.NewReader(stream(disk)), nil)
	if err != nil {
		b.Fatal(err)
	}
	p := make([]byte, 1<<20)
	b.SetBytes(int64(len(disk)))
	for b.Loop() {
		for at := int64(0); at < img.Size(); at += int64(len(p)) {
			if _, err := img.ReadAt(p, at); err != nil {
				b.Fatal(err)
			}
		}
	}
}

var _ imaging.Source = (*container.Image)(nil)
