package inside

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"snapcase/imaging/filesystem/fstest"
)

// kept is a Taker that keeps everything.
type kept struct {
	t       testing.TB
	src     []byte // that is walked
	plain   int    // streams that lie in it as they are
	streams map[string]string
	damage  []string
}

// lies demands that a stream stands in the source where it says.
func (k *kept) lies(path string, at int64, b []byte) {
	if at < 0 {
		return
	}
	k.plain++
	if k.src != nil && !bytes.HasPrefix(k.src[at:], b) {
		k.t.Errorf("%s does not lie at byte %d of the source", path, at)
	}
}

func (k *kept) Whole(path string, at int64, b []byte) {
	k.lies(path, at, b)
	if _, ok := k.streams[path]; ok && k.t != nil {
		path += " again"
	}
	k.streams[path] = string(b)
}

func (k *kept) Stream(path string, at int64) io.WriteCloser {
	return &keptStream{k: k, path: path, at: at}
}

func (k *kept) Damage(path string, _ int64, reason string) {
	k.damage = append(k.damage, path+": "+reason)
}

type keptStream struct {
	bytes.Buffer
	k    *kept
	path string
	at   int64
}

func (s *keptStream) Close() error {
	s.k.lies(s.path, s.at, s.Bytes())
	s.k.streams[s.path] = s.String()
	return nil
}

// walk decodes b.
func walk(t testing.TB, b []byte) *kept {
	t.Helper()
	k := &kept{t: t, src: b, streams: map[string]string{}}
	if err := NewDecoder(NewBudget(1<<40)).Walk(context.Background(), fstest.Bytes([]byte(b)), k); err != nil {
		t.Fatal(err)
	}
	return k
}

// want compares the streams, and wants no damage.
func (k *kept) want(want map[string]string) {
	k.t.Helper()
	for _, d := range k.damage {
		k.t.Errorf("damage: %s", d)
	}
	for path, text := range want {
		if got, ok := k.streams[path]; !ok || got != text {
			k.t.Errorf("%q holds %d bytes, want %d (there: %v)", path, len(got), len(text), ok)
		}
	}
	if len(k.streams) != len(want) {
		for path := range k.streams {
			if _, ok := want[path]; !ok {
				k.t.Errorf("a stream too many: %q", path)
			}
		}
	}
}

// text is lines that compress ten times or so, and hold no base64.
func text(n int) string {
	r := rand.New(rand.NewPCG(3, 5))
	var b strings.Builder
	for b.Len() < n {
		fmt.Fprintf(&b, "Nov 27 %02d:%02d:%02d host sshd[%d]: session opened for user %d\n", r.IntN(24), r.IntN(60), r.IntN(60), r.IntN(30000), r.IntN(9))
	}
	return b.String()[:n]
}

func gz(b string) string {
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	io.WriteString(z, b)
	z.Close()
	return out.String()
}

func tarOf(files ...string) string {
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for i := 0; i < len(files); i += 2 {
		w.WriteHeader(&tar.Header{Name: files[i], Size: int64(len(files[i+1])), Mode: 0o600})
		io.WriteString(w, files[i+1])
	}
	w.Close()
	return out.String()
}

// run gives what a tool writes for in.
func run(t testing.TB, in, name string, args ...string) string {
	t.Helper()
	if _, err := exec.LookPath(name); err != nil {
		t.Skipf("needs %s", name)
	}
	c := exec.Command(name, args...)
	c.Stdin = strings.NewReader(in)
	out, err := c.Output()
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return string(out)
}

