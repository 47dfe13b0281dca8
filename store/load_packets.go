package store

import (
	"cmp"
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strconv"

	"snapcase/evidence"
	"snapcase/evidence/flowlog"
	"snapcase/evidence/netcap"
	"snapcase/imaging"
)

// A frame is a row only where it says more than that it was: ICMP, DNS, TLS
// hello, HTTP. Every frame is counted in its conversation. However large a
// capture is, the index stays small: of one conversation the first
// icmpRows echoes and nameRows names are rows, the last of which says that
// more came, and of one capture packetRows; that more came is then a gap of
// the exhibit. Packets streams every frame from the capture itself.
const (
	icmpRows         = 1000
	nameRows         = 50_000
	packetRows       = 500_000
	maxConversations = 500_000
	summaryBytes     = 512
)

// packetLoad loads one exhibit of captures: one frame at a time is held, and
// what becomes a row.
type packetLoad struct {
	*load
	records []int64
	rows    []packetRow
	convs   map[convKey]*conversation
	dropped int64 // frames that would have been rows, above packetRows
	pooled  int64 // frames whose conversation is not kept, above maxConversations
}

type packetRow struct {
	time    imaging.Time
	file, n uint32
	conv    *conversation
	typ     string
	summary string
}

type convKey struct {
	src, dst netip.Addr
	proto    int64
}

type conversation struct {
	convKey
	src, dst       int64 // of dict
	packets, bytes int64
	first, last    imaging.Time
	icmp, names    int
	icmpAt, nameAt int // the last row of each, plus one
}

func (l *load) captures(ctx context.Context) error {
	p := &packetLoad{load: l, records: make([]int64, len(l.files)), convs: map[convKey]*conversation{}}
	if l.c.judging == nil {
		l.c.judging = &judging{}
	}
	for file := range l.files {
		if err := p.readFile(ctx, file); err != nil {
			return err
		}
	}
	l.c.judging.fed = append(l.c.judging.fed, captureName(l.acq.Exhibit, l.acq.SHA256.String(), loaderVersion))
	if p.dropped > 0 {
		l.stats.gap(evidence.Gap{Exhibit: l.acq.Exhibit, Place: l.acq.Exhibit, Reason: fmt.Sprintf("%d frames of ICMP, DNS, TLS and HTTP are counted and not on the timeline: an exhibit has at most %d there", p.dropped, packetRows)})
	}
	if p.pooled > 0 {
		l.stats.gap(evidence.Gap{Exhibit: l.acq.Exhibit, Place: l.acq.Exhibit, Reason: fmt.Sprintf("%d frames are counted without their addresses: an exhibit has at most %d pairs of addresses", p.pooled, maxConversations)})
	}
	if err := p.insert(ctx); err != nil {
		return err
	}
	return p.insertConversations(ctx)
}

func (l *packetLoad) readFile(ctx context.Context, file int) error {
	f, err := l.open(file)
	if err != nil {
		return l.gapFile(file, err)
	}
	defer f.Close() //nolint:errcheck // read-only
	l.c.judging.begin(l.acq.Exhibit, l.files[file].name)
	for r, err := range netcap.Read(ctxReader{ctx, f}) {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		var bad *netcap.BadFrame
		switch {
		case errors.As(err, &bad):
			l.bad(file, bad.N, bad.Offset, bad.Reason)
		case err != nil:
			return l.gapFile(file, err)
		default:
			l.c.judging.add(&r)
			l.add(uint32(file), &r) //nolint:gosec // as many as a folder holds
			if l.records[file]++; l.records[file]%4096 == 0 {
				l.step(4096)
			}
		}
	}
	l.step(l.records[file] % 4096)
	return nil
}

// add counts a frame and keeps the row that it becomes.
func (l *packetLoad) add(file uint32, r *netcap.Record) {
	l.stats.Records++
	l.stats.Distinct++
	l.stats.seen(r.Time)
	c := l.conversation(r)
	c.packets, c.bytes = c.packets+1, plus(c.bytes, max(0, r.Length))
	c.first, c.last = span2(c.first, c.last, r.Time, r.Time)
	typ := packetType(r)
	if typ == "" {
		return
	}
	n, last, most := &c.names, &c.nameAt, nameRows
	if typ == "icmp" {
		n, last, most = &c.icmp, &c.icmpAt, icmpRows
	}
	if *n++; *n > most {
		if *n == most+1 && *last > 0 {
			l.rows[*last-1].summary += " (later ones of this pair are counted, not listed here)"
		}
		return
	}
	if len(l.rows) >= packetRows || r.N > math.MaxUint32 {
		l.dropped++
		return
	}
	l.rows = append(l.rows, packetRow{time: r.Time, file: file, n: uint32(r.N), conv: c, typ: typ, summary: packetSummary(r)}) //nolint:gosec // compared above
	*last = len(l.rows)
}

// conversation is the one of a frame: by addresses and protocol, each way
// apart.
func (l *packetLoad) conversation(r *netcap.Record) *conversation {
	k := convKey{r.Src, r.Dst, protocolOf(r.Protocol)}
	if c := l.convs[k]; c != nil {
		return c
	}
	if len(l.convs) >= maxConversations {
		l.pooled++
		k.src, k.dst = netip.Addr{}, netip.Addr{}
		if c := l.convs[k]; c != nil {
			return c
		}
	}
	c := &conversation{convKey: k}
	if k.src.IsValid() {
		c.src = l.dict.id(k.src.String(), colAddress)
	}
	if k.dst.IsValid() {
		c.dst = l.dict.id(k.dst.String(), colAddress)
	}
	l.convs[k] = c
	return c
}

