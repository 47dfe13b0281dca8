package disk

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"testing"

	"snapcase/imaging"
	"snapcase/imaging/filesystem"
	"snapcase/imaging/filesystem/fstest"
)

const mib = 1 << 20

// mbr makes an image with partitions of type 83, in sectors.
func mbr(sectors int, parts ...[2]int) []byte {
	b := make([]byte, sectors*512)
	for i, p := range parts {
		e := b[446+16*i:]
		e[4] = 0x83
		le.PutUint32(e[8:], uint32(p[0]))  //nolint:gosec // small
		le.PutUint32(e[12:], uint32(p[1])) //nolint:gosec // small
	}
	b[510], b[511] = 0x55, 0xaa
	return b
}

// fake is a file system for tests.
type fake struct {
	name    string
	root    filesystem.Entry
	extents []filesystem.Extent
	broken  error // ends the owner map
	panics  bool
}

func (f *fake) Info() filesystem.Info {
	return filesystem.Info{Type: f.name, Label: "L", UUID: "U", BlockSize: 512, Size: 400 << 10, State: []string{"a state", "638976 bytes of the volume lie behind the file system"}}
}

func (f *fake) Walk(context.Context) iter.Seq2[filesystem.Entry, error] {
	return func(yield func(filesystem.Entry, error) bool) {
		if !yield(f.root, nil) {
			return
		}
		if f.panics {
			panic("walk")
		}
	}
}

func (f *fake) Open(filesystem.Ref) (imaging.Source, error) {
	if f.panics {
		panic("open")
	}
	return fstest.Bytes([]byte("x")), nil
}

func (f *fake) Extents(context.Context) iter.Seq2[filesystem.Extent, error] {
	return func(yield func(filesystem.Extent, error) bool) {
		for _, x := range f.extents {
			if !yield(x, nil) {
				return
			}
		}
		if f.panics {
			panic("extents")
		}
		if f.broken != nil {
			yield(filesystem.Extent{}, f.broken)
		}
	}
}

func fakeDriver(f *fake) driver {
	return driver{f.name, func(imaging.Source) bool { return true }, func(imaging.Source) (filesystem.FileSystem, error) { return f, nil }}
}

var goodRoot = filesystem.Entry{Path: "/", Type: filesystem.TypeDir}

// put writes text into an image.
func put(b []byte, off int, text string) { copy(b[off:], text) }

// luksHeader writes the start of a LUKS1 header.
func luksHeader(b []byte, off int) {
	put(b, off, "LUKS\xba\xbe\x00\x01")
	put(b, off+168, "11111111-2222-3333-4444-555555555555")
}

func one(t *testing.T, b []byte, list ...driver) *Volume {
	t.Helper()
	d, err := open(fstest.Bytes(b), list)
	if err != nil {
		t.Fatal(err)
	}
	return d.Volumes[0]
}

// TestChoose holds which of several readings of a volume is followed.
func TestChoose(t *testing.T) {
	good, bad := &fake{name: "good", root: goodRoot}, &fake{name: "bad", root: filesystem.Entry{Path: "/", Type: filesystem.TypeDir, Damage: "csum: …"}}
	sealed := make([]byte, mib)
	luksHeader(sealed, 0)
	plain := make([]byte, mib)
	for _, c := range []struct {
		name   string
		b      []byte
		list   []driver
		fstype string
		read   bool
		notes  []string
	}{
		{"alone", plain, []driver{fakeDriver(good)}, "good", true, []string{"a state", "638976 bytes of the volume lie behind the file system"}},
		{"alone with a bad root", plain, []driver{fakeDriver(bad)}, "bad", true, nil},
		{"the root that can be read wins", plain, []driver{fakeDriver(bad), fakeDriver(good)}, "good", true, []string{"it can be read as bad as well"}},
		{"the first of two", plain, []driver{fakeDriver(good), fakeDriver(&fake{name: "later", root: goodRoot})}, "good", true, []string{"it can be read as later as well"}},
		{"older than the container", sealed, []driver{fakeDriver(bad)}, "crypto_LUKS", false, []string{"a superblock of bad makes sense and its root directory cannot be read"}},
		{"readable beside a container", sealed, []driver{fakeDriver(good)}, "good", true, []string{"a signature of crypto_LUKS stands at byte 0 too, UUID 11111111-2222-3333-4444-555555555555"}},
		{"container alone", sealed, nil, "crypto_LUKS", false, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			v := one(t, c.b, c.list...)
			if v.FSType != c.fstype || (v.FS != nil) != c.read || (v.Err == nil) != c.read {
				t.Errorf("type %q, read %v, error %v", v.FSType, v.FS != nil, v.Err)
			}
			for _, n := range c.notes {
				if !slices.Contains(v.Notes, n) {
					t.Errorf("notes %q lack %q", v.Notes, n)
				}
			}
		})
	}
}

