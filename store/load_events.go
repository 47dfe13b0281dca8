package store

import (
	"bytes"
	"context"
	"database/sql/driver"
	"encoding/binary"
	"errors"
	"io"
	"iter"
	"runtime"
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
	records []int64  // by file: records that were read
	places  [][]byte // by file: where they lie
	mu      sync.Mutex
	rows    *sorter // by id, as they are read; mu is for it
	order   *sorter // the events of their own, as they are listed
	prior   *sorter // places of rows that are copies of an event of an earlier exhibit
	priors  int64   // how many
	uses    map[useKey]*use
	sides   *eventSides
}

func (l *load) events(ctx context.Context) (err error) {
	e := &eventLoad{load: l, records: make([]int64, len(l.files)), places: make([][]byte, len(l.files)), uses: map[useKey]*use{}}
	for _, s := range []**sorter{&e.rows, &e.order, &e.prior} {
		*s = newSorter(l.c.spillDir())
		(*s).limit = spillBuffer / 2 // two of them are in use at a time
		defer func(s *sorter) { err = errors.Join(err, s.close()) }(*s)
	}
	if err := e.read(ctx); err != nil {
		return err
	}
	if err := e.dedup(ctx); err != nil {
		return err
	}
	if err := e.rows.close(); err != nil { // its room is not needed any more
		return err
	}
	if err := e.insert(ctx); err != nil {
		return err
	}
	return e.insertSums(ctx)
}

// read reads all files, each by one of as many workers as there are CPUs.
func (l *eventLoad) read(ctx context.Context) error {
	for range parallel(len(l.files)) {
		l.workers = append(l.workers, newEventWorker(l.dict))
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
			key, value := w.row(uint32(file), &r) //nolint:gosec // as many as a folder holds
			if err := l.take(key, value); err != nil {
				return err
			}
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

func (l *eventLoad) take(key, value []byte) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.rows.add(key, value)
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
	files, err := l.insertFiles(ctx, l.records, l.places)
	if err != nil {
		return err
	}
	first, err := l.nextID(ctx, "events")
	if err != nil {
		return err
	}
	on := newLine()
	defer on.end() //nolint:errcheck // asked below
	in := &eventInsert{eventLoad: l, ctx: ctx, on: on, files: files, sp: newSpan(l.x, "events", first)}
	if err := in.begin(); err != nil {
		return err
	}
	for rec, err := range l.order.sorted() {
		if err != nil {
			return err
		}
		if err := in.row(rec.value); err != nil {
			return err
		}
		if in.sp.hi%65536 == 0 {
			if err := ctx.Err(); err != nil {
				return err
			}
			l.report("events", in.sp.hi-in.sp.lo)
		}
	}
	if err := on.end(); err != nil {
		return err
	}
	if err := errors.Join(in.events.end(ctx), in.resources.end(ctx), in.copies.end(ctx), in.sides.end(ctx), l.saveSpan(ctx, in.sp)); err != nil {
		return err
	}
	return l.priorCopies(ctx, files, first)
}

// eventInsert writes rows; statements run on a line.
type eventInsert struct {
	*eventLoad
	ctx                       context.Context //nolint:containedctx // lives as long as insert
	on                        *line
	files                     []int64
	sp                        *span
	events, resources, copies *bulk
}

func (in *eventInsert) begin() (err error) {
	for _, t := range []struct {
		b              **bulk
		table, columns string
	}{
		{&in.events, "events", "id,x,ts,eid,name,source,region,type,ptype,pid,arn,account,user,key,issuer,ip,agent,error,message,flags,request,shared,file,n,copies,hash"},
		{&in.resources, "resources", "event,type,name"},
		{&in.copies, "copies", "event,x,file,n"},
	} {
		if *t.b, err = newBulk(in.t, t.table, t.columns); err != nil {
			return err
		}
		(*t.b).line = in.on
	}
	in.sides, err = newEventSides(in)
	return err
}

func (in *eventInsert) row(value []byte) error {
	p := packed{b: value}
	h := unpackHead(&p)
	request, shared := idColumn(p.bytes()), idColumn(p.bytes())
	var words eventWords
	for i := range words {
		words[i] = uint32(p.count()) //nolint:gosec // was one
	}
	var ts driver.Value
	if h.time.Set {
		ns, exact := nano(h.time)
		ts = ns
		in.sp.timedRow(ns)
		if id, t := in.sp.hi, h.time; !exact {
			if err := in.on.do(func() error { return in.beyond(in.ctx, "events", id, "ts", t) }); err != nil {
				return err
			}
		}
	} else {
		in.sp.row()
	}
	id := in.sp.hi
	for n := p.count(); n > 0 && !p.short; n-- {
		typ, name := p.count(), p.count()
		if err := in.resources.add(in.ctx, id, int64(typ), int64(name)); err != nil { //nolint:gosec // numbers of the dictionary
			return err
		}
	}
	side := p.bytes()
	copies := p.count()
	for n := copies; n > 0 && !p.short; n-- {
		if b := p.take(8); b != nil {
			if err := in.copies.add(in.ctx, id, int64(in.x), in.files[binary.BigEndian.Uint32(b)], int64(binary.BigEndian.Uint32(b[4:]))); err != nil {
				return err
			}
		}
	}
	if p.short {
		return errCut
	}
	in.use(&h, &words, ts)
	if len(side) > 0 {
		if err := in.sides.add(id, ts, &words, side); err != nil {
			return err
		}
	}
	row := make([]driver.Value, 0, 26)
	row = append(row, id, int64(in.x), ts, idColumn(h.id))
	for _, w := range words {
		row = append(row, null(w))
	}
	row = append(row, int64(h.flags), request, shared, in.files[h.file], int64(h.n), int64(1+copies), bytes.Clone(h.hash[:])) //nolint:gosec // as many as rows
	return in.events.add(in.ctx, row...)
}

// priorCopies adds this exhibit's copies of events that an earlier exhibit
// holds, in the order of their places.
func (l *eventLoad) priorCopies(ctx context.Context, files []int64, first int64) error {
	if l.priors == 0 {
		return nil
	}
	b, err := newBulk(l.t, "copies", "event,x,file,n")
	if err != nil {
		return err
	}
	for rec, err := range l.prior.sorted() {
		if err != nil {
			return err
		}
		event := int64(binary.BigEndian.Uint64(rec.value)) //nolint:gosec // written by copyOf
		if err := b.add(ctx, event, int64(l.x), files[binary.BigEndian.Uint32(rec.key)], int64(binary.BigEndian.Uint32(rec.key[4:]))); err != nil {
			return err
		}
	}
	if err := b.end(ctx); err != nil {
		return err
	}
	own, err := l.priorEvents(ctx, first)
	l.stats.Distinct += own
	return err
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
