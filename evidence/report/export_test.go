package report

import (
	"bytes"
	"encoding/json"
	"errors"
	"iter"
	"os/exec"
	"strings"
	"testing"
	"unicode/utf8"

	"snapcase/evidence"
	"snapcase/imaging"
)

func entries() []evidence.FileEntry {
	t := when("2026-10-14T04:47:31.5Z")
	return []evidence.FileEntry{
		{Exhibit: "EX-001", Volume: "p2", Path: "/etc/passwd", Inode: 12, Type: "file", Mode: "100644", Size: 900, Status: "allocated", Modified: t, Accessed: t, Changed: t, Born: when("2026-08-18T03:14:22Z")},
		{Exhibit: "EX-001", Volume: "p2", Path: "/tmp", Inode: 13, Type: "dir", Mode: "41777", Status: "allocated", Modified: t},
		{Exhibit: "EX-001", Volume: "p2", Path: "/usr/bin/sudo", Inode: 14, Type: "file", Mode: "104111", Status: "allocated", Modified: t},
		{Exhibit: "EX-001", Volume: "p2", Path: "/bin", Inode: 15, Type: "symlink", Mode: "120777", Status: "allocated", Link: ptr("usr/bin"), Modified: t},
		{Exhibit: "EX-001", Volume: "p2", Path: "/home/marc/.bash_history", Inode: 322, Type: "file", Mode: "100600", UID: 1001, GID: 1001, Size: 712, Status: "deleted", Changed: t, DeletedAt: t},
		{Exhibit: "EX-001", Volume: "p2", Path: "/$Orphan/#99", Inode: 99, Type: "file", Mode: "100600", Status: "orphan", Modified: t},
		{Exhibit: "EX-001", Volume: "p2", Path: "/tmp/a|b\\c\n\x1b]0;x\x07", Inode: 16, Type: "file", Mode: "100644", Status: "allocated", Modified: t},
		{Exhibit: "EX-001", Volume: "p2", Path: "/tmp/caf\uFFFD", PathB64: []byte("/tmp/caf\xe9"), Inode: 17, Type: "fifo", Mode: "bad", Status: "allocated", Modified: t},
		{Exhibit: "EX-001", Volume: "p2", Path: "/tmp/50%/x%0aFri Jan 02 1970 forged%7cline%", Inode: 18, Type: "file", Mode: "100644", Status: "allocated", Modified: t},
		{Exhibit: "EX-001", Volume: "p1", Path: "/old", Inode: 3, Type: "file", Mode: "100644", Status: "allocated", Modified: when("1960-01-01T00:00:00Z")},
	}
}

func TestBodyfile(t *testing.T) {
	var b bytes.Buffer
	if err := Bodyfile(&b, seqOf(entries())); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(b.String(), "\n"), "\n")
	want := []string{
		"0|EX-001/p2/etc/passwd|12|r/rrw-r--r--|0|0|900|1791953251|1791953251|1791953251|1787022862",
		"0|EX-001/p2/tmp|13|d/drwxrwxrwt|0|0|0|0|1791953251|0|0",
		"0|EX-001/p2/usr/bin/sudo|14|r/r--s--x--x|0|0|0|0|1791953251|0|0",
		"0|EX-001/p2/bin -> usr/bin|15|l/lrwxrwxrwx|0|0|0|0|1791953251|0|0",
		"0|EX-001/p2/home/marc/.bash_history (deleted)|322|r/rrw-------|1001|1001|712|0|0|1791953251|0",
		"0|EX-001/p2/$Orphan/#99 (orphan)|99|-/rrw-------|0|0|0|0|1791953251|0|0",
		`0|EX-001/p2/tmp/a\x7cb\x5cc\x0a\x1b]0;x\x07|16|r/rrw-r--r--|0|0|0|0|1791953251|0|0`,
		"0|EX-001/p2/tmp/caf\xe9|17|p/p---------|0|0|0|0|1791953251|0|0",
		`0|EX-001/p2/tmp/50%/x\x250aFri Jan 02 1970 forged\x257cline%|18|r/rrw-r--r--|0|0|0|0|1791953251|0|0`,
		"0|EX-001/p1/old|3|r/rrw-r--r--|0|0|0|0|-315619200|0|0",
	}
	if len(lines) != len(want) {
		t.Fatalf("%d lines, want %d", len(lines), len(want))
	}
	for i, l := range lines {
		if l != want[i] {
			t.Errorf("line %d\n got %q\nwant %q", i+1, l, want[i])
		}
		if n := strings.Count(l, "|"); n != 10 {
			t.Errorf("line %d has %d bars, want 10", i+1, n)
		}
	}
}