// TestTools decodes what the tools of this machine pack.
func TestTools(t *testing.T) {
	long, short := text(600_000), "short\n"
	for _, tool := range [][]string{
		{"gzip", "-c"},
		{"gzip", "-9c"},
		{"zstd", "-qc"},
		{"zstd", "-19qc"},
		{"zstd", "--long=27", "-qc"},
		{"zstd", "--no-check", "-qc"},
		{"xz", "-c"},
		{"xz", "-9c"},
		{"xz", "-c", "-T2", "--block-size=100000"},
		{"xz", "-c", "-Csha256"},
		{"xz", "-c", "-Ccrc32"},
		{"xz", "-c", "-Cnone"},
		{"bzip2", "-c"},
		{"bzip2", "-1c"},
		{"lz4", "-c"},
		{"lz4", "-9c"},
		{"lz4", "-c", "-B4", "-BD"},
	} {
		t.Run(strings.Join(tool, " "), func(t *testing.T) {
			a, b := run(t, long, tool[0], tool[1:]...), run(t, short, tool[0], tool[1:]...)
			walk(t, []byte(a)).want(map[string]string{"!": long})
			walk(t, []byte(b)).want(map[string]string{"!": short})
			walk(t, []byte(b+a+b)).want(map[string]string{"!": short + long + short})
			packed := run(t, tarOf("a", short, "dir/b", long), tool[0], tool[1:]...)
			walk(t, []byte(packed)).want(map[string]string{"!a": short, "!dir/b": long})
			k := walk(t, []byte(a[:len(a)*2/3]))
			if len(k.damage) == 0 || !strings.HasPrefix(long, k.streams["!"]) || len(k.streams["!"]) == 0 && (tool[0] == "gzip" || tool[0] == "zstd") {
				t.Errorf("cut: %d bytes, damage %q", len(k.streams["!"]), k.damage)
			}
		})
	}
}

// TestArchives decodes what tar and zip make of a folder.
func TestArchives(t *testing.T) {
	dir := t.TempDir()
	files := map[string]string{"a": "short\n", "deep/" + strings.Repeat("long", 30) + "/b": text(700_000), "deep/nul": strings.Repeat("\x00", 5000), "c": gz("packed\n")}
	for name, b := range files {
		p := filepath.Join(dir, name)
		os.MkdirAll(filepath.Dir(p), 0o755)
		os.WriteFile(p, []byte(b), 0o644)
	}
	want := map[string]string{}
	for name, b := range files {
		want["!"+name] = b
	}
	delete(want, "!c")
	want["!c!"] = "packed\n"
	for _, c := range []string{"tar -cf - *", "tar --format=pax -cf - *", "tar --format=gnu -czf - *", "tar --format=v7 -cf - a deep/nul", "zip -qr - a deep c", "zip -qr0 - a deep c", "zip -qr x.zip a deep c; cat x.zip; rm x.zip", "zip -0qr y.zip a deep c; cat y.zip; rm y.zip", "python3 -c 'import zipfile,sys,os\nz=zipfile.ZipFile(sys.stdout.buffer,\"w\",8)\nfor r,d,f in os.walk(\".\"):\n  for n in f: z.write(os.path.join(r,n)[2:])\nz.close()'"} {
		t.Run(c, func(t *testing.T) {
			if _, err := exec.LookPath(strings.Fields(c)[0]); err != nil {
				t.Skip("needs " + c)
			}
			cmd := exec.Command("sh", "-c", "cd "+dir+" && "+c)
			out, err := cmd.Output()
			if err != nil {
				t.Fatal(err)
			}
			w := want
			if strings.Contains(c, "v7") {
				w = map[string]string{"!a": files["a"], "!deep/nul": files["deep/nul"]}
			}
			walk(t, out).want(w)
		})
	}
}

// TestStored finds the end of members whose length follows, wherever it stands.
func TestStored(t *testing.T) {
	for _, n := range []int{1, 16, readSize - 40, readSize - 16, readSize - 8, readSize, readSize + 3, 2*readSize - 5, 300_000} {
		content := text(n)
		member := func(name, s string) string {
			b := le.AppendUint16([]byte(zipLocal), 20)
			b = le.AppendUint16(le.AppendUint16(b, zipLater), 0)
			b = append(b, make([]byte, 4+12)...)
			b = append(le.AppendUint16(le.AppendUint16(b, uint16(len(name))), 0), name+s+zipDescriptor...)
			b = le.AppendUint32(b, 0)
			return string(le.AppendUint32(le.AppendUint32(b, uint32(len(s))), uint32(len(s))))
		}
		walk(t, []byte(member("a", content)+member("b", content)+member("c", zipDescriptor+"x"))).want(map[string]string{"!a": content, "!b": content, "!c": zipDescriptor + "x"})
	}
}

