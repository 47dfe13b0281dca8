package xfs

import (
	"strings"
	"testing"

	"snapcase/imaging/filesystem"
	"snapcase/imaging/filesystem/fstest"
)

// TestRealtime says of a file on a realtime device that its content is not
// there. Few kernels mount such volumes: it is one of the small image's, with
// the bit that says so.
func TestRealtime(t *testing.T) {
	p := image(t, "testdata/fuzz.img.gz")
	find := func(x *FS, path string) filesystem.Entry {
		for _, e := range all(t, x) {
			if e.Path == path && e.Status == filesystem.Allocated {
				return e
			}
		}
		t.Fatalf("%s is missing", path)
		return filesystem.Entry{}
	}
	x, err := Open(fstest.Bytes(p))
	if err != nil {
		t.Fatal(err)
	}
	ino := find(x, "/pieces").Ref.Inode
	ag, agino, _ := x.sb.splitInode(ino)
	in := inode(p[x.inodePlace(ag, agino):][:x.sb.inodeSize])
	be.PutUint16(in[90:], be.Uint16(in[90:])|flagRealtime)
	putSum(in, 100)
	be.PutUint64(p[16:], 1000)
	putSum(p[:512], 224)
	if x, err = Open(fstest.Bytes(p)); err != nil {
		t.Fatal(err)
	}
	if s := strings.Join(x.Info().State, "\n"); !strings.Contains(s, "realtime device: content of files on it is not read") {
		t.Errorf("state is %q", s)
	}
	e := find(x, "/pieces")
	if e.Damage != "partial: the content lies on the realtime device" || e.First >= 0 {
		t.Errorf("%+v", e)
	}
	c, err := x.Open(e.Ref)
	if err != nil {
		t.Fatal(err)
	}
	if d := c.(*Content).Damage(); d != e.Damage {
		t.Errorf("the damage of the content is %q", d)
	}
	for o, err := range x.Extents(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		if o.Ref.Inode == ino && o.Kind == filesystem.OwnContent {
			t.Errorf("a block of the volume is said to be the file's: %+v", o)
		}
	}
}