// TestMactime gives the bodyfile to the tool it is for.
func TestMactime(t *testing.T) {
	mactime, err := exec.LookPath("mactime")
	if err != nil {
		t.Skip("needs mactime of The Sleuth Kit")
	}
	var b, out, said bytes.Buffer
	if err := Bodyfile(&b, seqOf(entries())); err != nil {
		t.Fatal(err)
	}
	c := exec.CommandContext(t.Context(), mactime, "-d", "-y", "-z", "UTC")
	c.Stdin, c.Stdout, c.Stderr = &b, &out, &said
	if err := c.Run(); err != nil {
		t.Fatalf("mactime: %v: %s", err, said.String())
	}
	if said.Len() > 0 {
		t.Errorf("mactime says: %s", said.String())
	}
	for _, want := range []string{
		`2026-10-14T04:47:31Z,900,mac.,r/rrw-r--r--,0,0,12,"EX-001/p2/etc/passwd"`,
		`2026-08-18T03:14:22Z,900,...b,r/rrw-r--r--,0,0,12,"EX-001/p2/etc/passwd"`,
		`2026-10-14T04:47:31Z,712,..c.,r/rrw-------,1001,1001,322,"EX-001/p2/home/marc/.bash_history (deleted)"`,
		`d/drwxrwxrwt,0,0,13,"EX-001/p2/tmp"`,
		`,18,"EX-001/p2/tmp/50%/x\x250aFri Jan 02 1970 forged\x257cline%"`,
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("mactime does not show %q:\n%s", want, out.String())
		}
	}
}

func moments() []evidence.Moment {
	m := sample().Timeline
	return append(m,
		evidence.Moment{Time: when("2026-10-14T05:00:00Z"), Source: "host", Type: "secure", Summary: strings.Repeat("é", 20000), Exhibit: "EX-001", Record: "EX-001/p2/1:0/var/log/secure"},
		evidence.Moment{Source: "fs", Type: "M...", Summary: "caf\xe9", Exhibit: "EX-001"},
		evidence.Moment{Time: imaging.Time{Sec: -1, Nsec: 5, Set: true}, Source: "fs", Type: "MACB", Exhibit: "EX-001"},
	)
}

func TestTimesketch(t *testing.T) {
	var b bytes.Buffer
	if err := Timesketch(&b, seqOf(moments())); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(b.String(), "\n"), "\n")
	if len(lines) != len(moments()) {
		t.Fatalf("%d lines", len(lines))
	}
	var got []map[string]any
	for _, l := range lines {
		var m map[string]any
		if err := json.Unmarshal([]byte(l), &m); err != nil {
			t.Fatalf("%q: %v", l, err)
		}
		for _, k := range []string{"message", "datetime", "timestamp_desc"} {
			if s, _ := m[k].(string); s == "" || !utf8.ValidString(s) || len(s) > keywordMax {
				t.Errorf("%s is %q", k, s)
			}
		}
		if _, ok := m["tag"].([]any); !ok {
			t.Errorf("tag is %v, Timesketch wants a list", m["tag"])
		}
		got = append(got, m)
	}
	for i, want := range map[int][2]string{
		0: {"2026-10-13T23:51:25.204877391+00:00", "Last Access Time"}, 1: {"2026-10-14T01:12:09+00:00", "Event Logged"}, 3: {"2026-10-14T02:20:41+00:00", "Capture Window Start"},
		6: {"1970-01-01T00:00:00+00:00", "Not a time"}, 7: {"1969-12-31T23:59:59.000000005+00:00", "Content Modification Time; Last Access Time; Metadata Modification Time; Creation Time"},
	} {
		if got[i]["datetime"] != want[0] || got[i]["timestamp_desc"] != want[1] {
			t.Errorf("line %d: %v, %v; want %v", i+1, got[i]["datetime"], got[i]["timestamp_desc"], want)
		}
	}
	if s := got[5]["message"].(string); !strings.HasSuffix(s, "é …(cut)") {
		t.Errorf("a long message ends %q", s[len(s)-20:])
	}
}

