package store

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"snapcase/evidence"
	"snapcase/evidence/acquire"
	"snapcase/imaging"
)

// load brings one exhibit into the index, within one transaction.
type load struct {
	c        *Case
	t        *tx
	dict     *dict
	acq      evidence.Acquisition
	disks    *diskSet
	x        int
	files    []logFile
	fileIDs  []int64
	stats    tally
	progress evidence.Progress
	done     atomic.Int64
	early    bool // it is not sealed yet
}

// logFile is one file of an exhibit that is a folder.
type logFile struct {
	name string // below files/, as it was called at the source
	path string // where it lies
}

// tally is the figures of an exhibit while it is loaded; safe for concurrent
// use through its methods.
type tally struct {
	mu sync.Mutex
	evidence.ExhibitStats
}

// maxGaps is how many gaps of an exhibit are kept with their place; BadRecords
// counts them all.
const maxGaps = 1000

func (s *tally) gap(g evidence.Gap) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.Gaps) < maxGaps {
		s.Gaps = append(s.Gaps, g)
	}
}

// seen widens the span of time.
func (s *tally) seen(t imaging.Time) {
	if !t.Set {
		return
	}
	if !s.First.Set || t.Compare(s.First) < 0 {
		s.First = t
	}
	if !s.Last.Set || t.Compare(s.Last) > 0 {
		s.Last = t
	}
}

// bad counts a part of a file that gave no record.
func (l *load) bad(file int, n, offset int64, reason string) {
	l.stats.mu.Lock()
	l.stats.BadRecords++
	l.stats.mu.Unlock()
	place := l.files[file].name
	if n > 0 {
		place = evidence.Record{Exhibit: l.acq.Exhibit, File: place, N: n}.String()
	} else {
		place = l.acq.Exhibit + "/" + place
	}
	l.stats.gap(evidence.Gap{Exhibit: l.acq.Exhibit, Place: place, Offset: offset, Reason: reason})
}

// gapFile counts a file that could not be read; cancelling stays an error.
func (l *load) gapFile(file int, err error) error {
	if evidence.Canceled(err) {
		return err
	}
	l.bad(file, 0, 0, err.Error())
	return nil
}

func (l *load) step(n int64) {
	if n > 0 {
		l.report("records", l.done.Add(n))
	}
}

func (l *load) report(unit string, done int64) {
	l.progress.Report(evidence.Step{What: "index " + l.acq.Exhibit, Done: done, Unit: unit})
}

func (l *load) open(file int) (io.ReadCloser, error) { return os.Open(l.files[file].path) }

// insertFiles numbers the exhibit's files. records and places are by file.
func (l *load) insertFiles(ctx context.Context, records []int64, places [][]byte) ([]int64, error) {
	var first int64
	if err := l.t.conn.QueryRowContext(ctx, "SELECT coalesce(max(id), 0) + 1 FROM files").Scan(&first); err != nil {
		return nil, err
	}
	b, err := newBulk(l.t, "files", "id,x,name,records,places")
	if err != nil {
		return nil, err
	}
	l.fileIDs = make([]int64, len(l.files))
	for i, f := range l.files {
		l.fileIDs[i] = first + int64(i)
		if err := b.add(ctx, l.fileIDs[i], int64(l.x), f.name, records[i], places[i]); err != nil {
			return nil, err
		}
	}
	return l.fileIDs, b.end(ctx)
}

// exhibitFiles lists the files of an exhibit by the names they had at the
// source, in the order of the bytes of those.
func exhibitFiles(f evidence.Folder, exhibit string) ([]logFile, error) {
	names, err := originalNames(f, exhibit)
	if err != nil {
		return nil, err
	}
	root := f.Files(exhibit)
	var all []logFile
	err = filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		if !d.Type().IsRegular() {
			return fmt.Errorf("%s: not a regular file", p)
		}
		rel, err := filepath.Rel(root, p)
		if err != nil {
			return err
		}
		rel = filepath.ToSlash(rel)
		name := rel
		if o, ok := names[rel]; ok {
			name = o
		}
		all = append(all, logFile{name: name, path: p})
		return nil
	})
	if errors.Is(err, fs.ErrNotExist) {
		return nil, evidence.WithHint(fmt.Errorf("list files of %s: %w", exhibit, err), "the exhibit is not complete: run snapcase verify CASE")
	}
	if err != nil {
		return nil, fmt.Errorf("list files of %s: %w", exhibit, err)
	}
	slices.SortFunc(all, func(a, b logFile) int { return strings.Compare(a.name, b.name) })
	return all, nil
}