// protocolOf is the number of a protocol that netcap names.
func protocolOf(name string) int64 {
	if name == "arp" {
		return protoARP
	}
	n, err := protocolNumber(name)
	if err != nil {
		return flowlog.Null
	}
	return n
}

func packetType(r *netcap.Record) string {
	switch {
	case r.ICMP != nil:
		return "icmp"
	case r.DNS != nil:
		return "dns"
	case r.SNI != "":
		return "tls"
	case r.Host != "":
		return "http"
	}
	return ""
}

// packetSummary is a frame in one line.
func packetSummary(r *netcap.Record) string {
	side := func(a netip.Addr, port uint16) string {
		switch {
		case !a.IsValid():
			return "?"
		case r.HasPorts:
			return netip.AddrPortFrom(a, port).String()
		}
		return a.String()
	}
	b := make([]byte, 0, 96)
	b = append(append(append(b, side(r.Src, r.SrcPort)...), " → "...), side(r.Dst, r.DstPort)...)
	switch {
	case r.ICMP != nil:
		b = appendICMP(b, r)
	case r.DNS != nil:
		b = append(append(append(append(b, " dns "...), r.DNS.Type...), ' '), r.DNS.Name...)
		for i, a := range r.DNS.Answers {
			if i == 0 {
				b = append(b, " ="...)
			}
			b = append(append(b, ' '), a...)
		}
	case r.SNI != "":
		b = append(append(b, " tls hello to "...), r.SNI...)
	case r.Host != "":
		b = append(append(b, " http to "...), r.Host...)
	}
	for _, v := range r.VNIs {
		b = strconv.AppendUint(append(b, " vni "...), uint64(v), 10)
	}
	if len(b) > summaryBytes {
		b = append(b[:summaryBytes], "…"...)
	}
	return string(b)
}

func appendICMP(b []byte, r *netcap.Record) []byte {
	i := r.ICMP
	b = append(append(b, ' '), r.Protocol...)
	if i.Echo {
		what := " reply"
		if i.Request {
			what = " request"
		}
		b = append(b, what...)
		b = strconv.AppendUint(append(b, " id "...), uint64(i.ID), 10)
		b = strconv.AppendUint(append(b, " seq "...), uint64(i.Seq), 10)
	} else {
		b = strconv.AppendUint(append(b, " type "...), uint64(i.Type), 10)
		b = strconv.AppendUint(append(b, " code "...), uint64(i.Code), 10)
	}
	b = strconv.AppendInt(append(b, ", payload of "...), i.PayloadBytes, 10)
	return append(b, " bytes"...)
}

// insert writes the rows in the order of the timeline: time, file, frame;
// those without a time last.
func (l *packetLoad) insert(ctx context.Context) error {
	ids, err := l.insertFiles(ctx, l.records, make([][]byte, len(l.files)))
	if err != nil {
		return err
	}
	slices.SortFunc(l.rows, func(a, b packetRow) int {
		if a.time.Set != b.time.Set {
			if a.time.Set {
				return -1
			}
			return 1
		}
		return cmp.Or(a.time.Compare(b.time), cmp.Compare(a.file, b.file), cmp.Compare(a.n, b.n))
	})
	first, err := l.nextID(ctx, "packets")
	if err != nil {
		return err
	}
	b, err := newBulk(l.t, "packets", "id,x,ts,file,n,src,dst,proto,type,summary")
	if err != nil {
		return err
	}
	sp := newSpan(l.x, "packets", first)
	for i := range l.rows {
		r, id := &l.rows[i], first+int64(i)
		var ts driver.Value
		if r.time.Set {
			ns, exact := nano(r.time)
			if ts = ns; !exact {
				if err := l.beyond(ctx, "packets", id, "ts", r.time); err != nil {
					return err
				}
			}
			sp.timedRow(ns)
		} else {
			sp.row()
		}
		if err := b.add(ctx, id, int64(l.x), ts, ids[r.file], int64(r.n), null(r.conv.src), null(r.conv.dst), protoOrNull(r.conv.proto), r.typ, r.summary); err != nil {
			return err
		}
	}
	return errors.Join(b.end(ctx), l.saveSpan(ctx, sp))
}

func (l *packetLoad) insertConversations(ctx context.Context) error {
	b, err := newBulk(l.t, "conversations", "x,src,dst,proto,packets,bytes,first,last")
	if err != nil {
		return err
	}
	for _, k := range sorted(l.convs, func(a, b convKey) int {
		return cmp.Or(a.src.Compare(b.src), a.dst.Compare(b.dst), cmp.Compare(a.proto, b.proto))
	}) {
		c := l.convs[k]
		if err := b.add(ctx, int64(l.x), null(c.src), null(c.dst), protoOrNull(c.proto), c.packets, c.bytes, nanoOrNull(c.first), nanoOrNull(c.last)); err != nil {
			return err
		}
	}
	return b.end(ctx)
}

func protoOrNull(n int64) driver.Value {
	if n == flowlog.Null {
		return nil
	}
	return n
}
