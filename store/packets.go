package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"iter"
	"net/netip"
	"os"

	"snapcase/evidence"
	"snapcase/evidence/netcap"
)

// Packets yields the frames that q selects, read from the captures: every
// frame of them, in the order of exhibit, file, frame. What gives no frame is
// passed over; Stats tells of it.
func (c *Case) Packets(ctx context.Context, q PacketQuery) iter.Seq2[evidence.Packet, error] {
	return func(yield func(evidence.Packet, error) bool) {
		s := frameSearch{c: c, q: q, yield: yield}
		if err := s.run(ctx); err != nil {
			yield(evidence.Packet{}, fmt.Errorf("packets: %w", err))
		}
	}
}

// frameSearch reads frames that a query selects.
type frameSearch struct {
	c       *Case
	q       PacketQuery
	ip      netip.Addr
	proto   int64
	yield   func(evidence.Packet, error) bool
	stopped bool
}

func (s *frameSearch) run(ctx context.Context) (err error) {
	if s.q.IP != "" {
		if s.ip, err = netip.ParseAddr(s.q.IP); err != nil {
			return evidence.WithHint(fmt.Errorf("address %q: %w", s.q.IP, evidence.ErrUsage), "an address looks like 198.51.100.7 or 2001:db8::7")
		}
		s.ip = s.ip.Unmap()
	}
	if s.q.Protocol == "arp" {
		s.proto = protoARP
	} else if s.q.Protocol != "" {
		if s.proto, err = protocolNumber(s.q.Protocol); err != nil {
			return err
		}
	}
	all, err := evidence.ReadExhibits(s.c.folder)
	if err != nil {
		return err
	}
	for _, a := range all {
		if a.Kind != evidence.KindPcap || s.q.Exhibit != "" && s.q.Exhibit != a.Exhibit {
			continue
		}
		files, err := exhibitFiles(s.c.folder, a.Exhibit)
		if err != nil {
			return err
		}
		for _, f := range files {
			if err := s.file(ctx, a.Exhibit, f); err != nil || s.stopped {
				return err
			}
		}
	}
	return nil
}

func (s *frameSearch) file(ctx context.Context, exhibit string, file logFile) error {
	f, err := os.Open(file.path)
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // read-only
	for r, err := range netcap.Read(ctxReader{ctx, f}) {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		var bad *netcap.BadFrame
		if errors.As(err, &bad) {
			continue
		}
		if err != nil {
			return fmt.Errorf("read %s/%s: %w", exhibit, file.name, err)
		}
		if !s.wants(&r) {
			continue
		}
		p := r.Packet()
		p.Record = evidence.Record{Exhibit: exhibit, File: file.name, N: r.N}
		if !s.yield(p, nil) {
			s.stopped = true
			return nil
		}
	}
	return nil
}

func (s *frameSearch) wants(r *netcap.Record) bool {
	if s.ip.IsValid() && r.Src.Unmap() != s.ip && r.Dst.Unmap() != s.ip && r.OuterSrc.Unmap() != s.ip && r.OuterDst.Unmap() != s.ip {
		return false
	}
	if s.q.Protocol != "" && protocolOf(r.Protocol) != s.proto {
		return false
	}
	if s.q.VNI == nil {
		return true
	}
	for _, v := range r.VNIs {
		if int64(v) == *s.q.VNI {
			return true
		}
	}
	return false
}

// packetMoments are the frames at some positions as lines of the timeline.
func (q *question) packetMoments(ctx context.Context, at []position) ([]evidence.Moment, error) {
	ids := make([]int64, len(at))
	for i, p := range at {
		ids[i] = p.id
	}
	type stored struct {
		m       evidence.Moment
		x       int
		file, n int64
		ts      sql.NullInt64
	}
	rows, files := make(map[int64]*stored, len(ids)), map[int64]string{}
	err := q.byIDs(ctx, "SELECT id, x, ts, file, n, type, summary FROM packets WHERE id", ids, func(r *sql.Rows) error {
		s := &stored{m: evidence.Moment{Source: "packet", Tags: []string{}}}
		var id int64
		if err := r.Scan(&id, &s.x, &s.ts, &s.file, &s.n, &s.m.Type, &s.m.Summary); err != nil {
			return err
		}
		rows[id], files[s.file] = s, ""
		return nil
	})
	if err != nil {
		return nil, err
	}
	if err := q.fileNames(ctx, files); err != nil {
		return nil, err
	}
	out := make([]evidence.Moment, 0, len(ids))
	for _, id := range ids {
		s := rows[id]
		if s == nil {
			return nil, fmt.Errorf("frame %d is not in the index", id)
		}
		if s.m.Time, err = q.exact(ctx, "packets", id, "ts", s.ts); err != nil {
			return nil, err
		}
		r := evidence.Record{Exhibit: q.exhibit(s.x), File: files[s.file], N: s.n}
		s.m.Exhibit, s.m.Record = r.Exhibit, r.String()
		out = append(out, s.m)
	}
	return out, nil
}