// span is where the rows of one exhibit lie in one table: id lo to hi, in
// order of time up to timed, with the time of every anchorEvery-th row.
type span struct {
	x             int
	tbl           string
	lo, hi, timed int64
	anchors       []int64
}

const anchorEvery = 64

func newSpan(x int, tbl string, lo int64) *span {
	return &span{x: x, tbl: tbl, lo: lo, hi: lo - 1, timed: lo - 1}
}

func (s *span) timedRow(ts int64) {
	if (s.hi+1-s.lo)%anchorEvery == 0 {
		s.anchors = append(s.anchors, ts)
	}
	s.hi++
	s.timed++
}

func (s *span) row() { s.hi++ }

func (l *load) saveSpan(ctx context.Context, s *span) error {
	b := make([]byte, 0, 8*len(s.anchors))
	for _, a := range s.anchors {
		b = binary.BigEndian.AppendUint64(b, uint64(a)) //nolint:gosec // two's complement
	}
	return l.t.exec(ctx, "INSERT INTO ranges VALUES (?,?,?,?,?,?)", s.x, s.tbl, s.lo, s.hi, s.timed, b)
}

// nextID is the first free number of a table.
func (l *load) nextID(ctx context.Context, table string) (id int64, err error) {
	err = l.t.conn.QueryRowContext(ctx, "SELECT coalesce(max(hi), 0) + 1 FROM ranges WHERE tbl = ?", table).Scan(&id)
	return id, err
}

// shapeColumn is how the volumes of a loaded exhibit were put together; it lies
// beside its figures.
const shapeColumn = "coalesce(json_extract(stats, '$.shape'), '')"

// run loads the exhibit and writes the row that says so.
func (l *load) run(ctx context.Context) error {
	a := l.acq
	l.stats.ExhibitStats = evidence.ExhibitStats{Exhibit: a.Exhibit, Kind: a.Kind, Indexed: true}
	var err error
	switch a.Kind {
	case evidence.KindDisk, evidence.KindMemory:
		err = l.image(ctx)
	case evidence.KindCloudTrail, evidence.KindFlowLog, evidence.KindPcap, evidence.KindFile, evidence.KindFindings, evidence.KindHashset, evidence.KindIntel:
		if l.files, err = exhibitFiles(l.c.folder, a.Exhibit); err != nil {
			break
		}
		l.stats.Files = int64(len(l.files))
		if err = acquire.Check(l.c.folder, a); err != nil {
			return err // no answer from what was changed since
		}
		if err = l.folder(ctx); err == nil {
			err = l.folderHits(ctx)
		}
	default:
		err = fmt.Errorf("exhibits of kind %q are not known", a.Kind)
	}
	if err != nil {
		return fmt.Errorf("index %s: %w", a.Exhibit, err)
	}
	slices.SortFunc(l.stats.Gaps, func(a, b evidence.Gap) int {
		if c := strings.Compare(a.Place, b.Place); c != 0 {
			return c
		}
		return int(min(1, max(-1, a.Offset-b.Offset)))
	})
	text, err := json.Marshal(struct {
		*evidence.ExhibitStats
		Shape string `json:"shape"`
	}{&l.stats.ExhibitStats, l.disks.shape(a.Exhibit)})
	if err != nil {
		return err
	}
	if err := l.t.exec(ctx, "INSERT INTO loads VALUES (?,?,?,?,?,?)", l.x, a.Exhibit, string(a.Kind), sumText(&a), loaderVersion, string(text)); err != nil {
		return err
	}
	return l.t.exec(ctx, "UPDATE generation SET n = n + 1")
}

func (l *load) folder(ctx context.Context) error {
	switch l.acq.Kind {
	case evidence.KindCloudTrail:
		return l.events(ctx)
	case evidence.KindFlowLog:
		return l.flowLogs(ctx)
	case evidence.KindPcap:
		return l.captures(ctx)
	case evidence.KindHashset:
		return l.hashset(ctx)
	case evidence.KindIntel:
		return l.intelList(ctx)
	default:
		return nil
	}
}

func originalNames(f evidence.Folder, exhibit string) (map[string]string, error) {
	return acquire.Names(f, exhibit)
}
