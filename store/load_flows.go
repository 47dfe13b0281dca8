package store

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"math"
	"slices"
	"sync"

	"snapcase/evidence/flowlog"
	"snapcase/imaging"
)

// flowLoad loads one exhibit of flow logs. Records are held as compact rows
// until they are in order; a file's text is never held.
type flowLoad struct {
	*load
	workers []*flowWorker
	records []int64  // by file: records that were read
	places  [][]byte // by file: where they lie
	order   []rowRef
	own     map[uint32]*[2]ownPair[uint32] // by interface
	sums    flowSums
	far     []farTime
}

func (l *flowLoad) at(r rowRef) *flowRow { return l.workers[r.w].row(r.row) }

func (l *load) flowLogs(ctx context.Context) error {
	f := &flowLoad{load: l, records: make([]int64, len(l.files)), places: make([][]byte, len(l.files)), own: map[uint32]*[2]ownPair[uint32]{}, sums: flowSums{at: map[flowSumKey]*flowSum{}}}
	if err := f.read(ctx); err != nil {
		return err
	}
	f.sort()
	f.owners()
	if err := f.findCopies(ctx); err != nil {
		return err
	}
	if err := f.insert(ctx); err != nil {
		return err
	}
	return errors.Join(f.insertGaps(ctx), f.insertInstances(ctx), f.insertBeyond(ctx))
}

// read reads all files, each by one of as many workers as there are CPUs.
func (l *flowLoad) read(ctx context.Context) error {
	for range parallel(len(l.files)) {
		l.workers = append(l.workers, newFlowWorker(l.dict))
	}
	err := inParallel(ctx, len(l.files), func(ctx context.Context, w, file int) error {
		return l.readFile(ctx, l.workers[w], file)
	})
	for _, w := range l.workers {
		w.reader = nil // its memory is not needed any more
	}
	return err
}

