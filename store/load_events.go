package store

import (
	"context"
	"database/sql/driver"
	"encoding/binary"
	"errors"
	"io"
	"iter"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

	"snapcase/evidence"
	"snapcase/evidence/cloudtrail"
	"snapcase/imaging"
)

// eventLoad loads one CloudTrail exhibit.
type eventLoad struct {
	*load
	workers []*eventWorker
	longIDs longIDs
	records []int64  // by file: records that were read
	places  [][]byte // by file: where they lie
	order   []rowRef // what is inserted, in order
	copies  map[rowRef][]rowRef
	prior   map[rowRef]int64 // rows that are copies of an event of an earlier exhibit
	ids     map[rowRef]int64 // of rows with sides
}

// rowRef names a row of a worker.
type rowRef struct {
	w   uint16
	row uint32
}

func (l *eventLoad) at(r rowRef) *eventRow { return l.workers[r.w].rows.at(int(r.row)) }

func (l *load) events(ctx context.Context) error {
	e := &eventLoad{load: l, records: make([]int64, len(l.files)), places: make([][]byte, len(l.files)), copies: map[rowRef][]rowRef{}, prior: map[rowRef]int64{}, ids: map[rowRef]int64{}}
	if err := e.read(ctx); err != nil {
		return err
	}
	if err := e.dedup(ctx); err != nil {
		return err
	}
	if err := e.insert(ctx); err != nil {
		return err
	}
	return e.insertSides(ctx)
}

// read reads all files, each by one of as many workers as there are CPUs.
func (l *eventLoad) read(ctx context.Context) error {
	for range parallel(len(l.files)) {
		l.workers = append(l.workers, newEventWorker(l.dict, &l.longIDs))
	}
	err := inParallel(ctx, len(l.files), func(ctx context.Context, w, file int) error {
		return l.readFile(ctx, l.workers[w], file)
	})
	for _, w := range l.workers {
		w.reader = nil // its memory is not needed any more
	}
	return err
}

func (l *eventLoad) readFile(ctx context.Context, w *eventWorker, file int) error {
	if cloudtrail.Companion(l.files[file].name) {
		return nil
	}
	f, err := l.open(file)
	if err != nil {
		return l.gapFile(file, err)
	}
	defer f.Close() //nolint:errcheck // read-only
	p := placeWriter{}
	for r, err := range w.reader.Read(ctxReader{ctx, f}) {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		var bad *cloudtrail.BadRecord
		switch {
		case errors.As(err, &bad):
			l.bad(file, bad.N, bad.Offset, bad.Reason)
		case err != nil:
			return l.gapFile(file, err)
		default:
			w.add(uint32(file), &r) //nolint:gosec // as many as a folder holds
			p.add(r.N, r.Offset, r.Length)
			if l.records[file]++; l.records[file]%4096 == 0 {
				l.step(4096)
			}
		}
	}
	l.step(l.records[file] % 4096)
	l.places[file] = p.b
	return nil
}

// ctxReader ends with the context.
type ctxReader struct {
	ctx context.Context
	r   io.Reader
}

func (c ctxReader) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}

// insert writes the events in the order of the question.
func (l *eventLoad) insert(ctx context.Context) error {
	ids, err := l.insertFiles(ctx, l.records, l.places)
	if err != nil {
		return err
	}
	var first int64
	if err := l.t.conn.QueryRowContext(ctx, "SELECT coalesce(max(hi), 0) + 1 FROM ranges WHERE tbl = 'events'").Scan(&first); err != nil {
		return err
	}
	ev, err := newBulk(l.t, "events", "id,x,ts,eid,name,source,region,type,ptype,pid,arn,account,user,key,issuer,ip,agent,error,message,flags,request,shared,file,n,copies,hash")
	if err != nil {
		return err
	}
	res, err := newBulk(l.t, "resources", "event,type,name")
	if err != nil {
		return err
	}
	cop, err := newBulk(l.t, "copies", "event,x,file,n")
	if err != nil {
		return err
	}
	sp := newSpan(l.x, "events", first)
	for i, ref := range l.order {
		r, w, id := l.at(ref), l.workers[ref.w], first+int64(i)
		var ts driver.Value
		if r.timed {
			ts = r.ts
			sp.timedRow(r.ts)
		} else {
			sp.row()
		}
		also := l.copies[ref]
		var shared driver.Value
		if id, ok := w.shared[ref.row]; ok {
			shared = l.longIDs.value(&id)
		}
		if err := ev.add(ctx, id, int64(l.x), ts, l.longIDs.value(&r.eid), null(r.name), null(r.source), null(r.region), null(r.typ), null(r.ptype), null(r.pid), null(r.arn), null(r.account), null(r.user),
			null(r.key), null(r.issuer), null(r.ip), null(r.agent), null(r.code), null(r.message), int64(r.flags), l.longIDs.value(&r.request), shared, ids[r.file], int64(r.n), int64(1+len(also)), r.hash[:]); err != nil {
			return err
		}
		for _, p := range w.resources[r.res : r.res+r.nres] {
			if err := res.add(ctx, id, int64(p[0]), int64(p[1])); err != nil {
				return err
			}
		}
		for _, c := range also {
			if err := cop.add(ctx, id, int64(l.x), ids[l.at(c).file], int64(l.at(c).n)); err != nil {
				return err
			}
		}
		if t, ok := w.beyond[ref.row]; ok {
			if err := l.beyond(ctx, "events", id, "ts", t); err != nil {
				return err
			}
		}
		if len(w.sides) > 0 {
			l.noteSide(ref, id)
		}
		if i%65536 == 65535 {
			l.report("events", int64(i))
		}
	}
	if err := l.priorCopies(ctx, ids, cop); err != nil {
		return err
	}
	return errors.Join(ev.end(ctx), res.end(ctx), cop.end(ctx), l.saveSpan(ctx, sp))
}