// TestNested goes three levels deep and no deeper.
// TestPlainPlaces counts the streams that lie in the source as they are: members
// of a tar and stored members of a zip, also one in another, and none that was
// decoded or that leaves holes out.
func TestPlainPlaces(t *testing.T) {
	long := text(200000)
	stored := run(t, tarOf("app.tar", tarOf("in", "inner", "long", long)), "sh", "-c", "cd $(mktemp -d) && cat >a.tar && zip -q -0 x.zip a.tar && cat x.zip")
	for name, c := range map[string]struct {
		in    string
		plain int
	}{
		"tar":      {tarOf("a", "hello", "b", long), 2},
		"tar.gz":   {gz(tarOf("a", "hello", "b", long)), 0},
		"gz in it": {tarOf("a.gz", gz("hello"), "b", "plain"), 1},
		"tar.tar":  {tarOf("x", "y", "a.tar", tarOf("b", long, "c", "d")), 3},
		"zip":      {string(stored), 2},
		"pax":      {run(t, "", "sh", "-c", "cd $(mktemp -d) && echo a > ä && tar --format=pax -cf - ä"), 1},
		"sparse":   {run(t, "", "sh", "-c", "cd $(mktemp -d) && truncate -s 1M x && echo y >>x && tar --format=gnu -Scf - x"), 0},
		"sparse 1": {run(t, "", "sh", "-c", "cd $(mktemp -d) && truncate -s 1M x && echo y >>x && tar --format=pax --sparse-version=1.0 -Scf - x"), 0},
		"sparse 0": {run(t, "", "sh", "-c", "cd $(mktemp -d) && truncate -s 1M x && echo y >>x && tar --format=pax --sparse-version=0.1 -Scf - x"), 0},
	} {
		if k := walk(t, []byte(c.in)); k.plain != c.plain || len(k.damage) > 0 {
			t.Errorf("%s: %d streams, %q", name, k.plain, k.damage)
		}
	}
}

func TestNested(t *testing.T) {
	zipped := func(b string) string {
		dir := t.TempDir()
		os.WriteFile(filepath.Join(dir, "in"), []byte(b), 0o644)
		return run(t, "", "sh", "-c", "cd "+dir+" && zip -q x.zip in && cat x.zip")
	}
	k := walk(t, []byte(tarOf("layer.tar.gz", gz(tarOf("app.zip", zipped("key"))))))
	k.want(map[string]string{"!layer.tar.gz!app.zip!in": "key"})
	k = walk(t, []byte(gz(gz(gz("three")))))
	k.want(map[string]string{"!!!": "three"})
	k = walk(t, []byte(gz(gz(gz(gz("four"))))))
	if len(k.damage) != 1 || !strings.Contains(k.damage[0], "inside 3 other containers") || k.streams["!!!"] != gz("four") {
		t.Errorf("%q, damage %q", k.streams, k.damage)
	}
}

// TestBomb wants a quick end that is told.
func TestBomb(t *testing.T) {
	zeros := make([]byte, 1<<20)
	bomb := func(mib int) string {
		var out bytes.Buffer
		z := gzip.NewWriter(&out)
		for range mib {
			z.Write(zeros)
		}
		z.Close()
		return out.String()
	}
	one := bomb(1024)
	for name, b := range map[string]string{
		"10 GiB of zeros": strings.Repeat(one, 10),
		"nested":          gz(gz(one)),
		"many":            tarOf("a", one, "b", one, "c", one, "d", one),
		"sparse":          run(t, "", "sh", "-c", "cd $(mktemp -d) && truncate -s 10G x && tar -Scf - x; rm x; rmdir $PWD"),
	} {
		k := &counted{}
		if err := NewDecoder(NewBudget(1<<40)).Walk(context.Background(), fstest.Bytes([]byte(b)), k); err != nil {
			t.Fatal(err)
		}
		if k.n > 300<<20 || len(k.damage) == 0 {
			t.Errorf("%s: %d bytes came out, damage %q", name, k.n, k.damage)
		}
		t.Logf("%s: %d in, %d out, %q", name, len(b), k.n, k.damage)
	}
}

