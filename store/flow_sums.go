package store

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/binary"
	"slices"

	"snapcase/evidence/flowlog"
)

// flowSums sums records of status OK that are no copies, while they are
// loaded; records of a format without a status count as OK. They are what the
// peers of an instance are answered from.
type flowSums struct {
	at  map[flowSumKey]*flowSum
	all []*flowSum // in the order of their first records
}

type flowSumKey struct {
	iface, instance, direction uint32
	src, dst                   uint32 // of the packet where the record tells, else as the interface shows them
	lsrc, ldst                 uint32 // as the interface shows them
	peer                       uint32
	proto                      int32
}

type flowSum struct {
	flowSumKey
	records, packets, bytes, accepted, rejected int64
	first, last                                 int64 // nanoseconds
	started, ended                              bool
	ports                                       []int32 // ascending
}

func (s *flowSums) add(k *flowKind, r *flowRow, peer uint32) {
	key := flowSumKey{k.iface, k.instance, k.direction, cmp.Or(r.psrc, r.src), cmp.Or(r.pdst, r.dst), r.src, r.dst, peer, r.proto}
	u := s.at[key]
	if u == nil {
		u = &flowSum{flowSumKey: key}
		s.at[key], s.all = u, append(s.all, u)
	}
	u.records++
	u.packets, u.bytes = plus(u.packets, max(0, r.packets)), plus(u.bytes, max(0, r.bytes))
	if k.accepted {
		u.accepted++
	}
	if k.rejected {
		u.rejected++
	}
	if r.flags&flowStart != 0 {
		ns, _ := nano(flowTime(r.start, true))
		if !u.started || ns < u.first {
			u.first, u.started = ns, true
		}
	}
	if r.flags&flowEnd != 0 {
		ns, _ := nano(flowTime(r.end, true))
		if !u.ended || ns > u.last {
			u.last, u.ended = ns, true
		}
	}
	if p, ok := servicePort(r.proto, r.sport, r.dport); ok {
		if i, have := slices.BinarySearch(u.ports, p); !have {
			u.ports = slices.Insert(u.ports, i, p)
		}
	}
}

// servicePort is the lower port of a record: where one side is a service, its
// port. ICMP has none.
func servicePort(proto, sport, dport int32) (int32, bool) {
	if proto == 1 || proto == 58 || sport == flowlog.Null || dport == flowlog.Null {
		return 0, false
	}
	return min(sport, dport), true
}

const flowSumColumns = "x,iface,instance,src,dst,lsrc,ldst,proto,direction,peer,records,packets,bytes,accepted,rejected,first,last,ports"

// write fills the table of sums.
func (s *flowSums) write(ctx context.Context, x int, b *fastTable) error {
	row := make([]sql.NullInt64, 0, 32)
	for _, u := range s.all {
		row = append(row[:0], is(int64(x)), dictNo(u.iface), dictNo(u.instance), dictNo(u.src), dictNo(u.dst), dictNo(u.lsrc), dictNo(u.ldst), known(int64(u.proto)), dictNo(u.direction), dictNo(u.peer),
			is(u.records), is(u.packets), is(u.bytes), is(u.accepted), is(u.rejected), sql.NullInt64{Int64: u.first, Valid: u.started}, sql.NullInt64{Int64: u.last, Valid: u.ended})
		if err := b.add(ctx, 0, row, packPorts(u.ports)); err != nil {
			return err
		}
	}
	return b.end(ctx)
}

// packPorts is ascending ports as varints of their distances; nil for none.
func packPorts(ports []int32) []byte {
	if len(ports) == 0 {
		return nil
	}
	b := make([]byte, 0, 2*len(ports))
	last := int32(0)
	for _, p := range ports {
		b = binary.AppendUvarint(b, uint64(p-last)) //nolint:gosec // ascending
		last = p
	}
	return b
}

func unpackPorts(b []byte) (ports []int64) {
	last := int64(0)
	for len(b) > 0 {
		d, n := binary.Uvarint(b)
		if n <= 0 {
			return ports
		}
		last += int64(d) //nolint:gosec // written by packPorts
		ports, b = append(ports, last), b[n:]
	}
	return ports
}
