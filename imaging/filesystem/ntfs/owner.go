package ntfs

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"snapcase/imaging/filesystem"
)

// Extents yields who owns which bytes: the MFT with the values of $DATA that
// its records hold cut out of it for their owners, what the files of each
// record claim, then what the bitmap says is free. Size is up to where the
// value was ever written: what lies behind it is slack. The bytes of a
// compressed run are packed, so FileOffset is exact at the start of a unit
// only; of a value in a record, each last two bytes of 512 lie elsewhere in the
// record. Runs of deleted records may overlap those of others and what is free.
func (fs *FS) Extents(ctx context.Context) iter.Seq2[filesystem.Extent, error] {
	return func(yield func(filesystem.Extent, error) bool) {
		o := &owners{scanner: fs.newScanner(ctx), yield: yield}
		if err := o.walk(); err != nil && !errors.Is(err, errEnough) {
			yield(filesystem.Extent{}, fmt.Errorf("extents of ntfs: %w", err))
		}
	}
}

type owners struct {
	*scanner
	yield func(filesystem.Extent, error) bool
	done  int64 // up to where the MFT was given out
}

func (o *owners) give(e filesystem.Extent) error {
	if err := o.ctx.Err(); err != nil {
		return err
	}
	limit := o.fs.src.Size()
	if e.Start >= limit || e.Length <= 0 {
		return nil
	}
	e.Length = min(e.Length, limit-e.Start)
	if !o.yield(e, nil) {
		return errEnough
	}
	return nil
}

func (o *owners) walk() error {
	b := &o.fs.boot
	if err := o.each(0, o.fs.records, o.record); err != nil {
		return err
	}
	mapped := int64(0)
	if k := len(o.fs.mft.runs); k > 0 {
		mapped = int64(o.fs.mft.runs[k-1].vcn+o.fs.mft.runs[k-1].n) * b.cluster //nolint:gosec // bounded by maxClusters
	}
	if err := o.table(mapped, filesystem.Extent{}); err != nil {
		return err
	}
	tail := int64(b.clusters) * b.cluster    //nolint:gosec // checked by parseBoot
	end := (int64(b.sectors) + 1) * b.sector //nolint:gosec // checked by parseBoot
	if err := o.give(filesystem.Extent{Start: tail, Length: end - tail, Kind: filesystem.OwnMeta}); err != nil {
		return err
	}
	return o.free()
}

// table gives the MFT up to a byte as metadata, then, where e has a length, as
// much of it as e says.
func (o *owners) table(to int64, e filesystem.Extent) error {
	if err := o.pieces(o.done, to-o.done, filesystem.Extent{Kind: filesystem.OwnMeta}); err != nil {
		return err
	}
	o.done = max(o.done, to)
	if e.Length == 0 {
		return nil
	}
	err := o.pieces(to, e.Length, e)
	o.done = to + e.Length
	return err
}

// pieces gives n bytes of the MFT from off where they lie on the volume.
func (o *owners) pieces(off, n int64, e filesystem.Extent) error {
	cs := o.fs.boot.cluster
	for i := o.fs.mft.find(off / cs); n > 0 && i < len(o.fs.mft.runs); i++ {
		r := o.fs.mft.runs[i]
		in := off - int64(r.vcn)*cs      //nolint:gosec // bounded by maxClusters
		part := min(n, int64(r.n)*cs-in) //nolint:gosec // bounded by maxClusters
		if r.lcn >= 0 {
			x := e
			x.Start, x.Length = r.lcn*cs+in, part
			if err := o.give(x); err != nil {
				return err
			}
		}
		off, n, e.FileOffset = off+part, n-part, e.FileOffset+part
	}
	return nil
}