// TestPanic demands that a reader that panics has failed, and nothing else.
func TestPanic(t *testing.T) {
	boom := driver{"boom", func(imaging.Source) bool { panic("probe") }, nil}
	if v := one(t, make([]byte, mib), boom); v.FS != nil || v.Err == nil || !strings.Contains(v.Err.Error(), "the boom reader failed on these bytes: probe") {
		t.Errorf("probe: %v", v.Err)
	}
	v := one(t, make([]byte, mib), fakeDriver(&fake{name: "late", root: goodRoot, panics: true}))
	var last error
	n := 0
	for _, err := range v.FS.Walk(context.Background()) {
		n++
		last = err
	}
	if n != 2 || last == nil {
		t.Errorf("walk: %d, %v", n, last)
	}
	for range v.FS.Walk(context.Background()) {
		break // the reader is not entered again, and nothing panics
	}
	if _, err := v.FS.Open(filesystem.Ref{}); err == nil {
		t.Error("open: no error")
	}
	func() {
		defer func() {
			if r := recover(); r != "mine" {
				t.Errorf("the consumer's panic became %v", r)
			}
		}()
		for range v.FS.Walk(context.Background()) {
			panic("mine")
		}
	}()
}

// TestVolumes holds what is said of volumes without a file system.
func TestVolumes(t *testing.T) {
	b := mbr(4*2048, [2]int{2048, 2048}, [2]int{4096, 1024}, [2]int{6000, 9000})
	put(b, 512+77, "boot code in the gap")
	put(b, 2048*512+4086, "SWAPSPACE2")
	put(b, 6000*512, "something")
	d, err := open(fstest.Bytes(b), nil)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, v := range d.Volumes {
		got = append(got, fmt.Sprintf("%s %q %v %v", v.ID, v.FSType, v.Err, len(v.Notes)))
	}
	want := []string{
		`u1 "" <nil> 1`, `p1 "swap" <nil> 1`, `p2 "" <nil> 1`, `u2 "" <nil> 0`,
		`p3 "" no signature is known: it may be encrypted without a header, part of a larger volume, or its start was overwritten 0`,
	}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	if d.Volume("p2") != d.Volumes[2] || d.Volume("p9") != nil {
		t.Error("volume by id")
	}
	v := d.Volume("p3")
	if at, ok := v.Locate(6000*512 + 5); at != 5 || !ok {
		t.Errorf("locate: %d %v", at, ok)
	}
	for _, off := range []int64{6000*512 - 1, 4 * 2048 * 512, -1} {
		if _, ok := v.Locate(off); ok {
			t.Errorf("locate %d: ok", off)
		}
	}
	if v := one(t, nil); v.Err != nil || v.FS != nil {
		t.Errorf("empty image: %v", v.Err)
	}
	if v := one(t, mbr(1000, [2]int{2048, 100})[:900*512]); v.ID != "u1" {
		t.Errorf("first volume is %s", v.ID)
	}
	far, _ := open(fstest.Bytes(mbr(1000, [2]int{2048, 100})), nil)
	if v := far.Volume("p1"); v == nil || v.Err == nil {
		t.Error("a partition of which the image has nothing has no error")
	}
}

