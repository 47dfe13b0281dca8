package hashset

import (
	"crypto/md5"  //nolint:gosec // what lists hold
	"crypto/sha1" //nolint:gosec // what lists hold
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
)

func read(t *testing.T, text string) (all []string, bad []int64) {
	t.Helper()
	for d, err := range Read(iotest.OneByteReader(strings.NewReader(text))) {
		var b *BadLine
		switch {
		case errors.As(err, &b):
			bad = append(bad, b.N)
		case err != nil:
			t.Fatal(err)
		default:
			all = append(all, fmt.Sprintf("%s:%x", d.Algorithm, d.Bytes()))
		}
	}
	return all, bad
}

func TestRead(t *testing.T) {
	m, s1, s2 := fmt.Sprintf("%x", md5.Sum([]byte("a"))), fmt.Sprintf("%x", sha1.Sum([]byte("a"))), fmt.Sprintf("%x", sha256.Sum256([]byte("a"))) //nolint:gosec // as above
	md, sha, strong := "md5:"+m, "sha1:"+s1, "sha256:"+s2
	for name, c := range map[string]struct {
		text string
		want []string
		bad  []int64
	}{
		"plain":         {m + "\n" + strings.ToUpper(s1) + "\r\n\n# comment\n" + s2, []string{md, sha, strong}, nil},
		"sums":          {s2 + "  a file\n" + s2 + " *b\n\\" + s2 + "  c\\nd\n", []string{strong, strong, strong}, nil},
		"hashdeep":      {"%%%% HASHDEEP-1.0\n%%%% size,md5,sha256,filename\n## Invoked\n##\n1," + m + "," + s2 + ",/a,b\n", []string{strong}, nil},
		"md5deep":       {"%%%% HASHDEEP-1.0\n%%%% size,md5,filename\n1," + m + ",/a\n", []string{md}, nil},
		"nsrl":          {`"SHA-1","MD5","CRC32","FileName","FileSize"` + "\r\n\"" + strings.ToUpper(s1) + `","` + strings.ToUpper(m) + `","E8B7BE43","a "" , b",1` + "\r\n", []string{sha}, nil},
		"open quote":    {`"MD5","FileName"` + "\n\"" + m + "\",\"a\nb\"\n\"" + m + "\",\"c\"\n", []string{md, md}, []int64{3}},
		"other csv":     {"name,SHA_256\nx," + s2 + "\nx,\nx\n", []string{strong}, []int64{3, 4}},
		"bad":           {"hello\n" + m[:31] + "\n" + m[:31] + "g\n" + m + "\n", []string{md}, []int64{1, 2, 3}},
		"order of bom":  {"\ufeff" + m + "\n", []string{md}, nil},
		"long":          {strings.Repeat("x", maxLine+300<<10) + "\n" + m + "\n", []string{md}, []int64{1}},
		"empty":         {"", nil, nil},
		"one long name": {s2 + "  " + strings.Repeat("n", 300<<10) + "\n" + m, []string{strong, md}, nil},
	} {
		all, bad := read(t, c.text)
		if !slices.Equal(all, c.want) || !slices.Equal(bad, c.bad) {
			t.Errorf("%s: %v, bad %v; want %v, bad %v", name, all, bad, c.want, c.bad)
		}
	}
}

// TestTools reads what coreutils and hashdeep write of the same files.
func TestTools(t *testing.T) {
	dir := t.TempDir()
	var want []string
	for _, name := range []string{"a", "b c", "d\ne", "f,\"g"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(name), 0o644); err != nil {
			t.Fatal(err)
		}
		want = append(want, fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(name))))
	}
	slices.Sort(want)
	for tool, script := range map[string]string{"sha256sum": "sha256sum *", "hashdeep": "hashdeep -c md5,sha256 *"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Logf("%s is not installed", tool)
			continue
		}
		c := exec.Command("sh", "-c", script)
		c.Dir = dir
		out, err := c.Output()
		if err != nil {
			t.Fatal(err)
		}
		all, bad := read(t, string(out))
		slices.Sort(all)
		if !slices.Equal(all, want) || tool == "sha256sum" && len(bad) > 0 {
			t.Errorf("%s: %v, bad %v, want %v", tool, all, bad, want)
		}
	}
}

func TestReadFails(t *testing.T) {
	broken := errors.New("broken")
	var last error
	for _, err := range Read(io.MultiReader(strings.NewReader("x\n"), iotest.ErrReader(broken))) {
		last = err
	}
	if !errors.Is(last, broken) {
		t.Errorf("%v", last)
	}
}

func FuzzRead(f *testing.F) {
	for _, s := range []string{"d41d8cd98f00b204e9800998ecf8427e\n", "%%%% size,md5,filename\n1,d41d8cd98f00b204e9800998ecf8427e,x\n", "\"SHA-1\",\"MD5\"\n\"\",\"d41d8cd98f00b204e9800998ecf8427e\"\n", "\"", ",,,\n\"\"\"\n"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		n := 0
		for d, err := range Read(strings.NewReader(string(b))) {
			var bad *BadLine
			if err != nil && (!errors.As(err, &bad) || bad.Offset > int64(len(b))) {
				t.Fatal(err)
			}
			if err == nil && len(d.Bytes()) != d.Algorithm.Size() {
				t.Fatal("size")
			}
			n++
		}
		if n > strings.Count(string(b), "\n")+1 {
			t.Fatalf("%d of %q", n, b)
		}
	})
}