// counted is a Taker that counts.
type counted struct {
	n      int64
	damage []string
}

func (c *counted) Whole(_ string, _ int64, b []byte)   { c.n += int64(len(b)) }
func (c *counted) Stream(string, int64) io.WriteCloser { return c }
func (c *counted) Write(b []byte) (int, error)         { c.n += int64(len(b)); return len(b), nil }
func (c *counted) Close() error                        { return nil }
func (c *counted) Damage(p string, _ int64, r string)  { c.damage = append(c.damage, p+": "+r) }

// TestBudget wants sources that share a Budget to end with it.
func TestBudget(t *testing.T) {
	b := NewBudget(500_000)
	d := NewDecoder(b)
	src := fstest.Bytes([]byte(gz(text(1_000_000))))
	if err := d.Walk(context.Background(), src, &counted{}); !errors.Is(err, ErrBudget) {
		t.Errorf("first: %v", err)
	}
	if err := d.Walk(context.Background(), src, &counted{}); !errors.Is(err, ErrBudget) {
		t.Errorf("second: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	k := &counted{}
	if err := NewDecoder(NewBudget(1<<40)).Walk(ctx, src, k); !errors.Is(err, context.Canceled) || len(k.damage) > 0 {
		t.Errorf("canceled: %v, %q", err, k.damage)
	}
}

// TestDamagedMember goes past a member of gzip, tar and zip that is damaged.
func TestDamagedMember(t *testing.T) {
	a, b := text(100_000), text(50_000)
	mid := gz(strings.ToUpper(a))
	broken := mid[:2000] + strings.Repeat("\xff", 500) + mid[2500:]
	k := walk(t, []byte(gz(a)+broken+gz(b)))
	if s := k.streams["!"]; !strings.HasPrefix(s, a) || !strings.HasSuffix(s, b) || len(k.damage) == 0 {
		t.Errorf("gzip: %d bytes, damage %q", len(s), k.damage)
	}
	bad := []byte(tarOf("a", a, "mid", "mid", "b", b))
	at := bytes.Index(bad, []byte("mid\x00"))
	copy(bad[at+120:], "garbage")
	copy(bad[at+150:], "garbage")
	k = walk(t, bad)
	if k.streams["!a"] != a || k.streams["!b"] != b || len(k.damage) != 1 {
		t.Errorf("tar: %q", k.damage)
	}
	k = walk(t, []byte(tarOf("a", a)+tarOf("b", b)))
	k.want(map[string]string{"!a": a, "!b": b})
}

// TestBase64 finds runs in lines, indented, escaped, long, and packed.
func TestBase64(t *testing.T) {
	body := "[default]\naws_access_key_id = AKIA" + strings.Repeat("Q", 16) + "\naws_secret_access_key = nothing of interest\n"
	one := base64.StdEncoding.EncodeToString([]byte(body))
	lines := func(s, end string) string {
		var out []string
		for c := range slices.Chunk([]byte(s), 76) {
			out = append(out, string(c))
		}
		return strings.Join(out, end)
	}
	long := text(400_000)
	packed := base64.StdEncoding.EncodeToString([]byte(gz(body)))
	for name, c := range map[string]struct{ in, path, want string }{
		"line":     {"key: " + one + "\n", "!base64-5", body},
		"whole":    {one, "!base64-0", body},
		"mime":     {"\n\n" + lines(one, "\r\n") + "\n", "!base64-2", body},
		"yaml":     {"content: |\n      " + lines(one, "\n      ") + "\nend: 1\n", "!base64-17", body},
		"json":     {`{"a":"` + lines(one, `\n`) + `"}`, "!base64-6", body},
		"shifted":  {`{"a":"\n` + one + `"}`, "!base64-8", body},
		"long":     {"x " + lines(base64.StdEncoding.EncodeToString([]byte(long)), "\n") + " x", "!base64-2", long},
		"packed":   {"gz+b64 " + packed, "!base64-7!", body},
		"far":      {strings.Repeat("word word, ", 30000) + one, "!base64-330000", body},
		"at block": {strings.Repeat("word word, ", blockSize/11) + " " + one, fmt.Sprintf("!base64-%d", blockSize/11*11+1), body},
		"in gzip":  {gz("x " + one), "!!base64-2", body},
	} {
		k := walk(t, []byte(c.in))
		if got := k.streams[c.path]; got != c.want || len(k.damage) > 0 {
			t.Errorf("%s: %d bytes, want %d; damage %q", name, len(got), len(c.want), k.damage)
		}
		if !Hides([]byte(c.in)[:min(len(c.in), 4096)], int64(len(c.in)), 4096) {
			t.Errorf("%s: not worth a look", name)
		}
	}
	for _, s := range []string{"plain text", strings.Repeat("d41d8cd98f00b204e9800998ecf8427e  file\n", 9), "\x7fELF" + strings.Repeat("\x00", 100) + one} {
		if Hides([]byte(s), int64(len(s)), 4096) {
			t.Errorf("%.20q: worth a look", s)
		}
	}
}

// TestSQLite wants payloads put together that lie on several pages.
func TestSQLite(t *testing.T) {
	for _, page := range []int{512, 1024, 4096, 65536} {
		path := filepath.Join(t.TempDir(), "db")
		var script strings.Builder
		fmt.Fprintf(&script, "PRAGMA page_size=%d; CREATE TABLE t (a, b); CREATE INDEX i ON t (b);\n", page)
		for i := range 40 {
			fmt.Fprintf(&script, "INSERT INTO t VALUES (%d, '<%d>%s<end %d>');\n", i, i, strings.Repeat("abcdefghij klm ", i*page/300), i)
		}
		run(t, script.String(), "sqlite3", path)
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, pre := range []string{"", "!"} {
			in := b
			if pre != "" {
				in = []byte(gz(string(b)))
			}
			k := walk(t, in)
			n := 0
			for i := range 40 {
				want := fmt.Sprintf("<%d>%s<end %d>", i, strings.Repeat("abcdefghij klm ", i*page/300), i)
				for path, s := range k.streams {
					if strings.HasPrefix(path, pre+"!page-") && strings.Contains(s, want) {
						n++
					}
				}
			}
			if n < 50 || len(k.damage) > 0 {
				t.Errorf("page size %d: %d payloads of table and index, damage %q", page, n, k.damage)
			}
		}
	}
}

// TestGit wants what git stores: loose objects and packs, with deltas.
func TestGit(t *testing.T) {
	dir := t.TempDir()
	long := text(200_000)
	os.WriteFile(filepath.Join(dir, "a"), []byte(long), 0o644)
	run(t, "", "sh", "-ec", "cd "+dir+`; git init -q .; git config user.name x; git config user.email x@example.org
git add a; git commit -qm one; sed -i '900s/$/ AKIA in a later version/' a; git add a; git commit -qm two`)
	var found []string
	look := func() {
		filepath.WalkDir(filepath.Join(dir, ".git/objects"), func(p string, e os.DirEntry, err error) error {
			b, _ := os.ReadFile(p)
			if len(b) == 0 || strings.HasSuffix(p, ".idx") || strings.HasSuffix(p, ".rev") {
				return nil
			}
			k := walk(t, b)
			for _, d := range k.damage {
				t.Errorf("%s: %s", p, d)
			}
			for path, s := range k.streams {
				if strings.Contains(s, "AKIA in a later version") || strings.Contains(s, long) {
					found = append(found, path)
				}
			}
			return nil
		})
	}
	look()
	if want := []string{"!", "!"}; !slices.Equal(found, want) {
		t.Errorf("loose: found in %q", found)
	}
	found = nil
	run(t, "", "sh", "-ec", "cd "+dir+"; git repack -qad; git prune")
	look()
	if len(found) < 1 || !strings.HasPrefix(found[0], "!object-") {
		t.Errorf("packed: found in %q", found)
	}
}

func TestCutEverywhere(t *testing.T) {
	whole := []byte(tarOf("a.gz", gz(text(5000)), "b", "x "+base64.StdEncoding.EncodeToString([]byte(gz("hello"))), "c.tar", tarOf("d", "e")))
	for n := 0; n < len(whole); n += 97 {
		walk(t, whole[:n])
	}
}
