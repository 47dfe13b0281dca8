package qcow2

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/bits"
	"sync"

	"snapcase/imaging/image/container"

	"github.com/klauspost/compress/zstd"
)

const (
	offsetMask   = 0x00fffffffffffe00
	compressed   = 1 << 62
	allZeros     = 1 << 0
	subclusters  = 32
	packingZstd  = 1
	mostWindow   = 8 << 20
	sectorOfSize = 512
)

// Find implements container.Map.
func (d *disk) Find(off int64) (container.Span, error) {
	e, bitmap, s, err := d.entry(off)
	if err != nil || s.Length > 0 {
		return s, err
	}
	in := off & (d.cluster() - 1)
	s.Length = min(d.cluster()-in, d.size-off)
	at := int64(e & offsetMask)
	switch {
	case e&compressed != 0:
		s.Packed, s.Key, s.Size, s.Skip = true, off>>d.bits, int(d.cluster()), int(in)
		return s, nil
	case at&(d.cluster()-1) != 0:
		s.Reason = fmt.Sprintf("the L2 table names a cluster at byte %d, between two clusters", at)
		return s, nil
	case d.incompat&incompatExtendedL2 != 0:
		return d.part(off, at, bitmap, s), nil
	case d.version == 3 && e&allZeros != 0:
		return s, nil
	case at == 0:
		return d.below(off, s.Length), nil
	}
	s.From, s.At = d.src, at+in
	return s, nil
}

// entry reads the L2 entry of the cluster at off. Where there is none the span
// says what the bytes are.
func (d *disk) entry(off int64) (e, bitmap uint64, s container.Span, err error) {
	table := off >> (d.bits + d.tableBits())
	end := min((table+1)<<(d.bits+d.tableBits()), d.size)
	if table >= d.l1n {
		return 0, 0, container.Span{Length: d.size - off, Reason: "the L1 table ends before these clusters"}, nil
	}
	var b [16]byte
	reason, err := d.pages.Read(b[:8], d.l1+8*table)
	if err != nil || reason != "" {
		return 0, 0, container.Span{Length: end - off, Reason: reason}, err
	}
	l2 := int64(be.Uint64(b[:]) & offsetMask)
	switch {
	case l2 == 0:
		return 0, 0, d.below(off, end-off), nil
	case l2&(d.cluster()-1) != 0:
		reason = fmt.Sprintf("the L1 table names an L2 table at byte %d, between two clusters", l2)
		return 0, 0, container.Span{Length: end - off, Reason: reason}, nil
	}
	n := off >> d.bits & (1<<d.tableBits() - 1)
	width := d.cluster() >> d.tableBits() // 8 or 16
	reason, err = d.pages.Read(b[:width], l2+n*width)
	if err != nil || reason != "" {
		left := d.cluster() - off&(d.cluster()-1)
		return 0, 0, container.Span{Length: min(left, d.size-off), Reason: reason}, err
	}
	return be.Uint64(b[:]), be.Uint64(b[8:]), s, nil
}

// below is what an image does not hold itself.
func (d *disk) below(off, n int64) container.Span {
	if d.backing == nil || off >= d.backing.Size() {
		return container.Span{Length: n}
	}
	return container.Span{Length: min(n, d.backing.Size()-off), From: d.backing, At: off}
}

// part is the run of parts of a cluster, from off, that are of one kind.
func (d *disk) part(off, at int64, bitmap uint64, s container.Span) container.Span {
	size := d.cluster() / subclusters
	in := off & (d.cluster() - 1)
	first := uint(in / size)
	here, zero := uint32(bitmap)>>first, uint32(bitmap>>32)>>first
	run := func(b uint32) int64 { // of bits like the lowest
		if b&1 != 0 {
			b = ^b
		}
		return int64(min(bits.TrailingZeros32(b), int(subclusters-first)))
	}
	n := min(run(here), run(zero))*size - in%size
	s.Length = min(n, s.Length)
	switch {
	case here&1 != 0 && zero&1 != 0:
		s.Reason = "the L2 table says that these bytes are here and that they are zeros"
	case zero&1 != 0:
	case here&1 == 0:
		return d.below(off, s.Length)
	case at == 0:
		s.Reason = "the L2 table says that these bytes are here and not where"
	default:
		s.From, s.At = d.src, at+in
	}
	return s
}

// Unpack implements container.Map; key is the number of a cluster.
func (d *disk) Unpack(key int64, dst []byte) (string, error) {
	e, _, s, err := d.entry(key << d.bits)
	if err != nil || s.Length > 0 {
		clear(dst)
		return s.Reason, err
	}
	x := 62 - (d.bits - 8)
	off := int64(e & (1<<x - 1))
	n := (int64(e>>x&(1<<(d.bits-8)-1))+1)*sectorOfSize - off%sectorOfSize
	if n = min(n, d.src.Size()-off); n <= 0 {
		clear(dst)
		return fmt.Sprintf("a compressed cluster at byte %d lies past the end of the file", off), nil
	}
	b := make([]byte, n)
	if err := container.ReadFull(d.src, b, off); err != nil {
		clear(dst)
		return "", err
	}
	if d.packing == packingZstd {
		err = unzstd(dst, b)
	} else if err = container.Inflate(dst, b); errors.Is(err, container.ErrLong) {
		err = nil // QEMU takes a cluster and asks for no more
	}
	below := container.GapsIn(d.src, off, n)
	switch {
	case err != nil && len(below) > 0:
		return fmt.Sprintf("the compressed cluster at byte %d is damaged: %v: %s", off, err, below[0].Reason), nil
	case err != nil:
		return fmt.Sprintf("the compressed cluster at byte %d is damaged: %v", off, err), nil
	case len(below) > 0: // there is no checksum that would clear it
		return fmt.Sprintf("the compressed cluster at byte %d lies in a gap: %s", off, below[0].Reason), nil
	}
	return "", nil
}

var decoders = sync.Pool{New: func() any {
	r, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(mostWindow))
	if err != nil {
		return err
	}
	return r
}}

// unzstd fills dst from the frame at the start of b; padding may follow.
func unzstd(dst, b []byte) error {
	r, ok := decoders.Get().(*zstd.Decoder)
	if !ok {
		return errors.New("no decoder could be made")
	}
	defer decoders.Put(r)
	if err := r.Reset(bytes.NewReader(b)); err != nil {
		clear(dst)
		return err
	}
	n, err := io.ReadFull(r, dst)
	clear(dst[n:])
	if err != nil {
		return fmt.Errorf("it ends after %d of %d bytes: %w", n, len(dst), err)
	}
	return nil
}
