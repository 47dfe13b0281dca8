package md

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"snapcase/imaging"
)

// arraysInTurns are the arrays that the tests make: level, layout, members.
var arraysInTurns = []struct {
	level, layout, n int
}{
	{4, 0, 3},
	{5, 0, 3},
	{5, 1, 4},
	{5, 2, 3},
	{5, 2, 5},
	{5, 3, 4},
	{6, 0, 4},
	{6, 1, 5},
	{6, 2, 4},
	{6, 2, 6},
	{6, 3, 5},
	{10, 0x102, 4},
	{10, 0x102, 2},
	{10, 0x102, 3},
	{10, 0x102, 5},
	{10, 0x103, 6},
	{10, 0x201, 4},
	{10, 0x201, 3},
	{10, 0x10201, 4},
	{10, 0x10201, 3},
}

// inTurns makes the members of an array that holds content. Q is not computed:
// nothing reads it.
func inTurns(level, layout, n int, content []byte) []memory {
	rows := int64(dataLen / chunk)
	t := &turns{level: int32(level), layout: int32(layout), n: int64(n), chunk: chunk, near: 1, far: 1}
	if why := t.shape(rows); why != "" {
		panic(why)
	}
	all := make([]memory, n)
	for i := range all {
		all[i] = device("1.2", level, n, i, 7)
		p := all[i][4096:]
		le.PutUint32(p[76:], uint32(layout))
		copy(p[32:], "host:0\x00\x00\x00")
		seal(p)
		clear(all[i][dataAt : dataAt+dataLen])
	}
	at := func(member, row int64) []byte { return all[member][dataAt+row*chunk:][:chunk] }
	for c := range t.chunks {
		b := make([]byte, chunk)
		copy(b, content[min(int64(len(content)), c*chunk):])
		for k := range t.copies() {
			m, row := t.place(c, k)
			copy(at(m, row), b)
		}
		if level != 10 {
			_, row := t.place(c, 0)
			p, _ := t.parity(row)
			for i, x := range b {
				at(p, row)[i] ^= x
			}
		}
	}
	return all
}

func randomBytes(n int) []byte {
	r := rand.New(rand.NewPCG(7, 7))
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

// TestTurns reads each array whole, and without each member in turn; what is
// said of the way back must agree with what is read.
func TestTurns(t *testing.T) {
	for _, c := range arraysInTurns {
		name := fmt.Sprintf("raid%d layout %#x of %d", c.level, c.layout, c.n)
		content := randomBytes(c.n * dataLen)
		all := inTurns(c.level, c.layout, c.n, content)
		for missing := -1; missing < c.n; missing++ {
			var sources []imaging.Source
			for i, m := range all {
				if i != missing {
					sources = append(sources, m)
				}
			}
			a := scan(t, 0, sources...)
			if a.Source == nil {
				t.Errorf("%s without %d: %s", name, missing, a.Reason)
				continue
			}
			got := make([]byte, a.Size)
			if n, err := a.Source.ReadAt(got, 0); n != len(got) || err != nil || !bytes.Equal(got, content[:len(got)]) {
				t.Errorf("%s without %d: other bytes, %v", name, missing, err)
			}
			if told := strings.Contains(strings.Join(a.State, "\n"), fmt.Sprintf("members [%d] are not", missing)); told != (missing >= 0) {
				t.Errorf("%s without %d: state %q", name, missing, a.State)
			}
			back := map[int64]bool{}
			for i, src := range sources {
				for off := int64(0); off < src.Size(); off += 4096 {
					if at, ok := a.Locate(i, off); ok {
						back[at] = true
						placed(t, a, at)
						var x [4096]byte
						if src.ReadAt(x[:], off); !bytes.Equal(x[:], content[at:at+4096]) {
							t.Fatalf("%s: byte %d of source %d is not byte %d of the array", name, off, i, at)
						}
					}
				}
			}
			if missing < 0 && int64(len(back)) != a.Size/4096 {
				t.Errorf("%s: %d of %d places map back", name, len(back), a.Size/4096)
			}
			if _, holed := imaging.FirstHole(a.Source, 0, a.Size); holed {
				t.Errorf("%s without %d has a hole", name, missing)
			}
		}
		two := scan(t, 0, all[0], all[1%len(all)])
		if c.n > 3 && c.level != 10 && (two.Source != nil || !strings.Contains(two.Reason, "are not among the sources")) {
			t.Errorf("%s with two members: %+v", name, two)
		}
	}
}

// TestPlaces has rows of parity as md(4) draws them.
func TestPlaces(t *testing.T) {
	for layout, want := range []string{
		"0 1 P/2 P 3/P 4 5", "P 0 1/2 P 3/4 5 P", "0 1 P/3 P 2/P 4 5", "P 0 1/3 P 2/4 5 P", // of three members
	} {
		tu := &turns{level: 5, layout: int32(layout), n: 3, chunk: chunk, near: 1, far: 1}
		tu.shape(3)
		var rows []string
		for row := range int64(3) {
			var line []string
			for m := range int64(3) {
				if c, ok := tu.back(m, row); ok {
					line = append(line, fmt.Sprint(c))
				} else {
					line = append(line, "P")
				}
			}
			rows = append(rows, strings.Join(line, " "))
		}
		if got := strings.Join(rows, "/"); got != want {
			t.Errorf("layout %d: %s, want %s", layout, got, want)
		}
	}
}

// TestGrubAgrees lets GRUB's own reader of md find a file in each array.
func TestGrubAgrees(t *testing.T) {
	for _, tool := range []string{"grub-fstest", "mkfs.ext4"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("needs %s", tool)
		}
	}
	dir := t.TempDir()
	want := randomBytes(400_000)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.Mkdir(filepath.Join(dir, "tree"), 0o755))
	must(os.WriteFile(filepath.Join(dir, "tree", "file"), want, 0o644))
	fs := filepath.Join(dir, "fs")
	for _, c := range arraysInTurns {
		name := fmt.Sprintf("raid%d layout %#x of %d", c.level, c.layout, c.n)
		a := scan(t, 0, func() (list []imaging.Source) {
			for _, m := range inTurns(c.level, c.layout, c.n, nil) {
				list = append(list, m)
			}
			return list
		}()...)
		if a.Size < 700<<10 {
			continue // too small for the file
		}
		must(os.WriteFile(fs, nil, 0o600))
		must(os.Truncate(fs, a.Size))
		if out, err := exec.Command("mkfs.ext4", "-q", "-F", "-O", "^has_journal,^metadata_csum,^64bit", "-m", "0", "-N", "16", "-d", filepath.Join(dir, "tree"), fs).CombinedOutput(); err != nil {
			t.Fatalf("%s: mkfs.ext4: %v: %s", name, err, out)
		}
		content, err := os.ReadFile(fs)
		must(err)
		args := []string{"-c", fmt.Sprint(c.n)}
		for i, m := range inTurns(c.level, c.layout, c.n, content) {
			path := filepath.Join(dir, fmt.Sprint(i))
			must(os.WriteFile(path, m, 0o600))
			args = append(args, path)
		}
		for _, missing := range []int{0, 1} { // all members, and without the first
			list := append([]string{"-c", fmt.Sprint(c.n - missing)}, args[2+missing:]...)
			out, err := exec.Command("grub-fstest", append(list, "cat", "(md/0)/file")...).CombinedOutput()
			if err != nil || !bytes.Equal(out, want) {
				t.Errorf("%s without %d: GRUB reads %d bytes, %v: %.300q", name, missing, len(out), err, out)
			} else {
				t.Logf("%s without %d: GRUB agrees", name, missing)
			}
		}
	}
}
