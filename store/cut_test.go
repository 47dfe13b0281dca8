package store

import (
	"bytes"
	"encoding/binary"
	"strings"
	"testing"

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
