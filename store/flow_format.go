package store

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"slices"
	"strings"

	"github.com/klauspost/compress/gzip"

	"snapcase/evidence"
	"snapcase/evidence/flowlog"
	"snapcase/imaging"
)

// Files without a header line (CloudWatch exports) are indexed as far as the
// default format fits them. A query with a Format reads those of its exhibits
// again, with that format, for this call only: what the index holds of them is
// left out, what matches is held until it is in order, and copies in other
// flow logs are not told. Files with a header are answered from the index.

// flowsWithFormat yields the records of l's exhibits in order.
func (q *question) flowsWithFormat(ctx context.Context, l *listing, f FlowQuery, yield func(evidence.Flow, error) bool) error {
	again := q.newFormatted(f)
	if err := again.read(ctx, l); err != nil {
		return err
	}
	stopped := false
	each(ctx, l, 0, q.flows, func(v evidence.Flow, err error) bool {
		for err == nil && len(again.flows) > 0 && byFlowOrder(&again.flows[0], &v) < 0 {
			if stopped = !yield(again.flows[0], nil); stopped {
				return false
			}
			again.flows = again.flows[1:]
		}
		stopped = !yield(v, err) || err != nil
		return !stopped
	})
	for ; !stopped && len(again.flows) > 0; again.flows = again.flows[1:] {
		stopped = !yield(again.flows[0], nil)
	}
	return nil
}

// byFlowOrder is the order of the flows question.
func byFlowOrder(a, b *evidence.Flow) int {
	if a.Start.Set != b.Start.Set {
		if a.Start.Set {
			return -1
		}
		return 1
	}
	return cmp.Or(a.Start.Compare(b.Start), cmp.Compare(exhibitNumber(a.Record.Exhibit), exhibitNumber(b.Record.Exhibit)), strings.Compare(a.Record.File, b.Record.File), cmp.Compare(a.Record.N, b.Record.N))
}

// formatted reads files again with the query's format.
type formatted struct {
	q         *question
	f         FlowQuery
	ip, peer  netip.Addr
	proto     int64
	flows     []evidence.Flow
	instances map[string]*string // of interfaces, as the case knows them
	own       map[string]*[2]ownPair[netip.Addr]
}

func (q *question) newFormatted(f FlowQuery) *formatted {
	return &formatted{q: q, f: f, instances: map[string]*string{}, own: map[string]*[2]ownPair[netip.Addr]{}}
}

// read reads every file without a header, and takes it out of l.
func (a *formatted) read(ctx context.Context, l *listing) (err error) {
	a.ip, _ = netip.ParseAddr(a.f.IP) // both were checked when l was made
	a.peer, _ = netip.ParseAddr(a.f.Peer)
	a.ip, a.peer = a.ip.Unmap(), a.peer.Unmap()
	if a.f.Protocol != "" {
		if a.proto, err = protocolNumber(a.f.Protocol); err != nil {
			return err
		}
	}
	for _, sp := range a.q.spansOf("flows", a.f.Exhibit) {
		exhibit := a.q.exhibit(sp.x)
		files, err := exhibitFiles(a.q.c.folder, exhibit)
		if err != nil {
			return err
		}
		var names []string
		for _, file := range files {
			bare, err := headerless(ctx, file.path)
			if err != nil {
				return err
			}
			if !bare {
				continue
			}
			names = append(names, file.name)
			if err := a.file(ctx, exhibit, file); err != nil {
				return err
			}
		}
		if err := leaveOut(l, sp.x, names); err != nil {
			return err
		}
	}
	slices.SortFunc(a.flows, func(x, y evidence.Flow) int { return byFlowOrder(&x, &y) })
	return nil
}

// leaveOut takes files of an exhibit out of a listing.
func leaveOut(l *listing, x int, names []string) error {
	for _, s := range l.streams {
		if s.x != x || len(names) == 0 {
			continue
		}
		text, err := textList(names)
		if err != nil {
			return err
		}
		s.where.sql, s.where.args = slices.Clone(s.where.sql), slices.Clone(s.where.args)
		s.where.and("file NOT IN (SELECT id FROM files WHERE x = ? AND name IN (SELECT value FROM json_each(?)))", x, text)
	}
	return nil
}

