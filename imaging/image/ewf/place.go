package ewf

import (
	"cmp"
	"fmt"
	"slices"

	"snapcase/imaging/image/container"
)

// read reads the sections of all segments and notes those that are missing.
func (d *disk) read() error {
	expect := 1
	for _, s := range d.segments {
		if s.number > expect {
			d.absent(expect, s.number-1)
		}
		expect = s.number + 1
		before := len(d.runs)
		d.at = s
		if err := d.sections(s); err != nil {
			return fmt.Errorf("read segment %s: %w", s.name, err)
		}
		if s.alien {
			d.runs = d.runs[:before]
			d.lost(s, "it belongs to another image")
		}
	}
	if last := d.segments[len(d.segments)-1]; !last.last {
		d.img.Note("the last segment, %s, does not end the image: what follows it is missing", last.name)
		d.lost(last, "the segments behind it are missing")
	}
	return nil
}

func (d *disk) absent(from, to int) {
	why := fmt.Sprintf("segment %d is missing", from)
	if to > from {
		why = fmt.Sprintf("segments %d to %d are missing", from, to)
	}
	d.img.Note("%s", why)
	d.runs = append(d.runs, &run{lost: why})
}

// place gives every run its chunks: from the front up to the first place where
// some are lost, and from the end back to the last such place.
func (d *disk) place() {
	total := (d.size + d.chunk - 1) / d.chunk
	front, first := int64(0), len(d.runs)
	for i, r := range d.runs {
		if r.lost != "" {
			first = i
			break
		}
		r.first = front
		front += r.count
	}
	if total == 0 && first == len(d.runs) && front > 0 && front <= container.MaxSize/d.chunk {
		d.img.Note("the volume section gives no size: that of the %d chunks is taken", front)
		total, d.size = front, front*d.chunk
	}
	d.gaps = container.NewGaps(d.size)
	slices.SortFunc(d.errors, func(a, b sectors) int { return cmp.Compare(a.first, b.first) })
	for _, s := range d.errors {
		if s.first < d.size/d.sector {
			d.gaps.Add(s.first*d.sector, s.count*d.sector, "could not be read when the image was taken (error2)")
		}
	}
	placed, back, why := d.placeBack(front, first, total)
	for i, r := range placed {
		if r.first+r.count > total {
			d.img.Note("the tables hold chunk %d and the image has %d: what is over is left out", r.first+r.count-1, total)
			r.count = max(total-r.first, 0)
			placed = placed[:i+1]
			break
		}
	}
	d.runs = slices.DeleteFunc(placed, func(r *run) bool { return r.count <= 0 })
	if front < back {
		d.gaps.Add(front*d.chunk, (back-front)*d.chunk, why)
	}
	if n := int64(le.Uint32(d.media[4:])); n != total && n != 0 {
		d.img.Note("the volume section says %d chunks, and its sectors make %d", n, total)
	}
}

// placeBack places what lies behind the last loss. It returns all runs that
// have a place, in order, and where the gap between them ends.
func (d *disk) placeBack(front int64, first int, total int64) (placed []*run, back int64, why string) {
	placed, back = d.runs[:first:first], total
	if first == len(d.runs) {
		return placed, back, "no table holds these chunks"
	}
	last := len(d.runs) - 1
	for ; d.runs[last].lost == ""; last-- {
		back -= d.runs[last].count
	}
	why = d.runs[first].lost
	if back < front {
		d.img.Note("the tables hold more chunks than the image has: those behind the loss (%s) cannot be placed", why)
		return placed, total, why
	}
	at := back
	for _, r := range d.runs[last+1:] {
		r.first = at
		at += r.count
	}
	middle := int64(0)
	for _, r := range d.runs[first:last] {
		if r.lost == "" {
			middle += r.count
		}
	}
	if middle > 0 {
		why += fmt.Sprintf("; and up to %s", d.runs[last].lost)
		d.img.Note("%d chunks lie between two losses (%s): it is not known where they belong, and they read as a gap", middle, why)
	}
	return append(placed, d.runs[last+1:]...), back, why
}

// runOf finds the run that holds chunk n, or nil and the run behind it.
func (d *disk) runOf(n int64) (r, next *run) {
	i, _ := slices.BinarySearchFunc(d.runs, n, func(r *run, n int64) int {
		if r.first+r.count <= n {
			return -1
		}
		return 1
	})
	if i == len(d.runs) {
		return nil, nil
	}
	if d.runs[i].first <= n {
		return d.runs[i], nil
	}
	return nil, d.runs[i]
}
