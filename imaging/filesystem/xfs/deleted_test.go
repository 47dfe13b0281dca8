package xfs

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"path/filepath"
	"testing"

	"snapcase/imaging/filesystem"
	"snapcase/imaging/filesystem/fstest"
)

// TestDeletedSet compares the random tree of the corpus with the kernel's
// listing and looks for every file that was deleted from it.
func TestDeletedSet(t *testing.T) {
	dir := filepath.Join(corpus(t), "made")
	fs, err := Open(fstest.Bytes(unpack(t, filepath.Join(dir, "xfsdel.img.zst"))))
	if err != nil {
		t.Fatal(err)
	}
	live, dead := map[string]filesystem.Entry{}, map[uint64][]filesystem.Entry{}
	for _, e := range all(t, fs) {
		if e.Status == filesystem.Allocated {
			live[e.Path] = e
		} else {
			dead[e.Ref.Inode] = append(dead[e.Ref.Inode], e)
		}
	}
	n := compareJSON(t, fs, live, unpack(t, filepath.Join(dir, "xfsdel.truth.jsonl.gz")))
	if n < 100 || n != len(live) {
		t.Errorf("%d entries compared, %d live", n, len(live))
	}
	var gone []struct {
		Path  string
		Inode uint64 `json:"ino"`
		Size  int64
	}
	if err := json.Unmarshal(readFile(t, filepath.Join(dir, "xfsdel.deleted.json")), &gone); err != nil {
		t.Fatal(err)
	}
	inodes := map[uint64]bool{}
	for _, e := range live {
		inodes[e.Ref.Inode] = true
	}
	found, reused, named := 0, 0, 0
	for _, g := range gone {
		path, _ := base64.StdEncoding.DecodeString(g.Path)
		switch {
		case len(dead[g.Inode]) > 0:
			found++
			for _, e := range dead[g.Inode] {
				if e.Path == string(path) {
					named++
				}
			}
		case inodes[g.Inode]:
			reused++
		default:
			t.Errorf("inode %d (%q) was deleted and is not listed", g.Inode, path)
		}
	}
	t.Logf("%d deleted: %d inodes found, %d with the name, %d in use again or hard links; %d deleted or orphaned inodes listed",
		len(gone), found, named, reused, len(dead))
	if len(gone) == 0 || found == 0 {
		t.Errorf("%d of %d deleted found", found, len(gone))
	}
}

func compareJSON(t *testing.T, fs *FS, live map[string]filesystem.Entry, truth []byte) (n int) {
	t.Helper()
	lines := bufio.NewScanner(bytes.NewReader(truth))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var w struct {
			Path, Link, Type, SHA256    string
			Inode                       uint64
			Size                        int64
			Mode, UID, GID, Links       uint32
			Modified, Changed, Accessed json.Number
		}
		d := json.NewDecoder(bytes.NewReader(lines.Bytes()))
		if err := d.Decode(&w); err != nil {
			t.Fatal(err)
		}
		path, _ := base64.StdEncoding.DecodeString(w.Path)
		link, _ := base64.StdEncoding.DecodeString(w.Link)
		n++
		e, ok := live[string(path)]
		if !ok {
			t.Errorf("%q is missing", path)
			continue
		}
		if e.Ref.Inode != w.Inode || e.Size != w.Size || e.Mode != w.Mode || e.UID != w.UID || e.GID != w.GID || e.Links != w.Links ||
			e.Type.String() != w.Type || e.Link != string(link) || e.Damage != "" {
			t.Errorf("%q: got %+v\nwant %+v", path, e, w)
		}
		for _, p := range []struct{ got, want string }{
			{bigNanos(e.Modified), w.Modified.String()}, {bigNanos(e.Changed), w.Changed.String()}, {bigNanos(e.Accessed), w.Accessed.String()},
		} {
			if p.got != p.want {
				t.Errorf("%q: time %s, want %s", path, p.got, p.want)
			}
		}
		if w.SHA256 != "" {
			src, err := fs.Open(e.Ref)
			if err != nil {
				t.Errorf("%q: %v", path, err)
			} else if got := digest(t, src); got != w.SHA256 {
				t.Errorf("%q: sha256 %s, want %s", path, got, w.SHA256)
			}
		}
	}
	return n
}
