package lvm

import (
	"strings"

	"snapcase/imaging"
)

// metadata is what one text says.
type metadata struct {
	name, uuid string
	seqno      uint64
	extent     int64 // bytes
	status     []string
	written    imaging.Time
	host       string
	command    string
	pvs        []pvText
	lvs        []lvText
}

type pvText struct {
	name, uuid, device string
	start, count, size int64 // bytes, extents, bytes; -1 when the text lacks it
	missing            bool
}

type lvText struct {
	name, uuid string
	status     []string
	created    imaging.Time
	host       string
	segments   []segmentText
	expected   int64 // segments
}

type segmentText struct {
	s            *section
	start, count int64 // extents
	kind         string
}

// decode gives nil for what is no text of a group.
func decode(root *section) *metadata {
	for _, g := range root.subs {
		if g.text("id") == "" || g.num("seqno") < 0 {
			continue
		}
		m := &metadata{
			name: g.name, uuid: g.text("id"), seqno: uint64(g.num("seqno")), status: g.words("status", "flags"), //nolint:gosec // not negative
			written: moment(root), host: root.text("creation_host"), command: root.text("description"),
		}
		m.extent, _ = mul(g.num("extent_size"), sectorSize)
		for _, p := range g.sub("physical_volumes").subs {
			m.pvs = append(m.pvs, decodePV(p))
		}
		for _, l := range g.sub("logical_volumes").subs {
			m.lvs = append(m.lvs, decodeLV(l))
		}
		return m
	}
	return nil
}

func moment(s *section) imaging.Time {
	if t := s.num("creation_time"); t >= 0 {
		return imaging.Time{Sec: t, Set: true}
	}
	return imaging.Time{}
}

func decodePV(s *section) pvText {
	p := pvText{name: s.name, uuid: s.text("id"), device: s.text("device"), count: s.num("pe_count")}
	p.start, _ = mul(s.num("pe_start"), sectorSize)
	p.size, _ = mul(s.num("dev_size"), sectorSize)
	for _, w := range s.words("status", "flags") {
		p.missing = p.missing || w == "MISSING"
	}
	return p
}

func decodeLV(s *section) lvText {
	l := lvText{
		name: s.name, uuid: s.text("id"), status: s.words("status", "flags"), created: moment(s),
		host: s.text("creation_host"), expected: s.num("segment_count"),
	}
	for _, c := range s.subs {
		if strings.HasPrefix(c.name, "segment") {
			l.segments = append(l.segments, segmentText{s: c, start: c.num("start_extent"), count: c.num("extent_count"), kind: c.text("type")})
		}
	}
	return l
}

// mul multiplies what is not negative; ok is false, and the product -1, where
// that fails or is more than any disk has.
func mul(a, b int64) (int64, bool) {
	if a < 0 || b < 0 || b != 0 && a > (1<<62)/b {
		return -1, false
	}
	return a * b, true
}
