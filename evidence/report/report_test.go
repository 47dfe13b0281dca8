package report

import (
	"bytes"
	"encoding/csv"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"golang.org/x/net/html"

	"snapcase/evidence"
	"snapcase/evidence/custody"
)

var update = flag.Bool("update", false, "write the golden files anew")

// TestGolden compares the page and every table of a small case. With
// -args -update they are written; look at the page before committing it.
func TestGolden(t *testing.T) {
	dir := write(t, sample())
	names, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(names) != 12 {
		t.Errorf("%d files, want index.html and 11 tables", len(names))
	}
	for _, n := range names {
		got := read(t, filepath.Join(dir, n.Name()))
		golden := filepath.Join("testdata", "golden", n.Name())
		if *update {
			if err := errJoin(os.MkdirAll(filepath.Dir(golden), 0o755), os.WriteFile(golden, got, 0o644)); err != nil {
				t.Fatal(err)
			}
		}
		if want := read(t, golden); !bytes.Equal(got, want) {
			t.Errorf("%s differs from %s at byte %d", n.Name(), golden, differ(got, want))
		}
	}
}

func errJoin(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func differ(a, b []byte) int {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return i
		}
	}
	return min(len(a), len(b))
}

func read(t testing.TB, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// elements fails on any element, attribute or link target that the page's own
// templates do not have.
func elements(t testing.TB, page []byte) {
	t.Helper()
	names := strings.Fields("html head meta title style body main header footer section nav p h1 h2 h3 a strong em code i br wbr span div dl dt dd ul ol li table thead tbody tr th td figure figcaption svg g text line rect")
	attrs := strings.Fields("lang charset http-equiv content name href id class style title viewbox role aria-label transform x y dx x1 x2 y1 y2 width height rx text-anchor")
	z := html.NewTokenizer(bytes.NewReader(page))
	for {
		kind := z.Next()
		if kind == html.ErrorToken {
			return
		}
		if kind == html.TextToken {
			continue
		}
		tok := z.Token()
		if kind == html.CommentToken || kind != html.DoctypeToken && !slices.Contains(names, tok.Data) {
			t.Errorf("the page has %v", tok)
		}
		for _, a := range tok.Attr {
			if !slices.Contains(attrs, a.Key) || a.Key == "href" && !strings.HasPrefix(a.Val, "#") || a.Key == "style" && !strings.HasPrefix(a.Val, "width:") {
				t.Errorf("the page has %v", tok)
			}
		}
	}
}

// hostile are values that try to leave their place.
var hostile = []string{
	"\x1b]0;owned\x07\x1b[2J", "</td><script>alert(1)</script><img src=x onerror=alert(1)>", "\u202egnp.exe\u2066", "=cmd|' /C calc'!A0", "+1+1", "-2+3", "@SUM(1)", "\t=1", "\r=1",
	"a\nb\r\nc", "caf\xe9\xff", "\"'`{{.}}${x}<!--", "javascript:alert(1)", "https://evil.example/", "\u200b\ufeff\U000e0041", "\x00",
}

// poison puts hostile text after every string in v.
func poison(v reflect.Value, n *int) {
	switch v.Kind() {
	case reflect.String:
		if v.CanSet() && v.Type() != reflect.TypeFor[evidence.Kind]() {
			v.SetString(hostile[*n%len(hostile)] + v.String())
			*n++
		}
	case reflect.Pointer, reflect.Interface:
		if v.IsNil() {
			return
		}
		if v.Kind() == reflect.Interface {
			if s, ok := v.Interface().(string); ok {
				v.Set(reflect.ValueOf(hostile[*n%len(hostile)] + s))
				*n++
			}
			return
		}
		poison(v.Elem(), n)
	case reflect.Slice:
		for i := range v.Len() {
			poison(v.Index(i), n)
		}
	case reflect.Map:
		for _, k := range v.MapKeys() {
			c := reflect.New(v.Type().Elem()).Elem()
			c.Set(v.MapIndex(k))
			poison(c, n)
			v.SetMapIndex(k, c)
		}
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			return
		}
		for i := range v.NumField() {
			poison(v.Field(i), n)
		}
	default:
	}
}

