package lvm

import (
	"bytes"
	"fmt"
	"hash/crc32"

	"snapcase/imaging"
)

// defaultArea is where the first metadata area begins unless told otherwise.
const defaultArea = 4096

// maxAreas bounds each list of a PV header; LVM writes at most two.
const maxAreas = 4

// region is a run of a physical volume, bytes.
type region struct{ start, size int64 }

// physical is one source that is a physical volume.
type physical struct {
	index int // of the source
	src   imaging.Source
	uuid  string // with dashes; "" when the label is gone
	size  int64  // of the device, bytes
	areas []region
	notes []string
}

func (p *physical) note(format string, args ...any) {
	if len(p.notes) < 64 {
		p.notes = append(p.notes, fmt.Sprintf("source %d: ", p.index)+fmt.Sprintf(format, args...))
	}
}

// checksum is LVM's CRC.
func checksum(p []byte) uint32 {
	const start = 0xf597a6cf
	return ^crc32.Update(^uint32(start), crc32.IEEETable, p)
}

// isLabel says whether sector i of p has a label, its CRC aside.
func isLabel(p []byte, i int) bool {
	if len(p) < (i+1)*sectorSize {
		return false
	}
	s := p[i*sectorSize:]
	return bytes.HasPrefix(s, []byte("LABELONE")) && bytes.HasPrefix(s[24:], []byte("LVM2 001"))
}

// open reads label and PV header; nil when src is no physical volume.
func open(index int, src imaging.Source) (*physical, error) {
	p, err := readAt(src, 0, 4*sectorSize)
	if err != nil {
		return nil, err
	}
	v := &physical{index: index, src: src}
	at := -1
	for i := range 4 {
		if !isLabel(p, i) {
			continue
		}
		good := checksum(p[i*sectorSize+20:(i+1)*sectorSize]) == le.Uint32(p[i*sectorSize+16:])
		if at < 0 || good {
			at = i
		}
		if good {
			break
		}
	}
	if at < 0 {
		if !hasArea(src, defaultArea) {
			return nil, nil
		}
		v.note("the label is gone, a metadata area was found at byte %d", defaultArea)
		v.areas = []region{{defaultArea, 0}}
		return v, nil
	}
	v.header(p[at*sectorSize:][:sectorSize], at)
	return v, nil
}

// header reads the PV header behind the label in its sector.
func (v *physical) header(s []byte, at int) {
	if checksum(s[20:]) != le.Uint32(s[16:]) {
		v.note("the checksum of the label in sector %d does not match", at)
	}
	if n := le.Uint64(s[8:]); n != uint64(at) {
		v.note("the label in sector %d says that it lies in sector %d", at, n)
	}
	off := le.Uint32(s[20:])
	if off < 32 || off > sectorSize-40 {
		v.note("the label says that the header lies at byte %d of its sector", off)
		return
	}
	s = s[off:]
	v.uuid = dashed(s[:32])
	v.size = int64(min(le.Uint64(s[32:]), 1<<62)) //nolint:gosec // bounded
	_, s = v.list(s[40:], "data")
	v.areas, _ = v.list(s, "metadata")
	if len(v.areas) == 0 {
		v.note("it has no metadata area: other members tell what lies on it")
	}
}

// list reads offset and size until zeros.
func (v *physical) list(s []byte, what string) (all []region, rest []byte) {
	for len(s) >= 16 {
		start, size := le.Uint64(s), le.Uint64(s[8:])
		s = s[16:]
		if start == 0 {
			return all, s
		}
		if start > 1<<62 || size > 1<<62 || len(all) == maxAreas {
			v.note("a %s area of %d bytes at byte %d makes no sense", what, size, start)
			continue
		}
		all = append(all, region{int64(start), int64(size)}) //nolint:gosec // bounded
	}
	v.note("the list of %s areas has no end", what)
	return all, nil
}

// dashed is the text form of a UUID: 6-4-4-4-4-4-6 letters.
func dashed(p []byte) string {
	b := make([]byte, 0, 38)
	for i, c := range p {
		if i == 6 || i == 10 || i == 14 || i == 18 || i == 22 || i == 26 {
			b = append(b, '-')
		}
		b = append(b, c)
	}
	return string(b)
}