// headerless says that the first line of a file names no fields.
func headerless(ctx context.Context, path string) (bool, error) {
	f, err := os.Open(path)
	if err != nil {
		return false, err
	}
	defer f.Close() //nolint:errcheck // read-only
	r := bufio.NewReaderSize(ctxReader{ctx, f}, 64<<10)
	if head, _ := r.Peek(2); bytes.Equal(head, []byte{0x1f, 0x8b}) {
		z, err := gzip.NewReader(r)
		if err != nil {
			return false, nil //nolint:nilerr // no record can be read: the index tells of it
		}
		r = bufio.NewReaderSize(io.LimitReader(z, 64<<10), 64<<10)
	}
	for {
		line, err := r.ReadSlice('\n')
		for _, word := range bytes.Fields(line) {
			switch string(bytes.ReplaceAll(word, []byte("_"), []byte("-"))) {
			case "version", "account-id", "interface-id", "srcaddr", "dstaddr", "pkt-srcaddr", "pkt-dstaddr", "start", "end", "log-status":
				return false, ctx.Err()
			}
		}
		if len(bytes.TrimSpace(line)) > 0 || err != nil {
			return true, ctx.Err()
		}
	}
}

func (a *formatted) file(ctx context.Context, exhibit string, file logFile) error {
	f, err := os.Open(file.path)
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // read-only
	for r, err := range flowlog.ReadFormat(ctxReader{ctx, f}, strings.Join(a.f.Format, " ")) {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		var bad *flowlog.BadRecord
		if errors.As(err, &bad) {
			continue
		}
		if errors.Is(err, flowlog.ErrFormat) {
			return fmt.Errorf("%w: %w", err, evidence.ErrUsage)
		}
		if err != nil {
			return fmt.Errorf("read %s/%s: %w", exhibit, file.name, err)
		}
		a.meet(&r)
		v := flowOf(&r)
		if v.Instance == nil && r.Interface != "" {
			if v.Instance, err = a.instance(ctx, r.Interface); err != nil {
				return err
			}
		}
		if a.wants(&r, &v) {
			v.Record = evidence.Record{Exhibit: exhibit, File: file.name, N: r.N}
			a.flows = append(a.flows, v)
		}
	}
	return nil
}

// meet learns the own address of a record's interface.
func (a *formatted) meet(r *flowlog.Record) {
	if r.Interface == "" || !r.Src.IsValid() || !r.Dst.IsValid() || r.Src.Is4() != r.Dst.Is4() {
		return
	}
	o := a.own[r.Interface]
	if o == nil {
		o = &[2]ownPair[netip.Addr]{}
		a.own[r.Interface] = o
	}
	o[family(r.Src)].meet(ownPair[netip.Addr]{r.Src, r.Dst, true})
}

// instance is the one that the case knows for an interface.
func (a *formatted) instance(ctx context.Context, iface string) (*string, error) {
	if s, ok := a.instances[iface]; ok {
		return s, nil
	}
	id, ok, err := a.q.number(ctx, "SELECT min(instance) FROM instances WHERE attr = 'interface' AND value = (SELECT id FROM dict WHERE text = ?) GROUP BY value HAVING min(instance) = max(instance)", iface)
	if err != nil {
		return nil, err
	}
	var found *string
	if ok {
		words := lookup{id: ""}
		if err := a.q.texts(ctx, words); err != nil {
			return nil, err
		}
		s := words[id]
		found = &s
	}
	a.instances[iface] = found
	return found, nil
}

func (a *formatted) wants(r *flowlog.Record, v *evidence.Flow) bool {
	f := &a.f
	side := func(ip netip.Addr) bool { return r.Src == ip || r.Dst == ip || r.PktSrc == ip || r.PktDst == ip }
	return (f.IP == "" || side(a.ip)) && (f.Peer == "" || side(a.peer)) &&
		(f.Interface == "" || r.Interface == f.Interface) && (f.Instance == "" || optText(v.Instance) == f.Instance) &&
		(f.Protocol == "" || r.Protocol == a.proto) && (f.Port == nil || r.SrcPort == *f.Port || r.DstPort == *f.Port) &&
		(f.Action == "" || r.Action == f.Action) && within(r.Start, f.From, f.To)
}

// within says that t lies from from to to, both belonging to it; an end that
// is not set is open.
func within(t, from, to imaging.Time) bool {
	if !from.Set && !to.Set {
		return true
	}
	return t.Set && (!from.Set || t.Compare(from) >= 0) && (!to.Set || t.Compare(to) <= 0)
}

