package ntfs

import (
	"bytes"
	"fmt"
	"math"

	"snapcase/imaging"
)

// boot is what the boot sector says.
type boot struct {
	sector   int64 // bytes
	cluster  int64 // bytes
	record   int64 // bytes
	sectors  uint64
	clusters uint64
	mft      uint64 // first cluster
	mirror   uint64 // first cluster of the copy of the first records
	serial   uint64
}

// findBoot reads the boot sector, or its copy in the last sector.
func findBoot(src imaging.Source) (boot, []string, error) {
	p := make([]byte, 512)
	if _, err := readZero(src, p, 0); err != nil {
		return boot{}, nil, err
	}
	b, first := parseBoot(p, 0)
	if first == nil {
		return b, nil, nil
	}
	for _, s := range []int64{512, 4096, 1024, 2048} {
		at := (src.Size()/s - 1) * s
		if at <= 0 {
			continue
		}
		if _, err := readZero(src, p, at); err != nil {
			return boot{}, nil, err
		}
		b, err := parseBoot(p, at)
		if err == nil && b.sector == s && int64(b.sectors) == at/s { //nolint:gosec // bounded by parseBoot; else it is of a volume behind others
			return b, []string{fmt.Sprintf("the boot sector is damaged, its copy at byte %d is used", at)}, nil
		}
	}
	return boot{}, nil, first
}

// parseBoot checks what the sector at a byte says.
func parseBoot(p []byte, at int64) (boot, error) {
	bad := func(off int64, format string, args ...any) (boot, error) {
		return boot{}, &imaging.FormatError{Format: "ntfs", Offset: at + off, Reason: fmt.Sprintf(format, args...)}
	}
	if !bytes.HasPrefix(p[3:], []byte("NTFS    ")) {
		return bad(3, "no boot sector of NTFS")
	}
	b := boot{
		sector: int64(le.Uint16(p[11:])), sectors: le.Uint64(p[40:]), mft: le.Uint64(p[48:]), mirror: le.Uint64(p[56:]), serial: le.Uint64(p[72:]),
	}
	if b.sector < 256 || b.sector > 4096 || b.sector&(b.sector-1) != 0 {
		return bad(11, "sectors of %d bytes", b.sector)
	}
	per := int64(p[13])
	if per > 0x80 { // a power of two
		per = 1 << min(63-21, 256-per)
	}
	if b.cluster = per * b.sector; per == 0 || per&(per-1) != 0 || b.cluster > 2<<20 {
		return bad(13, "clusters of %d sectors", p[13])
	}
	if n := int8(p[64]); n > 0 { //nolint:gosec // a signed byte on disk
		b.record = int64(n) * b.cluster
	} else if n < 0 && n > -17 {
		b.record = 1 << -n
	}
	if b.record < 256 || b.record > 1<<16 || b.record&(b.record-1) != 0 {
		return bad(64, "records of %d bytes", b.record)
	}
	if b.sectors == 0 || b.sectors > math.MaxInt64/uint64(b.sector) {
		return bad(40, "%d sectors", b.sectors)
	}
	b.clusters = b.sectors / uint64(per) //nolint:gosec // positive
	if b.mft >= b.clusters && b.mirror >= b.clusters {
		return bad(48, "the MFT lies in cluster %d of %d", b.mft, b.clusters)
	}
	return b, nil
}
