package store

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"snapcase/evidence"
	"snapcase/imaging/disk"
)

// TestCutPartition tells of a partition that the image does not hold whole, or
// not at all, as of something that cannot be read, whatever its bytes show.
func TestCutPartition(t *testing.T) {
	b := make([]byte, 2<<20)
	for i, p := range [][2]uint32{{2048, 1024}, {3072, 8192}, {99999, 64}} {
		e := b[446+16*i:]
		e[4] = 0x83
		binary.LittleEndian.PutUint32(e[8:], p[0])
		binary.LittleEndian.PutUint32(e[12:], p[1])
	}
	b[510], b[511] = 0x55, 0xaa
	d, err := disk.Open(bytes.NewReader(b))
	must(t, err)
	got := map[string]string{}
	for _, v := range Volumes(d) {
		if v.Error != nil {
			got[v.ID] = *v.Error
		}
	}
	if len(got) != 2 || !strings.Contains(got["p2"], "last 3670016 bytes") || !strings.Contains(got["p3"], "lies in the image") {
		t.Errorf("errors: %v", got)
	}
}

// TestIndexIsNoLink writes no index where a link in a case folder leads.
func TestIndexIsNoLink(t *testing.T) {
	c := newTestCase(t)
	bring(t, c, evidence.KindFlowLog, map[string]string{"a.log": headV2})
	dir := string(c.Folder())
	must(t, c.Close())
	outside := filepath.Join(t.TempDir(), "outside.db")
	for _, end := range []string{"", "-wal", "-shm"} {
		must(t, os.RemoveAll(filepath.Join(dir, "index.db"+end)))
	}
	must(t, os.Symlink(outside, filepath.Join(dir, "index.db")))
	db, err := openWriter(t.Context(), filepath.Join(dir, "index.db"))
	if err == nil {
		must(t, db.Close())
		t.Error("the index was written behind a link")
	}
	if _, err := os.Lstat(outside); err == nil {
		t.Error("a file was made where the link leads")
	}
}
