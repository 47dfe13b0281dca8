package report

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"snapcase/evidence"
	"snapcase/imaging"
)

// Rows of a table on the page at most; the CSV files have all of them.
const (
	maxRows     = 200
	maxTimeline = 500
	maxRecords  = 500
)

// view is Input, arranged for the page.
type view struct {
	Input
	Answers    []answer
	Head       string // of the ledger
	First      imaging.Time
	Last       imaging.Time
	Gaps       []gap
	Strip      strip
	Used       int // keys that made calls
	TimelineN  int
	RecordsN   int
	Highlights map[string]bool // records that a finding or an answer names
	Digests    string          // what is known of the digests of CloudTrail
}

func newView(in Input) view {
	v := view{Input: in, Gaps: gaps(in.Exhibits), Highlights: map[string]bool{}, TimelineN: len(in.Timeline), RecordsN: len(in.Records), Digests: digestsText(in)}
	for _, k := range in.Keys {
		if k.Events > 0 {
			v.Used++
		}
	}
	for _, f := range in.Findings {
		for _, e := range f.Events {
			v.Highlights[e] = true
		}
	}
	for _, t := range in.Traces {
		for _, c := range t.Created {
			v.Highlights[c.Record.String()] = true
		}
		v.Answers = append(v.Answers, newAnswer(in, t))
	}
	for _, x := range in.Exhibits {
		if x.First.Set && (!v.First.Set || x.First.Compare(v.First) < 0) {
			v.First = x.First
		}
		if x.Last.Set && (!v.Last.Set || x.Last.Compare(v.Last) > 0) {
			v.Last = x.Last
		}
	}
	if n := len(in.Records); n > 0 {
		v.Head = in.Records[n-1].Hash
	}
	v.Strip = newStrip(in.Timeline)
	v.Timeline = in.Timeline[:min(len(in.Timeline), maxTimeline)]
	v.Cut = v.Cut || len(in.Timeline) > maxTimeline
	if len(in.Records) > maxRecords { // the first and the last ones
		v.Records = slices.Concat(in.Records[:maxRecords/2], in.Records[len(in.Records)-maxRecords/2:])
	}
	return v
}

// strip is the timeline as bars: how many moments of each source there were
// in each of stripBars equal spans.
type strip struct {
	From, To imaging.Time
	Each     string // how long one bar is
	Rows     []stripRow
}

type stripRow struct {
	Source string
	Total  int
	Bars   []stripBar
}

type stripBar struct {
	X, Y, H int // pixels of the drawing
	N       int
}

const (
	stripBars   = 96
	stripHeight = 30
)

func newStrip(all []evidence.Moment) strip {
	var s strip
	for _, m := range all {
		if !m.Time.Set {
			continue
		}
		if !s.From.Set || m.Time.Compare(s.From) < 0 {
			s.From = m.Time
		}
		if !s.To.Set || m.Time.Compare(s.To) > 0 {
			s.To = m.Time
		}
	}
	if !s.From.Set {
		return s
	}
	width := max(1, (s.To.Sec-s.From.Sec)/stripBars+1)
	s.Each = duration(width)
	counts := map[string]*[stripBars]int{}
	for _, m := range all {
		if !m.Time.Set {
			continue
		}
		if counts[m.Source] == nil {
			counts[m.Source] = &[stripBars]int{}
		}
		counts[m.Source][min(stripBars-1, (m.Time.Sec-s.From.Sec)/width)]++
	}
	for source, c := range counts {
		r := stripRow{Source: source}
		most := slices.Max(c[:])
		for i, n := range c {
			if n == 0 {
				continue
			}
			r.Total += n
			h := max(2, n*stripHeight/most)
			r.Bars = append(r.Bars, stripBar{X: i * 8, Y: stripHeight - h, H: h, N: n})
		}
		s.Rows = append(s.Rows, r)
	}
	slices.SortFunc(s.Rows, func(a, b stripRow) int { return cmp.Compare(a.Source, b.Source) })
	return s
}

func duration(sec int64) string {
	switch {
	case sec >= 172800:
		return fmt.Sprintf("%.1f days", float64(sec)/86400)
	case sec >= 7200:
		return fmt.Sprintf("%.1f hours", float64(sec)/3600)
	case sec >= 120:
		return fmt.Sprintf("%.1f minutes", float64(sec)/60)
	}
	return many(sec, "second", "seconds")
}

// gap is one line of what the evidence does not hold.
type gap struct{ Exhibit, What string }

// gaps says, exhibit by exhibit, what could not be read.
func gaps(all []evidence.ExhibitStats) []gap {
	var out []gap
	add := func(id, format string, args ...any) { out = append(out, gap{id, fmt.Sprintf(format, args...)}) }
	for _, s := range all {
		if !s.Indexed {
			add(s.Exhibit, "this exhibit was acquired but not indexed: nothing in this report comes from it")
		}
		if s.ReadErrors > 0 {
			add(s.Exhibit, "%s of the source could not be read; they stand in the image as zeros", many(s.ReadErrors, "range", "ranges"))
		}
		if s.NotAcquired > 0 {
			add(s.Exhibit, "%d of %d bytes were not acquired, on purpose: only what changed since %s was, and what it takes to list the files", s.NotAcquired, s.Bytes, s.Since)
		}
		if s.BadRecords > 0 {
			add(s.Exhibit, "%s could not be decoded", many(s.BadRecords, "record", "records"))
		}
		if s.SkipData > 0 {
			add(s.Exhibit, "%s lost flow records (SKIPDATA); sums over them are lower bounds", many(s.SkipData, "capture window", "capture windows"))
		}
		for _, v := range s.Volumes {
			if v.Error != nil {
				add(s.Exhibit, "volume %s (%s): %s", v.ID, cmp.Or(v.FS, v.Type), *v.Error)
			}
			if v.Damaged > 0 {
				add(s.Exhibit, "volume %s: %s damaged", v.ID, many(v.Damaged, "entry is", "entries are"))
			}
			if v.NotAcquired > 0 {
				add(s.Exhibit, "volume %s: of %s some content was not acquired", v.ID, many(v.NotAcquired, "entry", "entries"))
			}
			if len(v.State) > 0 {
				add(s.Exhibit, "volume %s: %s", v.ID, strings.Join(v.State, "; "))
			}
		}
		for i, g := range s.Gaps {
			if i == maxRows {
				add(s.Exhibit, "and %d more; gaps.csv has all", len(s.Gaps)-i)
				break
			}
			add(s.Exhibit, "%s, offset %d: %s", g.Place, g.Offset, g.Reason)
		}
	}
	return out
}
