package md

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"

	"snapcase/imaging"
)

const (
	magic      = 0xa92b4efc
	superBytes = 4096
	sector     = 512
	maxSectors = 1 << 41 // of one member: 1 PiB
)

// Features of a 1.x superblock.
const (
	featRecovery    = 2
	featReshape     = 4
	featReplacement = 16
)

// super is one superblock.
type super struct {
	source  int
	src     imaging.Source
	at      int64
	version string
	uuid    string
	name    string
	device  string // UUID
	level   int32
	layout  int32 // of levels 5, 6 and 10
	devices int
	chunk   int64 // bytes
	used    int64 // bytes of each member, 0 where each uses its own
	start   int64 // bytes
	size    int64 // bytes of data on this member
	role    int
	state   string
	events  uint64
	updated imaging.Time
	notes   []string
	damage  string
	reshape bool
	resync  int64 // bytes up to which members are in step, -1: wholly
}

// find looks where superblocks lie: a sound one counts before a damaged one.
func find(src imaging.Source) (*super, error) {
	var best *super
	size := src.Size()
	for _, at := range []int64{4096, 0, (size - 8192) &^ 4095, size&^65535 - 65536} {
		if at < 0 {
			continue
		}
		p, err := readAt(src, at, superBytes)
		if err != nil {
			return nil, err
		}
		var s *super
		if at == size&^65535-65536 {
			s = parse0(p)
		}
		if s == nil {
			s = parse1(p, at, size)
		}
		if s != nil && (best == nil || best.damage != "" && s.damage == "") {
			s.at = at
			best = s
		}
	}
	return best, nil
}

func groups(p []byte) string {
	return fmt.Sprintf("%x:%x:%x:%x", p[:4], p[4:8], p[8:12], p[12:16])
}

// parse1 reads a 1.x superblock found at a byte; nil when there is none or it
// says that it lies elsewhere.
func parse1(p []byte, at, size int64) *super {
	if len(p) < 256 || le.Uint32(p) != magic || le.Uint32(p[4:]) != 1 {
		return nil
	}
	if le.Uint64(p[144:]) != uint64(at/sector) {
		return nil
	}
	s := &super{
		version: "1.0", uuid: groups(p[16:32]), device: groups(p[168:184]), level: int32(le.Uint32(p[72:])), //nolint:gosec // signed on disk
		name: string(bytes.TrimRight(p[32:64], "\x00")), events: le.Uint64(p[200:]), resync: -1,
		layout: int32(le.Uint32(p[76:])), devices: int(le.Uint32(p[92:])), chunk: int64(le.Uint32(p[88:])) * sector,
		updated: imaging.Time{Sec: int64(le.Uint64(p[192:]) & (1<<40 - 1)), Set: true}, //nolint:gosec // 40 bits
	}
	switch at {
	case 0:
		s.version = "1.1"
	case 4096:
		s.version = "1.2"
	}
	start, length, used := le.Uint64(p[128:]), le.Uint64(p[136:]), le.Uint64(p[80:])
	if start > maxSectors || length > maxSectors || used > maxSectors {
		s.damage = fmt.Sprintf("range: data of %d sectors from sector %d, %d used", length, start, used)
		start, length, used = 0, 0, 0
	}
	s.start, s.size, s.used = int64(start)*sector, int64(length)*sector, int64(used)*sector
	if s.start > size || s.size > size-s.start {
		s.bad("truncated: its data end at byte %d of %d", s.start+s.size, size)
	}
	s.role1(p)
	feats := le.Uint32(p[8:])
	s.reshape = feats&featReshape != 0
	switch recovered := le.Uint64(p[152:]); {
	case feats&featReplacement != 0:
		s.state, s.role = "replacement", -1
	case feats&featRecovery != 0 && recovered != math.MaxUint64 && s.role >= 0:
		s.state = "rebuilding"
	}
	if r := le.Uint64(p[208:]); r <= maxSectors {
		s.resync = int64(r) * sector
	}
	return s
}

func (s *super) bad(format string, args ...any) {
	if s.damage != "" {
		s.damage += "; "
	}
	s.damage += fmt.Sprintf(format, args...)
}

// role1 checks the checksum and finds the place of the member.
func (s *super) role1(p []byte) {
	n := int64(le.Uint32(p[220:]))
	if n > int64(len(p)-256)/2 {
		s.bad("range: it has roles for %d members", n)
		n = 0
	} else {
		sum := uint64(0)
		q := bytes.Clone(p[:256+2*n])
		clear(q[216:220])
		for ; len(q) >= 4; q = q[4:] {
			sum += uint64(le.Uint32(q))
		}
		if len(q) == 2 {
			sum += uint64(le.Uint16(q))
		}
		if got := uint32(sum) + uint32(sum>>32); got != le.Uint32(p[216:]) { //nolint:gosec // folded
			s.bad("csum: the superblock does not match its checksum")
		}
	}
	s.role, s.state = -1, "spare"
	number := int64(le.Uint32(p[160:]))
	if number >= n {
		s.bad("range: it is member %d and there are roles for %d", number, n)
		return
	}
	switch r := le.Uint16(p[256+2*number:]); r {
	case 0xffff:
	case 0xfffe:
		s.state = "faulty"
	case 0xfffd:
		s.state = "journal"
	default:
		s.role, s.state = int(r), "active"
	}
}

// parse0 reads a 0.90 superblock in either byte order.
func parse0(p []byte) *super {
	if len(p) < superBytes {
		return nil
	}
	var order binary.ByteOrder = le
	if le.Uint32(p) != magic {
		order = binary.BigEndian
	}
	w := func(i int) uint32 { return order.Uint32(p[4*i:]) }
	if w(0) != magic || w(1) != 0 {
		return nil
	}
	uuid := make([]byte, 0, 16)
	for _, i := range []int{5, 13, 14, 15} {
		uuid = binary.BigEndian.AppendUint32(uuid, w(i))
	}
	s := &super{
		version: "0.90", uuid: groups(uuid), level: int32(w(7)), layout: int32(w(64)), devices: int(w(10)), chunk: int64(w(65)), //nolint:gosec // signed on disk
		used: int64(w(8)) * 1024, updated: imaging.Time{Sec: int64(w(32)), Set: true}, resync: -1, role: -1, state: "spare",
	}
	s.size = s.used
	s.events = uint64(w(40))<<32 | uint64(w(39))
	if order == binary.BigEndian {
		s.events = uint64(w(39))<<32 | uint64(w(40))
		s.notes = append(s.notes, "the superblocks are big-endian")
	}
	s.reshape = w(2) == 91
	sum := uint64(0)
	for i := range superBytes / 4 {
		if i != 38 {
			sum += uint64(w(i))
		}
	}
	if uint32(sum)+uint32(sum>>32) != w(38) { //nolint:gosec // folded
		s.bad("csum: the superblock does not match its checksum")
	}
	switch state := w(992 + 4); {
	case state&1 != 0:
		s.state = "faulty"
	case state&6 == 6 && int64(w(992+3)) < int64(s.devices): // active and in step
		s.role, s.state = int(w(992+3)), "active"
	}
	if w(33)&1 == 0 && s.level > 0 {
		s.resync = int64(w(43)) * sector
	}
	return s
}

// levelName is the word that mdadm uses.
func levelName(n int32) string {
	switch n {
	case -1:
		return "linear"
	case -4:
		return "multipath"
	case -5:
		return "faulty"
	case -100:
		return "container"
	}
	return fmt.Sprintf("raid%d", n)
}
