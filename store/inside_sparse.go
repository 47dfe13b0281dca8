package store

import (
	"cmp"
	"context"
	"slices"

	decode "snapcase/evidence/credential/inside"
	"snapcase/imaging"
	"snapcase/imaging/filesystem"
)

const (
	// insideLate is how many files of a volume are looked into with the holes
	// that its owner map tells, and insideRuns how many runs of data they may
	// have in all.
	insideLate = 4096
	insideRuns = 1 << 20
)

// dataEnd says how far src, which is longer than most, is looked at where no more
// than most bytes are: of a format that is decoded they count from its start,
// holes and all, of every other only data counts.
func dataEnd(src imaging.Source, most int64) int64 {
	head := make([]byte, insideHead)
	n, _ := src.ReadAt(head, 0) // what cannot be read is told by the decoder
	if decode.Known(head[:n]) {
		return most
	}
	for off := int64(0); ; {
		start, end, ok := imaging.NextData(src, off)
		if !ok {
			return src.Size()
		}
		if end-start > most {
			return start + most
		}
		most -= end - start
		off = end
	}
}

// sparseSource is content whose runs of data are known, by offset.
type sparseSource struct {
	imaging.Source
	runs []dataRun
}

type dataRun struct{ start, end int64 }

// NextData is as imaging.NextData says.
func (s *sparseSource) NextData(off int64) (start, end int64, ok bool) {
	i, _ := slices.BinarySearchFunc(s.runs, off, func(r dataRun, off int64) int {
		if r.end <= off {
			return -1
		}
		return 1
	})
	if i == len(s.runs) {
		return 0, 0, false
	}
	start, end = max(off, s.runs[i].start), min(s.Size(), s.runs[i].end)
	return start, end, start < end
}

// wait puts off a source that is larger than its volume and does not know its
// holes; false where it cannot wait.
func (w *insideVolume) wait(f *insideSource) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, ok := w.v.FS.(filesystem.Mapper); !ok || len(w.late) >= insideLate {
		return false
	}
	w.late = append(w.late, f)
	return true
}

// lookLate looks into the sources that were put off.
func (w *insideVolume) lookLate(ctx context.Context) error {
	if len(w.late) == 0 {
		return nil
	}
	runs, err := w.dataRuns(ctx)
	if err != nil {
		return err
	}
	d := decode.NewDecoder(w.s.budget)
	for _, f := range w.late {
		f.late = nil
		if own := runs[f.key.ref]; len(own) > 0 {
			open := f.open
			f.open = func() (imaging.Source, error) {
				src, err := open()
				if err != nil {
					return nil, err
				}
				return &sparseSource{src, own}, nil
			}
		}
		if err := w.s.look(ctx, d, f); err != nil {
			return err
		}
	}
	return nil
}

// dataRuns reads the owner map of the volume for the runs of the sources that
// were put off. It gives none where the map is not whole, and of a source none
// where there is no room for all of them: then it is looked at from its start.
func (w *insideVolume) dataRuns(ctx context.Context) (map[filesystem.Ref][]dataRun, error) {
	m, ok := w.v.FS.(filesystem.Mapper)
	if !ok {
		return nil, nil
	}
	runs := make(map[filesystem.Ref][]dataRun, len(w.late))
	for _, f := range w.late {
		runs[f.key.ref] = nil
	}
	count := 0
	for x, err := range m.Extents(ctx) {
		if err != nil {
			return nil, ctx.Err()
		}
		own, wanted := runs[x.Ref]
		end := min(x.FileOffset+x.Length, x.Size)
		if !wanted || x.Kind != filesystem.OwnContent || x.Status != filesystem.Allocated || end <= x.FileOffset {
			continue
		}
		if count++; count > insideRuns {
			count -= len(own) + 1
			delete(runs, x.Ref)
			continue
		}
		runs[x.Ref] = append(own, dataRun{x.FileOffset, end})
	}
	for ref, own := range runs {
		runs[ref] = joined(own)
	}
	return runs, ctx.Err()
}

// joined puts runs in order, without overlaps.
func joined(runs []dataRun) []dataRun {
	slices.SortFunc(runs, func(a, b dataRun) int { return cmp.Compare(a.start, b.start) })
	out := runs[:0]
	for _, r := range runs {
		if k := len(out) - 1; k >= 0 && r.start <= out[k].end {
			out[k].end = max(out[k].end, r.end)
			continue
		}
		out = append(out, r)
	}
	return out
}