// TestHostile puts hostile text into every field, each text into each field
// over the rounds, and asks that no page or table shows it raw and that the
// page has no element or attribute but its own.
func TestHostile(t *testing.T) {
	for round := range hostile {
		in := sample()
		n := round
		poison(reflect.ValueOf(&in).Elem(), &n)
		if n-round < 300 {
			t.Fatalf("only %d fields were reached", n-round)
		}
		dir := write(t, in)
		page := read(t, filepath.Join(dir, "index.html"))
		plainText(t, "index.html", page)
		elements(t, page)
		files, err := filepath.Glob(filepath.Join(dir, "*.csv"))
		if err != nil || len(files) != 11 {
			t.Fatal(files, err)
		}
		for _, f := range files {
			safeTable(t, f)
		}
	}
}

// plainText fails on what must not reach a screen.
func plainText(t *testing.T, name string, b []byte) {
	t.Helper()
	if !utf8.Valid(b) {
		t.Errorf("%s is not UTF-8", name)
	}
	for i, r := range string(b) {
		if r < 0x20 && r != '\n' || r >= 0x7f && r < 0xa0 || r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069 || r == 0x200b || r == 0xfeff || r >= 0xe0000 {
			t.Fatalf("%s: byte %d is U+%04X: …%q", name, i, r, string(b[max(0, i-40):min(len(b), i+10)]))
		}
	}
}

func safeTable(t *testing.T, path string) {
	t.Helper()
	b := read(t, path)
	plainText(t, path, b)
	rows, err := csv.NewReader(bytes.NewReader(b)).ReadAll()
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	for _, r := range rows {
		for _, c := range r {
			if c != "" && strings.ContainsRune("=+-@\t\r", rune(c[0])) {
				t.Errorf("%s: cell %q is a formula", path, c)
			}
		}
	}
}

// TestParses reads the page with a parser and asks that nothing had to be
// mended: each element that is opened is closed in its place.
func TestParses(t *testing.T) {
	page := read(t, filepath.Join(write(t, sample()), "index.html"))
	if _, err := html.Parse(bytes.NewReader(page)); err != nil {
		t.Fatal(err)
	}
	void := []string{"meta", "br", "wbr", "line", "rect"}
	var open []string
	z := html.NewTokenizer(bytes.NewReader(page))
	for {
		kind := z.Next()
		if kind == html.ErrorToken {
			break
		}
		tok := z.Token()
		switch kind {
		case html.StartTagToken:
			if !slices.Contains(void, tok.Data) {
				open = append(open, tok.Data)
			}
		case html.EndTagToken:
			if len(open) == 0 || open[len(open)-1] != tok.Data {
				t.Fatalf("</%s> where %v are open", tok.Data, open)
			}
			open = open[:len(open)-1]
		default:
		}
	}
	if len(open) > 0 {
		t.Errorf("never closed: %v", open)
	}
	if !bytes.Contains(page, []byte(`<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline';`)) {
		t.Error("no content security policy")
	}
	elements(t, page)
}

// TestAnswer asks the page for what an auditor must find first.
func TestAnswer(t *testing.T) {
	page := string(read(t, filepath.Join(write(t, sample()), "index.html")))
	z := html.NewTokenizer(strings.NewReader(page[strings.Index(page, `id="answer"`):strings.Index(page, `id="evidence"`)]))
	var b strings.Builder
	for z.Next() != html.ErrorToken {
		b.WriteString(strings.TrimSpace(string(z.Text())) + " ")
	}
	answer := strings.Join(strings.Fields(html.UnescapeString(b.String())), " ")
	for _, want := range []string{
		"AKIARZPUZDIKM7NHULL7 of arn:aws:iam::123456789012:user/Marc_the_Intern", "at 2 places", "made 6 calls", "the 3 keys it obtained made 39 further calls",
		"allocated EX-001/ p2/ 314:2117930903/ home/ ec2-user/ .aws/ credentials", "deleted EX-001/", "203.0.113.66", "ap-northeast-3", "i-0d980f462ad001bd0",
		"consistent with a tunnel", "44 of 44 replies differ", "2026-10-14 02:20:41Z ICMP begins with 198.51.100.77", "never used in the logs that were acquired",
	} {
		if !strings.Contains(answer, want) {
			t.Errorf("the answer does not say %q", want)
		}
	}
}

