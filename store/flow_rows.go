package store

import (
	"cmp"
	"math"
	"net/netip"
	"strings"

	"snapcase/evidence/flowlog"
	"snapcase/imaging"
)

// flowRow is a flow record on its way into the database, 80 bytes:
// strings and addresses are numbers of the dictionary, and what most records
// of an interface share is a kind.
type flowRow struct {
	start, end     int64 // Unix seconds
	packets, bytes int64 // flowlog.Null where there is none
	file, n        uint32
	src, dst       uint32
	psrc, pdst     uint32
	kind, other    uint32
	sport, dport   int32
	proto          int32
	flags          uint8
}

// Flags of a flow row.
const (
	flowStart = 1 << iota // the record has a start
	flowEnd
	flowCopy
)

// flowKind is what the records of an interface have in common, as numbers.
type flowKind struct {
	version, tcp                                       int64
	account, iface, instance, vpc, subnet              uint32
	region, action, status, direction                  uint32
	counted, skip, accepted, rejected, ingress, egress bool
}

// kindText is a flowKind in words.
type kindText struct {
	version, tcp                          int64
	account, iface, instance, vpc, subnet string
	region, action, status, direction     string
}

// flowWorker collects the rows of the files that one goroutine read. Rows lie
// in blocks, so that growing copies nothing.
type flowWorker struct {
	d      *dict
	reader *flowlog.Reader
	blocks [][]flowRow
	rows   int
	kinds  []flowKind
	own    [][2]ownPair[uint32] // by kind, IPv4 and IPv6
	known  map[kindText]uint32
	addrs  map[netip.Addr]uint32
	skip   int64
	nodata int64
}

const flowBlock = 1 << 14

// keptAddrs is how many addresses a worker remembers beside the dictionary.
const keptAddrs = 1 << 18

func newFlowWorker(d *dict) *flowWorker {
	return &flowWorker{d: d, reader: flowlog.NewReader(), known: map[kindText]uint32{}, addrs: map[netip.Addr]uint32{}}
}

func (w *flowWorker) row(i uint32) *flowRow { return &w.blocks[i/flowBlock][i%flowBlock] }

// add takes a record of the exhibit's file number file.
func (w *flowWorker) add(file uint32, r *flowlog.Record) {
	row := flowRow{
		start: r.Start.Sec, end: r.End.Sec, packets: r.Packets, bytes: r.Bytes, file: file, n: uint32(r.N), //nolint:gosec // a file holds fewer
		src: w.addr(r.Src), dst: w.addr(r.Dst), psrc: w.addr(r.PktSrc), pdst: w.addr(r.PktDst),
		sport: small(r.SrcPort), dport: small(r.DstPort), proto: small(r.Protocol), kind: w.kind(r), other: w.others(r.Other),
	}
	if r.Start.Set {
		row.flags |= flowStart
	}
	if r.End.Set {
		row.flags |= flowEnd
	}
	if k := w.kinds[row.kind]; row.src != 0 && row.dst != 0 && k.iface != 0 && r.Src.Is4() == r.Dst.Is4() {
		w.own[row.kind][family(r.Src)].meet(ownPair[uint32]{row.src, row.dst, true})
	}
	switch r.Status {
	case "SKIPDATA":
		w.skip++
	case "NODATA":
		w.nodata++
	}
	if w.rows%flowBlock == 0 {
		w.blocks = append(w.blocks, make([]flowRow, 0, flowBlock))
	}
	last := len(w.blocks) - 1
	w.blocks[last] = append(w.blocks[last], row)
	w.rows++
}

// small is a port or protocol; the reader gives none above 65,535.
func small(n int64) int32 { return int32(max(flowlog.Null, min(n, math.MaxInt32))) } //nolint:gosec // held

func family(a netip.Addr) int {
	if a.Is4() {
		return 0
	}
	return 1
}