// record gives what one record holds, and what its file claims.
func (o *owners) record(r *record) error {
	if !r.file {
		return nil
	}
	own := filesystem.Extent{Ref: filesystem.Ref{Inode: r.number, Generation: uint32(r.seq)}}
	if !r.inUse {
		own.Status = filesystem.Deleted
	}
	stray, err := o.fs.stray(r)
	if err != nil {
		return err
	}
	if r.part() && !stray {
		own.Ref = filesystem.Ref{Inode: r.base, Generation: uint32(r.bseq)}
	}
	for _, a := range r.attrs {
		if a.kind != typeData || a.runs != nil || len(a.value) == 0 {
			continue
		}
		e := own
		e.Kind, e.Ref.Stream = kindOf(r.number, typeData), a.name
		e.Length, e.Size = int64(len(a.value)), int64(len(a.value))
		if err := o.table(int64(r.number)*o.fs.boot.record+int64(a.at), e); err != nil { //nolint:gosec // inside the MFT
			return err
		}
	}
	if r.part() && !stray {
		return nil
	}
	f, err := o.fs.gather(r, &o.budget)
	if err != nil {
		return err
	}
	return o.claims(f, own)
}

func kindOf(number uint64, kind uint32) filesystem.OwnerKind {
	switch {
	case number == recLogFile:
		return filesystem.OwnJournal
	case kind == typeIndex:
		return filesystem.OwnDir
	case number < firstUser:
		return filesystem.OwnMeta
	case kind == typeData:
		return filesystem.OwnContent
	case kind == typeList || kind == typeBitmap:
		return filesystem.OwnMeta
	}
	return filesystem.OwnXattr
}

// claims gives the runs of all values of a file.
func (o *owners) claims(f *file, own filesystem.Extent) error {
	type key struct {
		kind uint32
		name string
	}
	seen := make(map[key]bool)
	cs := o.fs.boot.cluster
	for _, a := range f.attrs {
		k := key{a.kind, a.name}
		if a.runs == nil || seen[k] || f.number == recMFT && a.kind == typeData && a.name == "" {
			continue
		}
		if len(seen) == maxStreams {
			return nil
		}
		seen[k] = true
		s := f.stream(a.kind, a.name)
		c := o.fs.content(s)
		for _, r := range s.runs {
			if r.lcn < 0 {
				continue
			}
			e := own
			e.Kind, e.Size = kindOf(f.number, a.kind), min(c.size, c.init)
			if a.kind == typeData {
				e.Ref.Stream = a.name
			}
			e.Start, e.Length, e.FileOffset = r.lcn*cs, int64(r.n)*cs, int64(r.vcn)*cs //nolint:gosec // inside the volume
			if err := o.give(e); err != nil {
				return err
			}
		}
	}
	return nil
}

// free gives the clusters whose bit is not set.
func (o *owners) free() error {
	if o.fs.bitmap == nil {
		return nil
	}
	cs, clusters := o.fs.boot.cluster, o.fs.boot.clusters
	start, open := uint64(0), false
	buf := make([]byte, bitsPart)
	for at := int64(0); at < o.fs.bitmap.size && uint64(at)*8 < clusters; at += bitsPart { //nolint:gosec // not negative
		n, err := o.fs.bitmap.ReadAt(buf, at)
		if err != nil && !isEOF(err) {
			return err
		}
		for i := range uint64(n) * 8 { //nolint:gosec // not negative
			c := uint64(at)*8 + i //nolint:gosec // not negative
			if c >= clusters {
				break
			}
			used := buf[i/8]>>(i%8)&1 != 0
			if used == !open {
				continue
			}
			if open {
				if err := o.give(freeRun(start, c, cs)); err != nil {
					return err
				}
			}
			start, open = c, !open
		}
	}
	if open {
		return o.give(freeRun(start, min(clusters, uint64(o.fs.bitmap.size)*8), cs)) //nolint:gosec // not negative
	}
	return nil
}

func freeRun(start, end uint64, cs int64) filesystem.Extent {
	return filesystem.Extent{Start: int64(start) * cs, Length: int64(end-start) * cs, Kind: filesystem.OwnFree} //nolint:gosec // inside the volume
}
