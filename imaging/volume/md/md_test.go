package md

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"snapcase/imaging"
)

// memory is bytes as a source.
type memory []byte

func (m memory) Size() int64 { return int64(len(m)) }

func (m memory) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 || off >= int64(len(m)) {
		return 0, io.EOF
	}
	n := copy(p, m[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

const (
	deviceLen = 1 << 20
	dataAt    = 64 << 10
	dataLen   = 768 << 10
	chunk     = 64 << 10
)

// device is a member with a 1.x superblock at a byte; each 4 bytes of its data
// tell its role and their place.
func device(version string, level, devices, role int, events uint64) memory {
	d := make(memory, deviceLen)
	for i := dataAt; i < dataAt+dataLen; i += 4 {
		binary.BigEndian.PutUint32(d[i:], uint32(role+1)<<24|uint32(i-dataAt))
	}
	at := map[string]int{"1.0": deviceLen - 8192, "1.1": 0, "1.2": 4096}[version]
	p := d[at:]
	le.PutUint32(p, magic)
	le.PutUint32(p[4:], 1)
	copy(p[16:], bytes.Repeat([]byte{0xab}, 16))
	copy(p[32:], "host:data")
	le.PutUint64(p[64:], 1700000000)
	le.PutUint32(p[72:], uint32(level))
	le.PutUint64(p[80:], dataLen/sector)
	le.PutUint32(p[88:], chunk/sector)
	le.PutUint32(p[92:], uint32(devices))
	le.PutUint64(p[128:], dataAt/sector)
	le.PutUint64(p[136:], dataLen/sector)
	le.PutUint64(p[144:], uint64(at/sector))
	le.PutUint32(p[160:], uint32(role))
	p[168] = byte(role + 1)
	le.PutUint64(p[192:], 1700000001)
	le.PutUint64(p[200:], events)
	le.PutUint64(p[208:], math.MaxUint64)
	le.PutUint32(p[220:], uint32(devices))
	for i := range devices {
		le.PutUint16(p[256+2*i:], uint16(i))
	}
	seal(p)
	return d
}

// seal writes the checksum of a 1.x superblock.
func seal(p []byte) {
	le.PutUint32(p[216:], 0)
	sum := uint64(0)
	n := 256 + 2*int(le.Uint32(p[220:]))
	for i := 0; i+4 <= n; i += 4 {
		sum += uint64(le.Uint32(p[i:]))
	}
	if n%4 != 0 {
		sum += uint64(le.Uint16(p[n-2:]))
	}
	le.PutUint32(p[216:], uint32(sum)+uint32(sum>>32))
}

// old is a member with a 0.90 superblock.
func old(order binary.ByteOrder, level, devices, role int) memory {
	d := make(memory, deviceLen)
	for i := 0; i < deviceLen-65536; i += 4 {
		binary.BigEndian.PutUint32(d[i:], uint32(role+1)<<24|uint32(i))
	}
	p := d[deviceLen-65536:]
	put := func(i int, v uint32) { order.PutUint32(p[4*i:], v) }
	for i, v := range map[int]uint32{
		0: magic, 2: 90, 5: 0x11111111, 6: 1700000000, 7: uint32(level), 8: (deviceLen - 65536) / 1024, 9: uint32(devices), 10: uint32(devices),
		13: 0x22222222, 14: 0x33333333, 15: 0x44444444, 32: 1700000001, 33: 1, 34: uint32(devices), 35: uint32(devices), 65: chunk,
		992: uint32(role), 995: uint32(role), 996: 6,
	} {
		put(i, v)
	}
	if order == le {
		put(39, 7)
	} else {
		put(40, 7)
	}
	for i := range devices {
		put(128+32*i, uint32(i))
		put(128+32*i+3, uint32(i))
		put(128+32*i+4, 6)
	}
	sum := uint64(0)
	for i := range superBytes / 4 {
		sum += uint64(order.Uint32(p[4*i:]))
	}
	put(38, uint32(sum)+uint32(sum>>32))
	return d
}

func scan(t *testing.T, at int, sources ...imaging.Source) *Array {
	t.Helper()
	all, err := Scan(sources)
	if err != nil || at >= len(all) {
		t.Fatalf("%d arrays, %v", len(all), err)
	}
	return &all[at]
}

// where is the role and the place in the member's data of a byte.
func where(t *testing.T, a *Array, off int64) (role int, at int64) {
	t.Helper()
	if a.Source == nil {
		t.Fatalf("no source: %s", a.Reason)
	}
	var p [4]byte
	if _, err := a.Source.ReadAt(p[:], off); err != nil && !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	n := binary.BigEndian.Uint32(p[:])
	return int(n>>24) - 1, int64(n & 0xffffff)
}

// placed demands that a byte of the array lies where Locate finds it again.
func placed(t *testing.T, a *Array, at int64) {
	t.Helper()
	if source, off, ok := a.Place(at); ok {
		if back, found := a.Locate(source, off); !found || back != at {
			t.Errorf("byte %d lies at byte %d of source %d, which is byte %d", at, off, source, back)
		}
	}
}

// checkMaps demands that Locate is the way back of a read.
func checkMaps(t *testing.T, a *Array, sources ...imaging.Source) {
	t.Helper()
	n := 0
	for i, src := range sources {
		for off := int64(0); off < src.Size(); off += 4096 {
			at, ok := a.Locate(i, off)
			if !ok {
				continue
			}
			n++
			var x, y [4]byte
			src.ReadAt(x[:], off)
			a.Source.ReadAt(y[:], at)
			if x[1] != y[1] || x[2] != y[2] || x[3] != y[3] || x != y && !a.layout.mirror {
				t.Fatalf("byte %d of source %d is not byte %d: %x %x", off, i, at, x, y)
			}
			placed(t, a, at)
		}
	}
	if n < int(a.Size/4096) {
		t.Errorf("%d parts map back", n)
	}
}

func TestMirror(t *testing.T) {
	for _, version := range []string{"1.0", "1.1", "1.2"} {
		x, y := device(version, 1, 2, 0, 9), device(version, 1, 2, 1, 9)
		a := scan(t, 0, x, y)
		if a.Version != version || a.Level != "raid1" || a.Name != "host:data" || a.UUID != "abababab:abababab:abababab:abababab" || a.Size != dataLen || a.Damage != "" || len(a.Members) != 2 {
			t.Errorf("%+v", a)
		}
		if role, at := where(t, a, 5000); role != 0 || at != 5000 {
			t.Errorf("%s: member %d byte %d", version, role, at)
		}
		checkMaps(t, a, x, y)
		if a = scan(t, 0, y); a.Damage != "" {
			t.Errorf("one member: %q", a.Damage)
		}
		if role, _ := where(t, a, 0); role != 1 {
			t.Errorf("one member: %d", role)
		}
		stale := device(version, 1, 2, 0, 3)
		if role, _ := where(t, scan(t, 0, stale, y), 0); role != 1 {
			t.Error("a member that is behind is read")
		}
		if a = scan(t, 0, stale, y); a.Members[0].State != "stale" {
			t.Errorf("%+v", a.Members)
		}
		cut := imaging.Section(y, 0, deviceLen-100<<10)
		if version != "1.0" {
			if role, _ := where(t, scan(t, 0, cut, x), 0); role != 0 {
				t.Error("a cut member is read although a whole one is there")
			}
		}
	}
}

func TestStates(t *testing.T) {
	set := func(change func(p []byte)) memory {
		d := device("1.2", 1, 2, 0, 9)
		change(d[4096:])
		seal(d[4096:])
		return d
	}
	for want, d := range map[string]memory{
		"spare":       set(func(p []byte) { le.PutUint16(p[256:], 0xffff) }),
		"faulty":      set(func(p []byte) { le.PutUint16(p[256:], 0xfffe) }),
		"rebuilding":  set(func(p []byte) { le.PutUint32(p[8:], featRecovery) }),
		"replacement": set(func(p []byte) { le.PutUint32(p[8:], featReplacement) }),
	} {
		a := scan(t, 0, d)
		if a.Members[0].State != want || a.Source != nil || a.Reason == "" {
			t.Errorf("%s: %+v", want, a)
		}
	}
	if a := scan(t, 0, set(func(p []byte) { le.PutUint64(p[208:], 8) })); !strings.Contains(a.Damage, "in step up to byte 4096") {
		t.Errorf("damage %q", a.Damage)
	}
	if a := scan(t, 0, set(func(p []byte) { le.PutUint32(p[8:], featReshape) })); !strings.Contains(a.Reason, "reshaped") {
		t.Errorf("reason %q", a.Reason)
	}
	d := device("1.2", 1, 2, 0, 9)
	d[4096+40] ^= 1
	if a := scan(t, 0, d); !strings.HasPrefix(a.Members[0].Damage, "csum: ") {
		t.Errorf("%+v", a.Members)
	}
	for _, level := range []int{4, 5, 6, 10} {
		if a := scan(t, 0, device("1.2", level, 4, 0, 9)); a.Source != nil || a.Reason == "" || a.Level != fmt.Sprintf("raid%d", level) {
			t.Errorf("%+v", a)
		}
	}
}

func TestStriped(t *testing.T) {
	x, y, z := device("1.2", 0, 3, 0, 0), device("1.2", 0, 3, 1, 0), device("1.2", 0, 3, 2, 0)
	a := scan(t, 0, z, x, y)
	if a.Size != 3*dataLen || a.Damage != "" {
		t.Errorf("%+v", a)
	}
	for _, c := range []struct {
		off  int64
		role int
		at   int64
	}{{0, 0, 0}, {chunk, 1, 0}, {2*chunk + 4, 2, 4}, {3 * chunk, 0, chunk}, {3*dataLen - 4, 2, dataLen - 4}} {
		if role, at := where(t, a, c.off); role != c.role || at != c.at {
			t.Errorf("byte %d: member %d byte %d", c.off, role, at)
		}
	}
	checkMaps(t, a, z, x, y)
	a = scan(t, 0, x, z)
	if want := (Gap{Size: 3 * dataLen, Device: 1, Devices: 3, What: "member 1 is not among the sources"}); len(a.Gaps) != 1 || a.Gaps[0] != want {
		t.Errorf("gaps %+v", a.Gaps)
	}
	if role, _ := where(t, a, chunk); role != -1 {
		t.Error("the missing member is not zeros")
	}
	if role, _ := where(t, a, 2*chunk); role != 2 {
		t.Error("what stands behind the gap is lost")
	}
}

func TestLinear(t *testing.T) {
	x, y := device("1.2", -1, 2, 0, 0), device("1.2", -1, 2, 1, 0)
	a := scan(t, 0, y, x)
	if role, at := where(t, a, dataLen+8); a.Size != 2*dataLen || role != 1 || at != 8 {
		t.Errorf("%d bytes, member %d byte %d", a.Size, role, at)
	}
	checkMaps(t, a, y, x)
	if a = scan(t, 0, x); a.Size != dataLen || !strings.Contains(a.Damage, "member 1 and what follows") {
		t.Errorf("%+v", a)
	}
	if a = scan(t, 0, y); a.Source != nil {
		t.Errorf("%+v", a)
	}
}

func TestOldVersion(t *testing.T) {
	for _, order := range []binary.ByteOrder{le, binary.BigEndian} {
		x, y := old(order, 1, 2, 0), old(order, 1, 2, 1)
		a := scan(t, 0, x, y)
		if a.Version != "0.90" || a.Level != "raid1" || a.UUID != "11111111:22222222:33333333:44444444" || a.Members[0].Events != 7 || a.Damage+a.Members[0].Damage != "" {
			t.Errorf("%+v", a)
		}
		if role, at := where(t, a, 100); role != 0 || at != 100 {
			t.Errorf("member %d byte %d", role, at)
		}
		checkMaps(t, a, x, y)
		a = scan(t, 0, old(order, 0, 2, 0), old(order, 0, 2, 1))
		if role, at := where(t, a, chunk+4); role != 1 || at != 4 {
			t.Errorf("raid0: member %d byte %d", role, at)
		}
	}
}

func TestCopies(t *testing.T) {
	x, y := device("1.2", 0, 2, 0, 0), device("1.2", 0, 2, 1, 0)
	later := slices.Clone(x)
	later[dataAt+3] = 77
	all, err := Scan([]imaging.Source{x, y, later})
	if err != nil || len(all) != 2 {
		t.Fatalf("%d arrays, %v", len(all), err)
	}
	for i, want := range []byte{0, 77} {
		var p [4]byte
		if all[i].Source.ReadAt(p[:], 0); p[3] != want {
			t.Errorf("copy %d: %x", i, p)
		}
	}
}

// TestToolAgrees lets mdadm read what the tests make.
func TestToolAgrees(t *testing.T) {
	if _, err := exec.LookPath("mdadm"); err != nil {
		t.Skip("mdadm is not installed")
	}
	for name, d := range map[string]memory{
		"1.0": device("1.0", 1, 2, 1, 9), "1.1": device("1.1", 0, 3, 2, 9), "1.2": device("1.2", -1, 2, 0, 9), "0.90": old(le, 1, 2, 1),
	} {
		path := filepath.Join(t.TempDir(), "member")
		if err := os.WriteFile(path, d, 0o600); err != nil {
			t.Fatal(err)
		}
		out, err := exec.Command("mdadm", "--examine", path).CombinedOutput()
		if err != nil {
			t.Fatalf("mdadm: %v: %s", err, out)
		}
		a := scan(t, 0, d)
		text := string(out)
		for _, want := range []string{"- correct", "UUID : " + a.UUID, "Raid Level : " + a.Level, fmt.Sprintf("Events : %d", a.Members[0].Events)} {
			if name == "0.90" && strings.HasPrefix(want, "Events") {
				want = "Events : 7"
			}
			if !strings.Contains(text, want) {
				t.Errorf("%s: mdadm does not say %q:\n%s", name, want, text)
			}
		}
		if v := a.Version; v != name || a.Members[0].State != "active" {
			t.Errorf("%s: %+v", name, a)
		}
	}
}

func exercise(t *testing.T, sources ...imaging.Source) {
	all, err := Scan(sources)
	if err != nil {
		t.Fatal(err)
	}
	p := make([]byte, 5000)
	for i := range all {
		a := &all[i]
		if a.Source == nil {
			if a.Reason == "" {
				t.Error("neither source nor reason")
			}
			continue
		}
		for _, off := range []int64{0, a.Size / 2, a.Size - 100} {
			if off >= 0 && off < a.Size {
				if n, err := a.Source.ReadAt(p, off); n == 0 || err != nil && !errors.Is(err, io.EOF) {
					t.Errorf("at %d of %d: %d, %v", off, a.Size, n, err)
				}
			}
		}
		a.Locate(0, dataAt)
	}
}

func TestDamageIsSurvived(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for _, version := range []string{"1.0", "1.1", "1.2", "0.90"} {
		for i := range 200 {
			level := []int{1, 0, -1}[i%3]
			x := old(le, level, 2, 0)
			at := deviceLen - 65536
			if version != "0.90" {
				x = device(version, level, 2, 0, 4)
				at = map[string]int{"1.0": deviceLen - 8192, "1.2": 4096}[version]
			}
			for range 1 + i%9 {
				x[at+8+r.IntN(260)] ^= 1 << r.IntN(8)
			}
			exercise(t, x, device("1.2", level, 2, 1, 4))
			exercise(t, imaging.Section(x, 0, int64(r.IntN(deviceLen))))
		}
	}
}

func TestCorpus(t *testing.T) {
	dir := os.Getenv("SNAPCASE_CORPUS")
	if dir == "" {
		t.Skip("needs SNAPCASE_CORPUS, the folder of the test corpus")
	}
	b, err := exec.Command("xz", "-dc", filepath.Join(dir, "images/blkid/mdraid-1.img.xz")).Output()
	if err != nil {
		t.Skipf("xz: %v", err)
	}
	a := scan(t, 0, memory(b))
	if a.UUID != "77e61baf:c0b5d7d0:39cf575b:64d4878c" || a.Name != "troy.t-8ch.de:0" || a.Version != "1.2" || a.Level != "raid0" || a.Size != 8<<20 || a.Damage+a.Members[0].Damage != "" {
		t.Errorf("%+v", a)
	}
}

func FuzzSuper(f *testing.F) {
	f.Add([]byte(device("1.2", 0, 2, 0, 4)[4096:4096+512]), uint32(4096))
	f.Add([]byte(device("1.1", -1, 2, 1, 4)[:512]), uint32(0))
	f.Add([]byte(old(le, 1, 2, 0)[deviceLen-65536:][:superBytes]), uint32(deviceLen-65536))
	for _, a := range [][3]int{{5, 2, 2}, {5, 1, 3}, {6, 2, 3}, {10, 0x102, 2}, {10, 0x201, 3}, {10, 0x10201, 2}} {
		f.Add([]byte(inTurns(a[0], a[1], a[2], nil)[0][4096:4096+512]), uint32(4096))
	}
	f.Fuzz(func(t *testing.T, p []byte, at uint32) {
		d := make(memory, deviceLen)
		at %= deviceLen
		copy(d[at:], p)
		exercise(t, d)
		if at > deviceLen-superBytes || le.Uint32(d[at+220:]) > 1000 {
			return
		}
		other := slices.Clone(d) // the member beside it, with both checksums right
		other[at+160] ^= 1
		other[at+168] ^= 1
		seal(d[at:])
		seal(other[at:])
		exercise(t, d, other)
	})
}
