package inside

import (
	"bytes"
	"compress/zlib"
	"context"
	"encoding/base64"
	"encoding/binary"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
	"github.com/ulikunitz/xz"

	"snapcase/imaging/filesystem/fstest"
)

// judged is a Taker that holds a walk to its bounds.
type judged struct {
	t    *testing.T
	size int
	n    int64
}

func (j *judged) Whole(_ string, _ int64, b []byte) { j.n += int64(len(b)) }

func (j *judged) Stream(string, int64) io.WriteCloser { return j }

func (j *judged) Write(b []byte) (int, error) {
	j.n += int64(len(b))
	return len(b), nil
}

func (j *judged) Close() error { return nil }

func (j *judged) Damage(path string, _ int64, reason string) {
	if strings.Contains(reason, "decoder failed") {
		j.t.Fatalf("%q: %s", path, reason)
	}
}

// fuzz holds one format to the bounds, and to decode without a panic.
func fuzz(f *testing.F, seeds ...string) {
	for _, s := range seeds {
		f.Add([]byte(s))
		f.Add([]byte(s[:len(s)*3/4]))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		j := &judged{t: t, size: len(b)}
		if err := NewDecoder(NewBudget(1<<40)).Walk(context.Background(), fstest.Bytes(b), j); err != nil {
			t.Fatal(err)
		}
		// What is not compressed comes out once a level, and base64 four times.
		if most := int64(streamMax+maxRatio*j.size) + 20*int64(j.size); j.n > most {
			t.Errorf("%d bytes came out of %d", j.n, j.size)
		}
		Hides(b, int64(len(b)), len(b))
	})
}

func zst(s string) string {
	w, err := zstd.NewWriter(nil)
	if err != nil {
		panic(err)
	}
	return string(w.EncodeAll([]byte(s), nil))
}

func xzed(s string) string {
	var out bytes.Buffer
	w, err := xz.NewWriter(&out)
	if err != nil {
		panic(err)
	}
	io.WriteString(w, s)
	w.Close()
	return out.String()
}

func zlibbed(s string) string {
	var out bytes.Buffer
	w := zlib.NewWriter(&out)
	io.WriteString(w, s)
	w.Close()
	return out.String()
}

func lz4ed(s string) string {
	var out bytes.Buffer
	w := lz4.NewWriter(&out)
	io.WriteString(w, s)
	w.Close()
	return out.String()
}

// made is what a shell script writes, "" where a tool is missing.
func made(script string) string {
	dir, err := os.MkdirTemp("", "inside")
	if err != nil {
		return ""
	}
	defer os.RemoveAll(dir)
	c := exec.Command("sh", "-ec", script)
	c.Dir = dir
	if c.Run() != nil {
		return ""
	}
	b, err := os.ReadFile(filepath.Join(dir, "out"))
	if err != nil {
		return ""
	}
	return string(b)
}

// journalOf is a journal whose DATA objects hold the fields: behind the header
// one object a field, packed by turns with each of the packers, and one plain.
func journalOf(compact bool, fields ...string) string {
	h := make([]byte, 256)
	copy(h, "LPKSHHRH")
	fixed := 64
	if compact {
		binary.LittleEndian.PutUint32(h[12:], journalCompact)
		fixed = 72
	}
	binary.LittleEndian.PutUint64(h[88:], uint64(len(h)))
	b := h
	for i, s := range fields {
		payload, how := s, byte(0)
		switch i % 4 {
		case 0:
			payload, how = zst(s), packedZstd
		case 1:
			payload, how = xzed(s), packedXZ
		case 2:
			block := make([]byte, lz4.CompressBlockBound(len(s)))
			n, err := lz4.CompressBlock([]byte(s), block, nil)
			if err != nil {
				panic(err)
			}
			payload, how = string(binary.LittleEndian.AppendUint64(nil, uint64(len(s))))+string(block[:n]), packedLZ4
		}
		o := make([]byte, fixed)
		o[0], o[1] = objectData, how
		binary.LittleEndian.PutUint64(o[8:], uint64(fixed+len(payload)))
		b = append(append(b, o...), payload...)
		b = append(b, make([]byte, -len(b)&7)...)
		entry := make([]byte, 64)
		entry[0], entry[8] = 3, 64
		b = append(b, entry...)
	}
	return string(append(b, make([]byte, 4096)...))
}

