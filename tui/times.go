package tui

import (
	"slices"
	"time"

	"snapcase/evidence/visible"
	"snapcase/imaging"
	"snapcase/store"
	"snapcase/tui/widget"
)

// histBuckets is how many buckets are asked for.
const histBuckets = 120

// sources are those of the timeline, in the order of the chart colours.
var sources = []string{"cloudtrail", "flow", "fs", "packet", "host"}

// merged is how many buckets one bar holds on w cells.
func merged(h store.Histogram, w int) int {
	room := max(widget.HistWidth(w), 1)
	return max(1, (len(h.Buckets)+room-1)/room)
}

// histTitle is a title with the legend of the sources and the width of a bar
// on w cells.
func histTitle(h store.Histogram, t visible.Text, w int) widget.Line {
	l := widget.Line{span(widget.Title, t)}
	seen := map[string]bool{}
	for _, b := range h.Buckets {
		for s, n := range b.Count {
			seen[s] = seen[s] || n > 0
		}
	}
	for i, s := range sources {
		if seen[s] {
			l = append(l, span(widget.Chart1+widget.Role(i), visible.Sprintf("  ■ %s", s)))
		}
	}
	if h.Width > 0 {
		l = append(l, span(widget.Dim, visible.Sprintf("  a bar is %s", width(h.Width*int64(merged(h, w))))))
	}
	return l
}

// width is seconds as the title says them.
func width(sec int64) visible.Text {
	switch {
	case sec%86400 == 0:
		return visible.Sprintf("%d d", sec/86400)
	case sec%3600 == 0:
		return visible.Sprintf("%d h", sec/3600)
	case sec%60 == 0:
		return visible.Sprintf("%d min", sec/60)
	}
	return visible.Sprintf("%d s", sec)
}

// drawHist draws the histogram of the case; buckets that do not fit are put
// together.
func drawHist(c widget.Canvas, h store.Histogram, cursor, from, to int, focused bool) {
	w, _ := c.Size()
	room := widget.HistWidth(w)
	if room < 1 || len(h.Buckets) == 0 {
		return
	}
	merge := merged(h, w)
	g := widget.Hist{Cursor: -1, From: -1, To: -1}
	var top int64
	for i := 0; i < len(h.Buckets); i += merge {
		var b widget.Bar
		for _, x := range h.Buckets[i:min(i+merge, len(h.Buckets))] {
			for s, n := range x.Count {
				b.Parts[max(slices.Index(sources, s), 0)] += n
			}
		}
		top = max(top, b.Count())
		g.Bars = append(g.Bars, b)
	}
	label(g.Bars, h, merge, room)
	if cursor >= 0 {
		g.Cursor = cursor / merge
	}
	if from >= 0 {
		g.From, g.To = from/merge, to/merge
	}
	g.Top = short(top)
	g.Draw(c, focused)
}

// label puts times on the axis: the date where it changes, else the time.
func label(bars []widget.Bar, h store.Histogram, merge, room int) {
	each := max(1, room/max(len(bars), 1))
	step := max(1, 14/each)
	var last time.Time
	for i := 0; i < len(bars); i += step {
		t := h.Buckets[i*merge].Start.Std()
		form := "15:04"
		switch {
		case i == 0 || t.Year() != last.Year():
			form = "2006-01-02"
			if h.Width < 86400 {
				form = "2006-01-02 15:04"
			}
		case h.Width >= 86400:
			form = "01-02"
		case t.YearDay() != last.YearDay():
			form = "01-02 15:04"
		}
		if h.Width < 60 && form == "15:04" {
			form = "15:04:05"
		}
		bars[i].Label = visible.Escape(t.Format(form))
		last = t
	}
}

// bucketOf is the number of the bucket that holds t, -1 for none.
func bucketOf(h store.Histogram, t imaging.Time) int {
	if !t.Set {
		return -1
	}
	for i := len(h.Buckets) - 1; i >= 0; i-- {
		if h.Buckets[i].Start.Compare(t) <= 0 {
			return i
		}
	}
	return -1
}