func (l *flowLoad) readFile(ctx context.Context, w *flowWorker, file int) error {
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
		var bad *flowlog.BadRecord
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

// sort puts the rows in the order of the question: start, file, record; those
// without a start last.
func (l *flowLoad) sort() {
	type key struct {
		start int64
		place uint64
		ref   rowRef
	}
	total := 0
	for _, w := range l.workers {
		total += w.rows
	}
	keys := make([]key, 0, total)
	var late []key // without a start
	for i, w := range l.workers {
		for j := range uint32(w.rows) { //nolint:gosec // rows of one exhibit in memory
			r := w.row(j)
			k := key{r.start, uint64(r.file)<<32 | uint64(r.n), rowRef{uint16(i), j}} //nolint:gosec // few workers
			if r.flags&flowStart == 0 {
				k.start = 0
				late = append(late, k)
			} else {
				keys = append(keys, k)
			}
		}
	}
	l.order = make([]rowRef, 0, total)
	for _, some := range [][]key{keys, late} {
		slices.SortFunc(some, func(a, b key) int { return cmp.Or(cmp.Compare(a.start, b.start), cmp.Compare(a.place, b.place)) })
		for _, k := range some {
			l.order = append(l.order, k.ref)
		}
	}
}

// owners brings together what the workers know of interfaces' own addresses.
func (l *flowLoad) owners() {
	for _, w := range l.workers {
		for i, k := range w.kinds {
			if k.iface == 0 {
				continue
			}
			o := l.own[k.iface]
			if o == nil {
				o = &[2]ownPair[uint32]{}
				l.own[k.iface] = o
			}
			o[0].meet(w.own[i][0])
			o[1].meet(w.own[i][1])
		}
		l.stats.SkipData += w.skip
		l.stats.NoData += w.nodata
	}
}

const flowColumnsInOrder = "id,x,ts,te,file,n,version,account,iface,instance,vpc,subnet,src,dst,psrc,pdst,sport,dport,proto,packets,bytes,action,status,tcp,direction,region,other,peer,copy"

// insert writes the records in the order of the question, and their sums.
func (l *flowLoad) insert(ctx context.Context) error {
	if _, err := l.insertFiles(ctx, l.records, l.places); err != nil {
		return err
	}
	first, err := l.nextID(ctx, "flows")
	if err != nil {
		return err
	}
	fast, err := newFastRows(ctx, l.t, 2, len(l.order))
	if err != nil {
		return err
	}
	rows, err := fast[0].begin(ctx, "flows", true, flowColumnsInOrder)
	if err != nil {
		return err
	}
	sums, err := fast[1].begin(ctx, "flow_sums", false, flowSumColumns)
	if err != nil {
		return err
	}
	sp := newSpan(l.x, "flows", first)
	if fast[0].inserts() {
		return errors.Join(l.writeRows(ctx, rows, sp), l.writeSums(ctx, sums), l.saveSpan(ctx, sp))
	}
	var wg sync.WaitGroup
	var failed error
	wg.Go(func() { failed = l.writeSums(ctx, sums) })
	err = l.writeRows(ctx, rows, sp)
	err = errors.Join(err, fast[0].end(ctx, err))
	wg.Wait()
	return errors.Join(err, failed, fast[1].end(ctx, failed), l.saveSpan(ctx, sp))
}

// remote is the remote address of a row.
func (l *flowLoad) remote(k *flowKind, r *flowRow) uint32 {
	var own [2]uint32
	if o := l.own[k.iface]; o != nil {
		own = [2]uint32{o[0].own(), o[1].own()}
	}
	return remote(k, own, r)
}

func (l *flowLoad) writeRows(ctx context.Context, b *fastTable, sp *span) error {
	row := make([]sql.NullInt64, 0, 32)
	for i, ref := range l.order {
		if i%65536 == 65535 {
			if err := ctx.Err(); err != nil {
				return err
			}
			l.report("flows", int64(i))
		}
		r, id := l.at(ref), sp.lo+int64(i)
		k := &l.workers[ref.w].kinds[r.kind]
		ts, te := l.times(id, r)
		if ts.Valid {
			sp.timedRow(ts.Int64)
		} else {
			sp.row()
		}
		row = append(row[:0], is(int64(l.x)), ts, te, is(l.fileIDs[r.file]), is(int64(r.n)), known(k.version), dictNo(k.account), dictNo(k.iface), dictNo(k.instance), dictNo(k.vpc), dictNo(k.subnet),
			dictNo(r.src), dictNo(r.dst), dictNo(r.psrc), dictNo(r.pdst), known(int64(r.sport)), known(int64(r.dport)), known(int64(r.proto)), known(r.packets), known(r.bytes),
			dictNo(k.action), dictNo(k.status), known(k.tcp), dictNo(k.direction), dictNo(k.region), dictNo(r.other), dictNo(l.remote(k, r)), is(int64(r.flags/flowCopy&1)))
		if err := b.add(ctx, id, row); err != nil {
			return err
		}
	}
	return b.end(ctx)
}

// writeSums counts the rows and sums them.
func (l *flowLoad) writeSums(ctx context.Context, b *fastTable) error {
	for i, ref := range l.order {
		if i%65536 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		r := l.at(ref)
		l.count(&l.workers[ref.w].kinds[r.kind], r)
	}
	return l.sums.write(ctx, l.x, b)
}

// times are start and end of a row for its columns. What does not fit there is
// kept for insertBeyond.
func (l *flowLoad) times(id int64, r *flowRow) (ts, te sql.NullInt64) {
	column := func(name string, t imaging.Time) sql.NullInt64 {
		if !t.Set {
			return sql.NullInt64{}
		}
		ns, exact := nano(t)
		if !exact {
			l.far = append(l.far, farTime{id, name, t})
		}
		return is(ns)
	}
	return column("ts", flowTime(r.start, r.flags&flowStart != 0)), column("te", flowTime(r.end, r.flags&flowEnd != 0))
}

// farTime is a time that does not fit into 64 bits of nanoseconds.
type farTime struct {
	id  int64
	col string
	t   imaging.Time
}

func (l *flowLoad) insertBeyond(ctx context.Context) error {
	for _, f := range l.far {
		if err := l.beyond(ctx, "flows", f.id, f.col, f.t); err != nil {
			return err
		}
	}
	return nil
}

// count brings a row into the exhibit's figures and sums.
func (l *flowLoad) count(k *flowKind, r *flowRow) {
	l.stats.Records++
	l.stats.seen(flowTime(r.start, r.flags&flowStart != 0))
	if r.flags&flowCopy != 0 {
		l.stats.Duplicates++
		return
	}
	l.stats.Distinct++
	if k.counted && (r.src != 0 || r.dst != 0) {
		l.sums.add(k, r, l.remote(k, r))
	}
}

// known is a number of a record for a column: it may be missing.
func known(n int64) sql.NullInt64 { return sql.NullInt64{Int64: n, Valid: n != flowlog.Null} }

// dictNo is a number of the dictionary for a column: 0 is missing.
func dictNo(n uint32) sql.NullInt64 { return sql.NullInt64{Int64: int64(n), Valid: n != 0} }

func is(n int64) sql.NullInt64 { return sql.NullInt64{Int64: n, Valid: true} }

// insertGaps writes of which interfaces records were lost: a SKIPDATA record
// says so, and a line that could not be read may have been of any.
func (l *flowLoad) insertGaps(ctx context.Context) error {
	lost := map[uint32]int64{}
	for _, w := range l.workers {
		for i := range uint32(w.rows) { //nolint:gosec // rows of one exhibit in memory
			if k := &w.kinds[w.row(i).kind]; k.skip {
				lost[k.iface]++
			}
		}
	}
	b, err := newBulk(l.t, "flow_gaps", "x,iface,n")
	if err != nil {
		return err
	}
	for _, iface := range sorted(lost, cmp.Compare[uint32]) {
		if err := b.add(ctx, int64(l.x), null(iface), lost[iface]); err != nil {
			return err
		}
	}
	if l.stats.BadRecords > 0 {
		if err := b.add(ctx, int64(l.x), nil, l.stats.BadRecords); err != nil {
			return err
		}
	}
	return b.end(ctx)
}

// insertInstances writes which instance the records show for an interface: a
// flow log of another format over the same interface may not.
func (l *flowLoad) insertInstances(ctx context.Context) error {
	shown := map[[3]uint32]struct{}{} // instance, interface, region
	for _, w := range l.workers {
		for _, k := range w.kinds {
			if k.instance != 0 && k.iface != 0 {
				shown[[3]uint32{k.instance, k.iface, k.region}] = struct{}{}
			}
		}
	}
	b, err := newBulk(l.t, "instances", "x,instance,region,attr,value")
	if err != nil {
		return err
	}
	for _, k := range sorted(shown, func(a, b [3]uint32) int { return slices.Compare(a[:], b[:]) }) {
		if err := b.add(ctx, int64(l.x), int64(k[0]), int64(k[2]), "interface", int64(k[1])); err != nil {
			return err
		}
	}
	return b.end(ctx)
}

// ranOver says whether one of some sums is where plus stops.
func ranOver(sums ...int64) bool { return slices.Contains(sums, math.MaxInt64) }

// plus adds without running over: what is too large is math.MaxInt64.
func plus(a, b int64) int64 {
	if b > math.MaxInt64-a {
		return math.MaxInt64
	}
	return a + b
}
