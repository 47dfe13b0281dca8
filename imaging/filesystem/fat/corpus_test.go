package fat

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"snapcase/imaging/filesystem"
	"snapcase/imaging/filesystem/fstest"
)

// TestCorpus compares a FAT16 image that another project made with what The
// Sleuth Kit lists: number, path, size and three times of each entry.
func TestCorpus(t *testing.T) {
	dir := os.Getenv("SNAPCASE_CORPUS")
	if dir == "" {
		t.Skip("needs SNAPCASE_CORPUS, the folder of the test corpus")
	}
	dir = filepath.Join(dir, "images", "other")
	src := fstest.File(t, filepath.Join(dir, "fat16.dd.gz"))
	f, err := Open(src)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]bool{}
	for line := range strings.Lines(string(readFile(t, filepath.Join(dir, "fat16.dd.truth")))) {
		p := strings.Split(strings.TrimSpace(line), "|")
		if len(p) == 11 && !strings.HasPrefix(p[1], "/$") && !strings.HasSuffix(p[1], "(Volume Label Entry)") {
			want[strings.Join([]string{p[2], p[1], p[6], p[7], p[8], p[10]}, "|")] = true
		}
	}
	n := 0
	for _, e := range all(t, f) {
		if e.Path == "/" {
			continue
		}
		n++
		path := e.Path
		if e.Status == filesystem.Deleted {
			path += " (deleted)"
		}
		born := e.Born.Sec
		if e.Born.Nsec == 0 && born%2 == 1 {
			born-- // 100 hundredths are a second, which The Sleuth Kit leaves out
		}
		if got := fmt.Sprintf("%d|%s|%d|%d|%d|%d", e.Ref.Inode, path, e.Size, e.Accessed.Sec, e.Modified.Sec, born); !want[got] {
			t.Errorf("not in the truth: %s", got)
		}
	}
	if n != len(want) || n < 1000 {
		t.Errorf("%d entries, The Sleuth Kit has %d", n, len(want))
	}
	t.Logf("%d entries compared", n)
	fstest.Sound(t, Open, src, nil)
	checkCover(t, f)
}

// BenchmarkWalk walks a directory of 3,000 long names per round.
func BenchmarkWalk(b *testing.B) {
	m := newMade(32)
	room := make([]byte, 64<<20)
	copy(room, m.b)
	m.b = room
	le.PutUint16(m.b[19:], 0)
	le.PutUint32(m.b[32:], uint32(len(room)/512))
	m.b[13], m.size = 8, 64*512
	le.PutUint32(m.b[36:], 64)
	m.base = m.fat + 2*m.size
	clear(m.b[m.fat:])
	const count = 3000
	var dir []byte
	for i := range count {
		dir = append(dir, long(fmt.Sprintf("a long enough name %06d.txt", i), record(fmt.Sprintf("A%06d~TXT", i), 0, 0, 0))...)
	}
	clusters := (len(dir) + 4095) / 4096
	for c := range clusters {
		m.link(2+c, 3+c)
	}
	m.link(1+clusters, 0x0fffffff)
	copy(m.b[m.base:], dir)
	f, err := Open(fstest.Bytes(m.b))
	if err != nil {
		b.Fatal(err)
	}
	b.ResetTimer()
	for range b.N {
		n := 0
		for _, err := range f.Walk(context.Background()) {
			if err != nil {
				b.Fatal(err)
			}
			n++
		}
		if n != count+1 {
			b.Fatalf("%d entries", n)
		}
	}
	b.ReportMetric(float64(count)*float64(b.N)/b.Elapsed().Seconds(), "entries/s")
}