func (w *flowWorker) addr(a netip.Addr) uint32 {
	if !a.IsValid() {
		return 0
	}
	if id, ok := w.addrs[a]; ok {
		return id
	}
	id := uint32(w.d.id(a.String(), colAddress)) //nolint:gosec // a case holds fewer strings
	if len(w.addrs) >= keptAddrs {
		clear(w.addrs)
	}
	w.addrs[a] = id
	return id
}

// kind numbers what the record shares with others.
func (w *flowWorker) kind(r *flowlog.Record) uint32 {
	t := kindText{r.Version, r.TCPFlags, r.Account, r.Interface, r.Instance, r.VPC, r.Subnet, r.Region, r.Action, r.Status, r.Direction}
	if id, ok := w.known[t]; ok {
		return id
	}
	word := func(s string) uint32 { return uint32(w.d.id(s, colFlow)) } //nolint:gosec // a case holds fewer strings
	id := uint32(len(w.kinds))                                          //nolint:gosec // rows of one exhibit in memory
	w.kinds = append(w.kinds, flowKind{
		version: t.version, tcp: t.tcp, account: word(t.account), iface: word(t.iface), instance: word(t.instance), vpc: word(t.vpc), subnet: word(t.subnet),
		region: word(t.region), action: word(t.action), status: word(t.status), direction: word(t.direction),
		counted: t.status == "OK" || t.status == "", skip: t.status == "SKIPDATA",
		accepted: t.action == "ACCEPT", rejected: t.action == "REJECT", ingress: t.direction == "ingress", egress: t.direction == "egress",
	})
	w.own = append(w.own, [2]ownPair[uint32]{})
	w.known[t] = id
	return id
}

// others is the fields without a place of their own: name, value, name, value …
// with spaces between, which neither can hold.
func (w *flowWorker) others(fields []flowlog.Field) uint32 {
	if len(fields) == 0 {
		return 0
	}
	var b strings.Builder
	for i, f := range fields {
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(f.Name)
		b.WriteByte(' ')
		b.WriteString(f.Value)
	}
	return uint32(w.d.id(b.String(), colFlow)) //nolint:gosec // a case holds fewer strings
}

// otherFields is the inverse of others.
func otherFields(s string) map[string]string {
	if s == "" {
		return nil
	}
	parts := strings.Split(s, " ")
	m := make(map[string]string, len(parts)/2)
	for i := 0; i+1 < len(parts); i += 2 {
		m[parts[i]] = parts[i+1]
	}
	return m
}

// ownPair narrows down an interface's own address: the one that stands on one
// side of all its records. The zero value of an address is out of the race.
type ownPair[T comparable] struct {
	a, b T
	seen bool
}

// meet keeps the addresses that both pairs have.
func (p *ownPair[T]) meet(o ownPair[T]) {
	if !o.seen {
		return
	}
	if !p.seen {
		*p = o
		return
	}
	var out T
	if p.a != o.a && p.a != o.b {
		p.a = out
	}
	if p.b != o.a && p.b != o.b {
		p.b = out
	}
}

// own is the address, zero where it cannot be told.
func (p *ownPair[T]) own() (none T) {
	switch {
	case p.a == p.b || p.b == none:
		return p.a
	case p.a == none:
		return p.b
	}
	return none
}

// remote is the remote address of a record as its interface sees it: by the
// direction, else by which side is the interface's own. The address of the
// packet itself goes before the one that the interface shows. It is 0 where it
// cannot be told.
func remote(k *flowKind, own [2]uint32, r *flowRow) uint32 {
	src, dst := cmp.Or(r.psrc, r.src), cmp.Or(r.pdst, r.dst)
	switch {
	case k.ingress:
		return src
	case k.egress:
		return dst
	}
	for _, o := range own {
		switch {
		case o == 0 || r.src == r.dst:
		case o == r.src:
			return dst
		case o == r.dst:
			return src
		}
	}
	return 0
}

// flowTime is seconds as a time of the index.
func flowTime(sec int64, set bool) imaging.Time {
	if !set {
		return imaging.Time{}
	}
	return imaging.Time{Sec: sec, Set: true}
}