// TestJournal decodes journals that are made here, and goes past damage.
func TestJournal(t *testing.T) {
	fields := []string{"MESSAGE=" + text(2000), "A=" + text(900), "B=" + text(1500), "C=plain", "MESSAGE=" + text(300_000)}
	for _, compact := range []bool{false, true} {
		j := journalOf(compact, fields...)
		k := walk(t, []byte(j))
		if len(k.streams) != 4 || len(k.damage) > 0 {
			t.Errorf("%d streams, damage %q", len(k.streams), k.damage)
		}
		for i, s := range fields {
			n := 0
			for _, got := range k.streams {
				if got == s {
					n++
				}
			}
			if n != 1 && i != 3 {
				t.Errorf("field %d: %d times", i, n)
			}
		}
		k = walk(t, []byte(gz(j)))
		if len(k.streams) != 5 || k.streams["!"] != j || len(k.damage) > 0 {
			t.Errorf("in gzip: %d streams, damage %q", len(k.streams), k.damage)
		}
		bad := []byte(j)
		copy(bad[256:], strings.Repeat("\xee", 16)) // the head of the first object
		k = walk(t, bad)
		if len(k.streams) != 3 || len(k.damage) != 1 {
			t.Errorf("damaged: %d streams, damage %q", len(k.streams), k.damage)
		}
	}
}

func FuzzGzip(f *testing.F) {
	fuzz(f, gz("hello"), gz(text(3000))+"\x00\x00"+gz("more"), gz(gz(gz(gz("deep")))), gz(tarOf("a", "b")))
}
func FuzzZstd(f *testing.F) { fuzz(f, zst("hello"), zst(text(3000))+zst(tarOf("a", "b"))) }
func FuzzXZ(f *testing.F)   { fuzz(f, xzed("hello"), xzed(text(3000))+"\x00\x00\x00\x00"+xzed("more")) }

func FuzzBzip2(f *testing.F) {
	fuzz(f, made("echo hello | bzip2 > out"), made("seq 3000 | bzip2 -1 > out; seq 9 | bzip2 >> out"))
}
func FuzzLZ4(f *testing.F) { fuzz(f, lz4ed("hello"), lz4ed(text(3000))+lz4ed("more")) }
func FuzzTar(f *testing.F) {
	fuzz(f, tarOf("a", "hello", "b/c", text(2000)), tarOf("x.gz", gz("in"))+tarOf("y", "z"), made("truncate -s 1M x; echo y >> x; tar -Scf out x"), made("echo a > ä; tar --format=pax -cf out ä"))
}

func FuzzZip(f *testing.F) {
	fuzz(f, made("seq 3000 > a; echo b > b; zip -q x.zip a b; mv x.zip out"), made("seq 300 | zip -q > out -"), made("echo b > b; zip -0q x.zip b; mv x.zip out"))
}

func FuzzJournal(f *testing.F) {
	fuzz(f, journalOf(false, text(600), text(700), text(800)), journalOf(true, text(600), text(700), text(800)), gz(journalOf(true, text(600))))
}

func FuzzZlib(f *testing.F) {
	fuzz(f, zlibbed("blob 5\x00hello"), zlibbed(text(3000)))
}

func FuzzPack(f *testing.F) {
	fuzz(f, made("git init -q r; cd r; seq 300 > a; cp a b; echo x >> b; git add .; git -c user.name=x -c user.email=x commit -qm x; git repack -qad; cp .git/objects/pack/*.pack ../out"))
}

func FuzzSQLite(f *testing.F) {
	db := made(`sqlite3 out "PRAGMA page_size=512; CREATE TABLE t(a); INSERT INTO t VALUES (printf('%.*c', 3000, 'x')); CREATE INDEX i ON t(a);"`)
	fuzz(f, db, gz(db))
}

func FuzzBase64(f *testing.F) {
	one := base64.StdEncoding.EncodeToString([]byte(text(300)))
	fuzz(f, "x "+one, one[:76]+"\r\n"+one[76:152]+"\n  "+one[152:], one[:80]+`\n`+one[80:]+"==", base64.StdEncoding.EncodeToString([]byte(gz(text(300)))), strings.Repeat(one, 300))
}