func TestTimelineCSV(t *testing.T) {
	var b bytes.Buffer
	if err := TimelineCSV(&b, seqOf(moments())); err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(b.String(), "time,source,type,summary,actor,exhibit,record,tags,uncertain\n2026-10-13T23:51:25.204877391Z,fs,.A..,/home/ec2-user/.aws/credentials,") {
		t.Errorf("begins %.200q", b.String())
	}
}

// TestExportErrors: an error of the source ends each export and is told; what
// came before it is written.
func TestExportErrors(t *testing.T) {
	bad := errors.New("the index is gone")
	for name, f := range map[string]func(*bytes.Buffer) error{
		"timesketch": func(b *bytes.Buffer) error { return Timesketch(b, failing(moments()[0], bad)) },
		"csv":        func(b *bytes.Buffer) error { return TimelineCSV(b, failing(moments()[0], bad)) },
		"bodyfile":   func(b *bytes.Buffer) error { return Bodyfile(b, failing(entries()[0], bad)) },
	} {
		var b bytes.Buffer
		if err := f(&b); !errors.Is(err, bad) {
			t.Errorf("%s: %v", name, err)
		}
		if !strings.Contains(b.String(), "EX-001") {
			t.Errorf("%s: the first line is lost", name)
		}
	}
}

func failing[T any](first T, err error) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var zero T
		if yield(first, nil) {
			yield(zero, err)
		}
	}
}

func TestCASE(t *testing.T) {
	var b, again bytes.Buffer
	in := sample()
	if err := errors.Join(CASE(&b, in), CASE(&again, in)); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(b.Bytes(), again.Bytes()) {
		t.Error("two runs differ")
	}
	var doc struct {
		Context map[string]string `json:"@context"`
		Graph   []map[string]any  `json:"@graph"`
	}
	if err := json.Unmarshal(b.Bytes(), &doc); err != nil {
		t.Fatal(err)
	}
	defined, kinds := map[string]bool{}, map[string]int{}
	for _, o := range doc.Graph {
		id, _ := o["@id"].(string)
		if id == "" || defined[id] {
			t.Errorf("id %q is missing or twice", id)
		}
		defined[id] = true
		kinds[o["@type"].(string)]++
	}
	want := map[string]int{
		"investigation:Investigation": 1, "investigation:Authorization": 1, "investigation:ProvenanceRecord": 3, "observable:File": 3, "observable:ObservableObject": 3,
		"investigation:InvestigativeAction": 6, "identity:Person": 3, "tool:Tool": 1,
	}
	for k, n := range want {
		if kinds[k] != n {
			t.Errorf("%d of %s, want %d", kinds[k], k, n)
		}
	}
	var walk func(any)
	walk = func(v any) {
		switch x := v.(type) {
		case map[string]any:
			if id, ok := x["@id"].(string); ok && len(x) == 1 && !defined[id] {
				t.Errorf("%s is referred to and not defined", id)
			}
			for k, c := range x {
				if prefix, _, ok := strings.Cut(k, ":"); ok && doc.Context[prefix] == "" {
					t.Errorf("prefix of %s is not in the context", k)
				}
				walk(c)
			}
		case []any:
			for _, c := range x {
				walk(c)
			}
		case float64:
			t.Errorf("a plain number %v; numbers are typed", x)
		}
	}
	for _, o := range doc.Graph {
		walk(o)
	}
	if !strings.Contains(b.String(), `"@value": "`+in.Exhibits[0].SHA256.String()) {
		t.Error("no digest of EX-001")
	}
}
