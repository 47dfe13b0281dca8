package vhd

import (
	"math/bits"

	"snapcase/imaging/image/container"
)

// Find implements container.Map.
func (d *disk) Find(off int64) (container.Span, error) {
	if d.kind == kindFixed {
		if off >= d.block {
			return container.Span{Length: d.size - off, Reason: "the file ends before these bytes"}, nil
		}
		return container.Span{Length: d.block - off, From: d.src, At: off}, nil
	}
	n, in := off/d.block, off%d.block
	s := container.Span{Length: min(d.block-in, d.size-off)}
	if n >= d.blocks {
		s.Reason = "the block table ends before these blocks"
		return s, nil
	}
	var b [4]byte
	reason, err := d.pages.Read(b[:], d.table+4*n)
	if err != nil || reason != "" {
		s.Reason = reason
		return s, err
	}
	e := be.Uint32(b[:])
	if e == notHere {
		return d.below(off, s.Length), nil
	}
	at := int64(e) * sectorSize
	if d.kind == kindDifferencing {
		here, length, reason, err := d.sectors(at, in)
		s.Length = min(s.Length, length)
		if err != nil || reason != "" {
			s.Reason = reason
			return s, err
		}
		if !here {
			return d.below(off, s.Length), nil
		}
	}
	s.From, s.At = d.src, at+d.bitmap+in
	return s, nil
}

// below is what the file does not hold: the parent's, or zeros.
func (d *disk) below(off, n int64) container.Span {
	if d.parent == nil || off >= d.parent.Size() {
		return container.Span{Length: n}
	}
	return container.Span{Length: min(n, d.parent.Size()-off), From: d.parent, At: off}
}

// sectors says whether the sector at in of the block at at is here, and for how
// many bytes that holds. The bitmap has the first sector in the highest bit.
func (d *disk) sectors(at, in int64) (here bool, n int64, reason string, err error) {
	sector := in / sectorSize
	var b [64]byte
	first := sector / 8
	p := b[:min(int64(len(b)), d.bitmap-first)]
	if reason, err = d.pages.Read(p, at+first); err != nil || reason != "" {
		return false, sectorSize - in%sectorSize, reason, err
	}
	skip := int(sector % 8)
	here = p[0]<<skip&0x80 != 0
	run := 0
	for i, c := range p {
		if here {
			c = ^c
		}
		lead := bits.LeadingZeros8(c)
		if i == 0 {
			if lead = bits.LeadingZeros8(c << skip); lead < 8-skip {
				run = lead
				break
			}
			lead = 8 - skip
			run += lead
			continue
		}
		if run += lead; lead < 8 {
			break
		}
	}
	return here, int64(run)*sectorSize - in%sectorSize, "", nil
}

// Unpack implements container.Map; no block is packed.
func (d *disk) Unpack(int64, []byte) (string, error) { return "", nil }