// noteSide keeps the id of a row that has a side.
func (l *eventLoad) noteSide(ref rowRef, id int64) {
	sides := l.workers[ref.w].sides
	if _, ok := slices.BinarySearchFunc(sides, ref.row, func(s eventSide, row uint32) int { return int(int64(s.row) - int64(row)) }); ok {
		l.ids[ref] = id
	}
}

// priorCopies adds this exhibit's copies of events that an earlier exhibit
// holds.
func (l *eventLoad) priorCopies(ctx context.Context, files []int64, cop *bulk) error {
	refs := make([]rowRef, 0, len(l.prior))
	for r := range l.prior {
		refs = append(refs, r)
	}
	slices.SortFunc(refs, func(a, b rowRef) int { return l.byPlace(l.at(a), l.at(b)) })
	for _, ref := range refs {
		r := l.at(ref)
		if err := cop.add(ctx, l.prior[ref], int64(l.x), files[r.file], int64(r.n)); err != nil {
			return err
		}
		if err := l.t.exec(ctx, "UPDATE events SET copies = copies + 1 WHERE id = ?", l.prior[ref]); err != nil {
			return err
		}
	}
	return nil
}

func (l *eventLoad) byPlace(a, b *eventRow) int {
	if a.file != b.file {
		return int(int64(a.file) - int64(b.file))
	}
	return int(int64(a.n) - int64(b.n))
}

// placeWriter packs where the records of a file lie: for each number from 1
// the offset, as the distance from the end of the one before (zigzag), and the
// length. A number without a record has length 0.
type placeWriter struct {
	b    []byte
	next int64 // number
	end  int64
}

func (p *placeWriter) add(n, offset, length int64) {
	for p.next++; p.next < n; p.next++ {
		p.b = append(p.b, 0, 0)
	}
	p.b = binary.AppendVarint(p.b, offset-p.end)
	p.b = binary.AppendUvarint(p.b, uint64(length)) //nolint:gosec // not negative
	p.end = offset + length
}

// places yields offset and length of the records of a file, from number 1; the
// length is 0 where a number has no record.
func places(b []byte) iter.Seq2[int64, int64] {
	return func(yield func(offset, length int64) bool) {
		for end := int64(0); len(b) > 0; {
			gap, k := binary.Varint(b)
			if k <= 0 {
				return
			}
			size, m := binary.Uvarint(b[k:])
			if m <= 0 {
				return
			}
			b = b[k+m:]
			if !yield(end+gap, int64(size)) { //nolint:gosec // written by placeWriter
				return
			}
			end += gap + int64(size) //nolint:gosec // as above
		}
	}
}

// place is where record n lies; ok is false where there is none.
func place(b []byte, n int64) (offset, length int64, ok bool) {
	i := int64(0)
	for offset, length := range places(b) {
		if i++; i == n {
			return offset, length, length > 0
		}
	}
	return 0, 0, false
}

// parallel is how many goroutines work on n things.
func parallel(n int) int { return min(runtime.GOMAXPROCS(0), n) }

// inParallel calls f for 0 to n-1 on as many goroutines as there are CPUs,
// worker 0 to parallel(n)-1, and stops at the first error.
func inParallel(ctx context.Context, n int, f func(ctx context.Context, worker, i int) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var next atomic.Int64
	errs := make([]error, parallel(n))
	var wg sync.WaitGroup
	for w := range errs {
		wg.Go(func() {
			for errs[w] == nil && ctx.Err() == nil {
				i := int(next.Add(1)) - 1
				if i >= n {
					return
				}
				if errs[w] = f(ctx, w, i); errs[w] != nil {
					cancel()
				}
			}
		})
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil && !evidence.Canceled(err) {
			return err
		}
	}
	return errors.Join(errors.Join(errs...), context.Cause(ctx))
}

// beyond keeps the exact value of a time that does not fit.
func (l *load) beyond(ctx context.Context, table string, id int64, col string, t imaging.Time) error {
	return l.t.exec(ctx, "INSERT INTO times_beyond VALUES (?,?,?,?,?)", table, id, col, t.Sec, t.Nsec)
}
