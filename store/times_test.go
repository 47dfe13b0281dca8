package store

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"snapcase/evidence"
	"snapcase/imaging"
	"snapcase/imaging/filesystem"
)

// TestTimeNumbers: the numbers of the index have the order of the times, and
// give them back, to the second where they are far.
func TestTimeNumbers(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	at := []int64{0, -1, 1, nearSec, nearSec - 1, -nearSec, -nearSec - 1, -62135596800, 15024009600, 1 << 61, -1 << 61, math.MaxInt64, math.MinInt64}
	for range 2000 {
		at = append(at, rnd.Int64N(4*nearSec)-2*nearSec)
	}
	var all []imaging.Time
	for _, s := range at {
		all = append(all, imaging.Time{Sec: s, Set: true}, imaging.Time{Sec: s, Nsec: 999_999_999, Set: true})
	}
	slices.SortFunc(all, imaging.Time.Compare)
	last := int64(math.MinInt64)
	for _, v := range all {
		ns, exact := nano(v)
		if ns < last {
			t.Fatalf("%v is %d, after %d", v, ns, last)
		}
		last = ns
		if exact == far(ns) {
			t.Errorf("%v: exact %v, far %v", v, exact, far(ns))
		}
		want := v
		if !exact {
			want.Nsec = 0
		}
		if got := ofNano(ns); got != want && v.Sec < 1<<61 && v.Sec > -1<<61 {
			t.Errorf("%v came back as %v", v, got)
		}
	}
}

// TestFarTimes: events of any year are listed in the order of their times, and
// both ends of a span are exact.
func TestFarTimes(t *testing.T) {
	times := []string{
		"0001-01-01T00:00:00Z", "1600-01-01T00:00:00.5Z", "1677-09-21T00:00:00Z", "1700-01-01T00:00:00Z", "1823-01-01T00:00:00Z", "1900-01-01T00:00:00Z",
		"2026-01-01T00:00:00.25Z", "2200-01-01T00:00:00Z", "2262-04-12T00:00:00Z", "2300-01-01T00:00:00.1Z", "2300-01-01T00:00:00.2Z", "2300-01-01T00:00:01Z", "9999-12-31T23:59:59.999999999Z",
	}
	c := newTestCase(t)
	var records []map[string]any
	for i, s := range times {
		records = append(records, map[string]any{"eventID": fmt.Sprint(100 - i), "eventName": "A", "eventTime": s})
	}
	bring(t, c, evidence.KindCloudTrail, map[string]string{"a.json": trail(t, records...)})
	var got []string
	for _, e := range collect(t, c.Events(t.Context(), EventQuery{})) {
		got = append(got, e.Time.String())
	}
	if !slices.Equal(got, times) {
		t.Errorf("%v, want %v", got, times)
	}
	for i, from := range times {
		for j, to := range times {
			q := EventQuery{From: at(t, from), To: at(t, to)}
			n := len(collect(t, c.Events(t.Context(), q)))
			if want := max(0, j-i+1); n != want {
				t.Errorf("%s to %s: %d events, want %d", from, to, n, want)
			}
		}
	}
	var lines []string
	for _, m := range collect(t, c.Timeline(t.Context(), TimelineQuery{From: at(t, "2300-01-01T00:00:00.15Z"), To: at(t, "2300-01-01T00:00:01Z")})) {
		lines = append(lines, m.Time.String())
	}
	if want := times[10:12]; !slices.Equal(lines, want) {
		t.Errorf("timeline: %v, want %v", lines, want)
	}
}

// TestFarMoments: the moments of a disk whose files have times far away.
func TestFarMoments(t *testing.T) {
	c := newTestCase(t)
	l := &imageLoad{load: &load{c: c}, moments: newSorter(t.TempDir())}
	var want []imaging.Time
	for i, sec := range []int64{9_000_000_000, -9_000_000_000, 5, 9_000_000_000, 9_000_000_000} {
		v := imaging.Time{Sec: sec, Nsec: int32(7 * (5 - i)), Set: true} //nolint:gosec // small
		want = append(want, v)
		must(t, l.addMoments(int64(i), entryAt(v)))
	}
	slices.SortFunc(want, func(a, b imaging.Time) int { return a.Compare(b) })
	i := 0
	for rec, err := range l.moments.sorted() {
		must(t, err)
		if n := len(rec.key); (n == momentBytes+farBytes) != (want[i].Sec != 5) {
			t.Errorf("moment %d has a key of %d bytes", i, n)
		}
		i++
	}
	if i != len(want) {
		t.Errorf("%d moments of %d", i, len(want))
	}
}

func entryAt(t imaging.Time) *filesystem.Entry { return &filesystem.Entry{Modified: t} }
