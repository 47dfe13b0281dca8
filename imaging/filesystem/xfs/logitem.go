package xfs

import (
	"context"
	"encoding/binary"
)

// Flags of an operation in the log.
const (
	opStart    = 0x01
	opCommit   = 0x02
	opContinue = 0x04
	opWasCont  = 0x08
	opEnd      = 0x10
	opUnmount  = 0x20
)

// Types of log items.
const (
	itemFree    = 0x1236 // an intent to free extents
	itemFreed   = 0x1237 // they are free
	itemInode   = 0x123b
	itemBuffer  = 0x123c
	itemICreate = 0x123f
	itemFirst   = itemFree
	itemLast    = 0x124f
)

const (
	magicTrans = 0x5452414e // TRAN
	// maxOpen bounds what is held of transactions that have not ended: bytes of
	// all, with what each part costs besides.
	maxOpen    = 2 << 30
	regionCost = 48
)

// logItem is one changed thing: a description and what was changed.
type logItem struct {
	kind    uint16
	want    int // regions
	regions [][]byte
}

// transaction is what one checkpoint wrote.
type transaction struct {
	lsn     uint64
	order   binary.ByteOrder
	started bool   // its beginning was seen
	header  []byte // of the transaction, while it is incomplete
	items   []logItem
}

// assembler joins the operations of records to transactions.
type assembler struct {
	open map[uint32]*transaction
	held int
	// dropped says that there was more than can be held.
	dropped bool
	// loose takes operations of transactions whose beginning is gone.
	loose bool
	use   func(*transaction) error
}

// records hands out the records from a unit on, until end or one that is not
// whole; done says that end was reached. Where skip is true it looks for the
// next record behind what is none.
func (j *journal) records(ctx context.Context, from, end int64, skip bool, use func(*logRecord) error) (done bool, err error) {
	left := (end - from + j.size) % j.size
	if left == 0 && skip {
		left = j.size
	}
	wasted := int64(0) // units of records that were none
	for at := from; left > 0; {
		if err := ctx.Err(); err != nil {
			return false, err
		}
		r, ok, err := j.recordAt(at)
		if err != nil {
			return false, err
		}
		if !ok || r.units > left || r.sumBad || !j.own(&r) {
			if wasted += max(r.units, 64); !skip || wasted > 4*j.size {
				return false, nil
			}
			step, err := j.next((at+1)%j.size, left-1)
			if err != nil {
				return false, err
			}
			at, left = (at+1+step)%j.size, left-1-step
			continue
		}
		if err := use(&r); err != nil {
			return false, err
		}
		at, left = (at+r.units)%j.size, left-r.units
	}
	return true, nil
}

// add takes the operations of a record.
func (a *assembler) add(r *logRecord) error {
	p := r.data
	for n := uint32(0); n < r.ops && len(p) >= 12; n++ {
		tid, size, flags := be.Uint32(p), be.Uint32(p[4:]), p[9]
		if int64(size) > int64(len(p)-12) {
			return nil
		}
		if err := a.operation(r, tid, flags, p[12:12+size]); err != nil {
			return err
		}
		p = p[12+size:]
	}
	return nil
}

func (a *assembler) operation(r *logRecord, tid uint32, flags uint8, p []byte) error {
	t := a.open[tid]
	switch flags &= ^uint8(opEnd); {
	case flags&opUnmount != 0:
		return nil
	case flags&opStart != 0:
		a.close(tid)
		a.open[tid] = &transaction{lsn: r.lsn, order: r.order, started: true}
		return nil
	case flags&opCommit != 0:
		a.close(tid)
		if t == nil || t.started && (len(t.header) < 16 || t.order.Uint32(t.header) != magicTrans) {
			return nil
		}
		return a.use(t)
	case t == nil && !a.loose:
		return nil
	case t == nil:
		t = &transaction{lsn: r.lsn, order: r.order}
		a.open[tid] = t
	}
	if a.held += len(p) + regionCost; a.held > maxOpen {
		clear(a.open)
		a.held, a.dropped = 0, true
		return nil
	}
	if flags&opWasCont != 0 {
		t.extend(p)
	} else if len(p) > 0 {
		t.region(p)
	}
	return nil
}

// close forgets a transaction.
func (a *assembler) close(tid uint32) {
	if t := a.open[tid]; t != nil {
		for _, i := range t.items {
			for _, r := range i.regions {
				a.held -= len(r) + regionCost
			}
		}
		delete(a.open, tid)
	}
	a.held = max(a.held, 0)
}

// region adds one: the transaction's header, the description of an item, or
// what belongs to the last item.
func (t *transaction) region(p []byte) {
	if t.started && len(t.items) == 0 && len(t.header) < 16 {
		t.header = append(t.header, p...)
		return
	}
	if k := len(t.items) - 1; k >= 0 && len(t.items[k].regions) < t.items[k].want {
		t.items[k].regions = append(t.items[k].regions, p)
		return
	}
	if len(p) < 4 {
		return
	}
	i := logItem{kind: t.order.Uint16(p), want: int(t.order.Uint16(p[2:]))}
	if i.kind >= itemFirst && i.kind <= itemLast && i.want > 0 {
		i.regions = append(make([][]byte, 0, min(i.want, 8)), p)
		t.items = append(t.items, i)
	}
}

// extend goes on with the last region, which a record's end had cut.
func (t *transaction) extend(p []byte) {
	if t.started && len(t.items) == 0 {
		t.header = append(t.header, p...)
		return
	}
	if k := len(t.items) - 1; k >= 0 {
		last := &t.items[k].regions[len(t.items[k].regions)-1]
		*last = append((*last)[:len(*last):len(*last)], p...)
	}
}

// bufferItem is the description of a changed buffer.
type bufferItem struct {
	flags  uint16
	at     int64 // units of 512 bytes from the start of the volume
	units  int
	chunks []byte // the map of changed parts, a bit for each 128 bytes
	order  binary.ByteOrder
}

const (
	bufferInodes = 1
	bufferCancel = 2
	// bufferChunk is the unit in which changes of a buffer are logged.
	bufferChunk = 128
)

// buffer takes the description of a buffer apart.
func (t *transaction) buffer(i *logItem) (b bufferItem, ok bool) {
	p := i.regions[0]
	if len(p) < 20 {
		return b, false
	}
	b = bufferItem{
		flags: t.order.Uint16(p[4:]), units: int(t.order.Uint16(p[6:])), at: int64(t.order.Uint64(p[8:])), order: t.order,
	}
	words := int64(t.order.Uint32(p[16:]))
	b.chunks = p[20:min(int64(len(p)), 20+4*words)]
	return b, b.at >= 0 && b.at < 1<<54 && b.units > 0
}

// parts calls use with every changed part and its place in the buffer.
func (b *bufferItem) parts(regions [][]byte, use func(off int, p []byte)) {
	bit := func(n int) bool {
		return n/32*4+4 <= len(b.chunks) && b.order.Uint32(b.chunks[n/32*4:])&(1<<(n%32)) != 0
	}
	total := min(len(b.chunks)*8, b.units*basic/bufferChunk)
	for n := 0; n < total && len(regions) > 0; {
		if !bit(n) {
			n++
			continue
		}
		start := n
		for n < total && bit(n) {
			n++
		}
		// a long run of bits may be logged in several regions
		for start < n && len(regions) > 0 {
			p := regions[0]
			regions = regions[1:]
			use(start*bufferChunk, p[:min(len(p), (n-start)*bufferChunk)])
			start += max(len(p)/bufferChunk, 1)
		}
	}
}