// TestEmpty renders a case with nothing in it: limits stand there all the same.
func TestEmpty(t *testing.T) {
	page := string(read(t, filepath.Join(write(t, Input{}), "index.html")))
	for _, want := range []string{"No access key that lies in the evidence was used", "No exhibit has been acquired", "is not evidence of absence", "not that they were true when they were written"} {
		if !strings.Contains(page, want) {
			t.Errorf("the empty page does not say %q", want)
		}
	}
}

// TestLong has more of everything than the page shows: it says how many are
// left out, and the tables have them all.
func TestLong(t *testing.T) {
	in := sample()
	tr := &in.Traces[0]
	for i := range 3000 {
		p := tr.Peers[1]
		p.IP = fmt.Sprintf("203.0.%d.%d", i/250, i%250)
		tr.Peers = append(tr.Peers, p)
		k := tr.Issued[0]
		k.KeyID = fmt.Sprintf("ASIA%016d", i)
		tr.Issued = append(tr.Issued, k)
		m := in.Timeline[1]
		m.Time.Sec += int64(i)
		in.Timeline = append(in.Timeline, m)
		in.Records = append(in.Records, custody.Record{Seq: int64(100 + i), Type: "review.note", Data: map[string]any{"text": strings.Repeat("x", 5000)}})
	}
	dir := write(t, in)
	page := read(t, filepath.Join(dir, "index.html"))
	if len(page) > 2<<20 {
		t.Errorf("the page has %d bytes", len(page))
	}
	for _, want := range []string{"2803 more; peers.csv has all", "2803 more; traces.csv has all", "timeline.csv the first 3005", "of 3011 records"} {
		if !bytes.Contains(page, []byte(want)) {
			t.Errorf("the page does not say %q", want)
		}
	}
	for name, want := range map[string]int{"peers.csv": 3004, "timeline.csv": 3006, "custody.csv": 3012} {
		if n := bytes.Count(read(t, filepath.Join(dir, name)), []byte("\n")); n != want {
			t.Errorf("%s has %d lines, want %d", name, n, want)
		}
	}
}

// TestChainLoop has keys that issue one another: the tree ends all the same.
func TestChainLoop(t *testing.T) {
	a := evidence.IssuedKey{KeyID: "A", By: "B", Depth: 1}
	b := evidence.IssuedKey{KeyID: "B", By: "A", Depth: 2}
	root := chain(evidence.Trace{Entity: evidence.Entity{ID: "K"}, Issued: []evidence.IssuedKey{a, b, {KeyID: "K", By: "K"}}})
	n := 0
	var walk func(node)
	walk = func(x node) {
		n++
		for _, c := range x.Children {
			walk(c)
		}
	}
	walk(root)
	if n != 3 {
		t.Errorf("%d boxes, want K, A and B", n)
	}
}

// TestReplace writes over an earlier report and never through a link.
func TestReplace(t *testing.T) {
	dir := t.TempDir()
	victim := filepath.Join(t.TempDir(), "victim")
	if err := errJoin(os.WriteFile(victim, []byte("keep"), 0o644), os.Symlink(victim, filepath.Join(dir, "index.html"))); err != nil {
		t.Fatal(err)
	}
	if err := Write(t.Context(), dir, sample()); err != nil {
		t.Fatal(err)
	}
	if got := read(t, victim); string(got) != "keep" {
		t.Error("the report went through a link")
	}
	if got := read(t, filepath.Join(dir, "index.html")); !bytes.Contains(got, []byte("<!DOCTYPE html>")) {
		t.Error("no page")
	}
}