// TestOwners holds the order of claims.
func TestOwners(t *testing.T) {
	ref := func(n uint64) filesystem.Ref { return filesystem.Ref{Inode: n} }
	f := &fake{name: "fs", root: goodRoot, extents: []filesystem.Extent{
		{Start: 0, Length: 1024, Kind: filesystem.OwnMeta},
		{Start: 1024, Length: 1024, Kind: filesystem.OwnFree},
		{Start: 1024, Length: 512, Kind: filesystem.OwnContent, Ref: ref(9), Size: 500, Status: filesystem.Deleted},
		{Start: 2048, Length: 512, Kind: filesystem.OwnContent, Ref: ref(9), Size: 512, Status: filesystem.Deleted},
		{Start: 2048, Length: 512, Kind: filesystem.OwnContent, Ref: ref(7), FileOffset: 4096, Size: 4100},
		{Start: 2048, Length: 8, Kind: filesystem.OwnContent, Ref: ref(8), Size: 512},
	}}
	b := mbr(4096, [2]int{2048, 1024})
	d, err := open(fstest.Bytes(b), []driver{fakeDriver(f)})
	if err != nil {
		t.Fatal(err)
	}
	d.Volumes = slices.DeleteFunc(d.Volumes, func(v *Volume) bool { return v.Gap() && v.ID != "u1" })
	const p = 2048 * 512
	offsets := []int64{p + 500<<10, p + 2048, p + 2100, p + 1600, p + 1030, p + 1530, p + 5, p + 9000, 5, 600, -4, 1 << 40, p + 2048}
	got, err := d.Owners(context.Background(), offsets)
	if err != nil {
		t.Fatal(err)
	}
	content := filesystem.OwnContent
	want := []Owner{
		{Volume: "p1", Region: "volume slack"},
		{Volume: "p1", Kind: content, Ref: ref(7), FileOffset: 4096, Claims: 2},
		{Volume: "p1", Kind: content, Ref: ref(7), FileOffset: 4148, Slack: true, Claims: 1},
		{Volume: "p1", Kind: filesystem.OwnFree, Claims: 1},
		{Volume: "p1", Kind: content, Ref: ref(9), FileOffset: 6, Status: filesystem.Deleted, Claims: 1},
		{Volume: "p1", Kind: content, Ref: ref(9), FileOffset: 506, Status: filesystem.Deleted, Slack: true, Claims: 1},
		{Volume: "p1", Kind: filesystem.OwnMeta, FileOffset: 5, Claims: 1},
		{Volume: "p1"},
		{Region: "MBR"},
		{Volume: "u1"},
		{},
		{},
		{Volume: "p1", Kind: content, Ref: ref(7), FileOffset: 4096, Claims: 2},
	}
	for i := range want {
		if got[i].Volume == "u1" { // the driver opens everything, gaps too
			got[i] = Owner{Volume: "u1"}
		}
		if got[i] != want[i] {
			t.Errorf("offset %d:\n got %+v\nwant %+v", offsets[i], got[i], want[i])
		}
	}
	f.broken = &imaging.FormatError{Format: "fs", Reason: "a table is gone"}
	if got, err = d.Owners(context.Background(), offsets[1:2]); err != nil || got[0].Doubt == "" || got[0].Kind != content {
		t.Errorf("damaged map: %+v %v", got, err)
	}
	f.broken = errors.New("the disk is gone")
	if _, err = d.Owners(context.Background(), offsets[1:2]); !errors.Is(err, f.broken) {
		t.Errorf("failing source: %v", err)
	}
	f.broken, f.panics = nil, true
	if got, err = d.Owners(context.Background(), offsets[1:2]); err != nil || got[0].Doubt == "" {
		t.Errorf("panic: %+v %v", got, err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err = d.Owners(ctx, offsets); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// failing is a source with a bad stretch.
type failing struct {
	imaging.Source
	from, to int64
}

func (f failing) ReadAt(p []byte, off int64) (int, error) {
	if off < f.to && off+int64(len(p)) > f.from {
		return 0, errors.New("input/output error")
	}
	return f.Source.ReadAt(p, off)
}

// TestReadErrors demands that a volume that cannot be read says so and that the
// others are opened; without a table there is nothing to open.
func TestReadErrors(t *testing.T) {
	b := mbr(8192, [2]int{2048, 2048}, [2]int{4096, 2048})
	put(b, 4096*512+4086, "SWAPSPACE2")
	d, err := Open(failing{fstest.Bytes(b), 2048 * 512, 2048*512 + 512})
	if err != nil {
		t.Fatal(err)
	}
	if v := d.Volume("p1"); v.Err == nil || !strings.Contains(v.Err.Error(), "input/output error") {
		t.Errorf("p1: %v", v.Err)
	}
	if v := d.Volume("p2"); v.FSType != "swap" {
		t.Errorf("p2: %q %v", v.FSType, v.Err)
	}
	if _, err := Open(failing{fstest.Bytes(b), 0, 512}); err == nil {
		t.Error("no error though sector 0 cannot be read")
	}
}

// TestRemoved demands that a gap tells of a file system whose partition is gone.
func TestRemoved(t *testing.T) {
	b := mbr(8*2048, [2]int{2048, 2048})
	luksHeader(b, 5*mib)
	d, err := open(fstest.Bytes(b), nil)
	if err != nil {
		t.Fatal(err)
	}
	v := d.Volumes[len(d.Volumes)-1]
	if s := strings.Join(v.Notes, "\n"); !v.Gap() || !strings.Contains(s, "a signature of crypto_LUKS stands where a partition may have started, at byte 5242880 of the image") {
		t.Errorf("%s: %s", v.ID, s)
	}
}
