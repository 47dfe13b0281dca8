package store

import (
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"snapcase/evidence"
	"snapcase/imaging"
)

// journalDisk is an NTFS with a change journal.
func journalDisk(t testing.TB) string {
	t.Helper()
	f, err := os.Open("../imaging/filesystem/ntfs/testdata/usn.img.gz")
	must(t, err)
	defer f.Close()
	z, err := gzip.NewReader(f)
	must(t, err)
	b, err := io.ReadAll(z)
	must(t, err)
	path := filepath.Join(t.TempDir(), "usn.img")
	must(t, os.WriteFile(path, b, 0o644))
	return path
}

// TestChangesOnTheTimeline reads the change journal of a disk as lines of the
// timeline among the times of the entries.
func TestChangesOnTheTimeline(t *testing.T) {
	ctx := context.Background()
	c := newTestCase(t)
	bringPath(t, c, evidence.KindDisk, journalDisk(t))
	lines := func(q TimelineQuery) (out []evidence.Moment) {
		for _, m := range collect(t, c.Timeline(ctx, q)) {
			if strings.HasPrefix(m.Type, "usn: ") {
				out = append(out, m)
			}
		}
		if n, err := c.TimelineCount(ctx, q, 0); err != nil || n < int64(len(out)) {
			t.Errorf("%+v: %d lines, count %d, %v", q, len(out), n, err)
		}
		return out
	}
	all := lines(TimelineQuery{Sources: []string{"fs"}})
	if len(all) != 219 {
		t.Errorf("%d records", len(all))
	}
	if !slices.IsSortedFunc(all, func(a, b evidence.Moment) int { return a.Time.Compare(b.Time) }) {
		t.Error("not in order of time")
	}
	var evil []string
	for _, m := range lines(TimelineQuery{Text: "evil.exe"}) {
		evil = append(evil, fmt.Sprintf("%s %s %s %s", m.Time, m.Type, m.Summary, m.Record))
	}
	want := []string{
		"2021-01-01T00:00:13Z usn: rename /dir/evil.exe: RENAME_NEW_NAME|CLOSE (file 70:1 in 65:1, usn 1049592) EX-001/p0/70:1",
		"2021-01-01T00:03:38Z usn: delete /dir/evil.exe: FILE_DELETE|CLOSE (file 70:1 in 65:1, usn 1067848) EX-001/p0/70:1",
	}
	if !slices.Equal(evil, want) {
		t.Errorf("%s", strings.Join(evil, "\n"))
	}
	for text, n := range map[string]int{"file_delete": 4, "/tools/nc": 3, "dir/sub/gone": 2, "/old": 3, "sub/": 2, "nothing": 0} {
		if got := lines(TimelineQuery{Text: text}); len(got) != n {
			t.Errorf("text %q: %d lines", text, len(got))
		}
	}
	from := imaging.Time{Sec: 1609459213, Set: true} // 00:00:13
	if got := lines(TimelineQuery{From: from, To: from}); len(got) != 1 || !strings.Contains(want[0], got[0].Summary) {
		t.Errorf("%+v", got)
	}
	h, err := c.Histogram(ctx, TimelineQuery{Sources: []string{"fs"}}, 50)
	must(t, err)
	var sum int64
	for _, b := range h.Buckets {
		sum += b.Count["fs"]
	}
	if n, err := c.TimelineCount(ctx, TimelineQuery{Sources: []string{"fs"}}, 0); err != nil || n != sum {
		t.Errorf("the bars count %d, the timeline %d, %v", sum, n, err)
	}
	page, err := c.TimelinePage(ctx, TimelineQuery{}, PageRequest{Row: 1, Rows: 30})
	must(t, err)
	if len(page.Rows) != 30 || !page.After {
		t.Errorf("%d rows", len(page.Rows))
	}
}

// TestChangesOfTaggedFile tags a file by one of its lines: all of its lines say
// so, and so does the file.
func TestChangesOfTaggedFile(t *testing.T) {
	ctx := context.Background()
	c := newTestCase(t)
	bringPath(t, c, evidence.KindDisk, journalDisk(t))
	added(t)(c.Tag(ctx, []string{"EX-001/p0/70:1"}, "dropper", false))
	added(t)(c.Tag(ctx, []string{"EX-001/p0/71:1/tools/nc.exe"}, "dropper", false))
	kinds := map[string]int{}
	for m, err := range c.Timeline(ctx, TimelineQuery{Tag: "dropper"}) {
		must(t, err)
		kinds[strings.SplitN(m.Type, ":", 2)[0]]++
		if strings.HasPrefix(m.Type, "usn") && !slices.Equal(m.Tags, []string{"dropper"}) {
			t.Errorf("%+v", m)
		}
	}
	if kinds["usn"] != 4+3 || kinds["...B"] != 2 || kinds["....D"] != 2 {
		t.Error(kinds)
	}
}

// TestNamesOfTheJournalAreFiles finds the files that only the journal knows.
func TestNamesOfTheJournalAreFiles(t *testing.T) {
	c := indexed(t, diskCase(t, evidence.KindDisk, journalDisk(t), nil))
	stats, err := c.Stats(context.Background())
	must(t, err)
	if stats[0].BadRecords != 0 || len(stats[0].Gaps) != 0 {
		t.Errorf("%+v", stats[0].Gaps)
	}
	var got []string
	for _, e := range listFiles(t, c, FileQuery{Deleted: true}) {
		if e.From == "usn-journal" {
			got = append(got, e.Address)
		}
	}
	if want := []string{"EX-001/p0/70:1/dir/evil.exe", "EX-001/p0/67:1/tools", "EX-001/p0/71:1/tools/nc.exe"}; !slices.Equal(got, want) {
		t.Error(got)
	}
}