// flowOf is a record in the shape of the flows verb.
func flowOf(r *flowlog.Record) evidence.Flow {
	text := func(s string) *string {
		if s == "" {
			return nil
		}
		return &s
	}
	addr := func(a netip.Addr) *string {
		if !a.IsValid() {
			return nil
		}
		return text(a.String())
	}
	num := func(n int64) *int64 {
		if n == flowlog.Null {
			return nil
		}
		return &n
	}
	v := evidence.Flow{
		Start: r.Start, End: r.End, Version: num(r.Version), Account: text(r.Account), Interface: text(r.Interface), Instance: text(r.Instance), VPC: text(r.VPC), Subnet: text(r.Subnet),
		Src: addr(r.Src), Dst: addr(r.Dst), PktSrc: addr(r.PktSrc), PktDst: addr(r.PktDst), SrcPort: num(r.SrcPort), DstPort: num(r.DstPort), Protocol: text(flowlog.ProtocolName(r.Protocol)),
		Packets: num(r.Packets), Bytes: num(r.Bytes), Action: text(r.Action), Status: text(r.Status), TCPFlags: num(r.TCPFlags), Direction: text(r.Direction), Region: text(r.Region),
	}
	for _, f := range r.Other {
		if v.Other == nil {
			v.Other = map[string]string{}
		}
		v.Other[f.Name] = f.Value
	}
	return v
}

// sums are the records of status OK, one each, as flowPeers takes them.
// Addresses that the index has not get numbers below 0.
func (a *formatted) sums(ctx context.Context) ([]*storedSum, lookup, error) {
	words, ids := lookup{}, map[string]int64{}
	number := func(s string) (int64, error) {
		if s == "" {
			return 0, nil
		}
		if id, ok := ids[s]; ok {
			return id, nil
		}
		id, err := a.q.word(ctx, s)
		if id == 0 {
			id = -1 - int64(len(words))
			words[id] = s
		}
		ids[s] = id
		return id, err
	}
	var all []*storedSum
	for i := range a.flows {
		v := &a.flows[i]
		if v.Status != nil && *v.Status != "OK" || v.Src == nil && v.Dst == nil {
			continue
		}
		u := &storedSum{x: exhibitNumber(v.Record.Exhibit), proto: flowlog.Null, records: 1, first: v.Start, last: v.End}
		var err error
		for _, f := range []struct {
			id   *int64
			text string
		}{
			{&u.iface, optText(v.Interface)},
			{&u.lsrc, optText(v.Src)},
			{&u.ldst, optText(v.Dst)},
			{&u.src, cmp.Or(optText(v.PktSrc), optText(v.Src))},
			{&u.dst, cmp.Or(optText(v.PktDst), optText(v.Dst))},
		} {
			if *f.id, err = number(f.text); err != nil {
				return nil, nil, err
			}
		}
		if v.Protocol != nil {
			if u.proto, err = protocolNumber(*v.Protocol); err != nil {
				u.proto = flowlog.Null
			}
		}
		u.packets, u.bytes = numberOr(v.Packets, 0), numberOr(v.Bytes, 0)
		switch optText(v.Action) {
		case "ACCEPT":
			u.accepted = 1
		case "REJECT":
			u.rejected = 1
		}
		if p, ok := servicePort(small(u.proto), small(numberOr(v.SrcPort, flowlog.Null)), small(numberOr(v.DstPort, flowlog.Null))); ok {
			u.ports = []int64{int64(p)}
		}
		a.side(u, v)
		all = append(all, u)
	}
	return all, words, nil
}

func numberOr(n *int64, or int64) int64 {
	if n == nil {
		return or
	}
	return *n
}

// side tells the remote side of a record, as remote does.
func (a *formatted) side(u *storedSum, v *evidence.Flow) {
	switch optText(v.Direction) {
	case "ingress":
		u.peer = u.src
		return
	case "egress":
		u.peer, u.egress = u.dst, true
		return
	}
	o := a.own[optText(v.Interface)]
	if o == nil || u.lsrc == u.ldst {
		return
	}
	for _, pair := range o {
		own := pair.own()
		switch {
		case !own.IsValid():
		case own.String() == optText(v.Src):
			u.peer, u.egress = u.dst, true
		case own.String() == optText(v.Dst):
			u.peer = u.src
		}
	}
}
