package netcap

import (
	"encoding/binary"
	"fmt"
)

// The blocks of pcapng that matter here, and those that are known.
const (
	blockSection   = 0x0a0d0d0a
	blockInterface = 1
	blockOldPacket = 2 // obsolete packet block
	blockSimple    = 3
	blockNames     = 4
	blockStats     = 5
	blockPacket    = 6 // enhanced packet block
	blockJournal   = 9
	blockSecrets   = 10
	blockCustom    = 0x00000bad
	blockCustomNo  = 0x40000bad
)

const (
	blockFrame    = 12      // type, length, and the length again at the end
	maxBlock      = 8 << 20 // a longer one counts as damage
	maxSound      = 1 << 19 // of the block that is searched for behind damage
	maxOptions    = 1 << 16 // of a packet, where nothing but its length tells of them
	maxInterfaces = 1 << 16 // of one section
)

// section is what the blocks of one section share.
type section struct {
	order      binary.ByteOrder
	unread     bool // of a version that is not read
	interfaces []capturer
}

// blocks reads the blocks of a pcapng file.
func (w *walk) blocks() {
	s := section{order: binary.LittleEndian} // a section header that is broken tells no other
	for !w.over {
		at := w.win.offset()
		head := w.win.peek(blockFrame)
		if len(head) == 0 {
			w.end()
			return
		}
		if len(head) < blockFrame {
			w.n++
			w.cut(at, "inside a block header")
			return
		}
		order, length, reason := blockLength(head, s.order)
		if reason == "" {
			reason = w.sound(order, length)
		}
		if w.over {
			return
		}
		if reason != "" {
			w.search(s.order, at, reason)
			continue
		}
		b := w.win.peek(length)
		w.block(&s, at, order, b)
		w.win.pass(length)
	}
}

// blockLength reads the byte order and the length of the block that begins
// with head, in a section of the given order, or says why it cannot.
func blockLength(head []byte, order binary.ByteOrder) (binary.ByteOrder, int, string) {
	if binary.LittleEndian.Uint32(head) == blockSection {
		switch binary.LittleEndian.Uint32(head[8:]) {
		case 0x1a2b3c4d:
			order = binary.LittleEndian
		case 0x4d3c2b1a:
			order = binary.BigEndian
		default:
			return nil, 0, fmt.Sprintf("a section header with the byte order mark %x", head[8:12])
		}
	}
	n := order.Uint32(head[4:])
	switch {
	case n < blockFrame || n%4 != 0:
		return nil, 0, fmt.Sprintf("a block length of %d bytes", n)
	case n > maxBlock:
		return nil, 0, fmt.Sprintf("a block length of %d bytes, more than %d", n, maxBlock)
	}
	return order, int(n), ""
}

// sound says what is wrong with the end of the next block. It ends the walk
// where the file was cut inside of it.
func (w *walk) sound(order binary.ByteOrder, length int) string {
	b := w.win.peek(length)
	switch {
	case len(b) == length:
		if again := order.Uint32(b[length-4:]); again != uint32(length) { //nolint:gosec // at most maxBlock
			return fmt.Sprintf("a block of %d bytes that ends as one of %d", length, again)
		}
		return ""
	case w.win.failure() == nil && w.win.cut() == "" && packetEnd(b, order) != length:
		return fmt.Sprintf("a block length of %d bytes, %d more than the file has and none that its packet needs", length, length-len(b))
	}
	w.n++
	w.cut(w.win.offset(), fmt.Sprintf("after %d of the %d bytes of a block", len(b), length))
	return ""
}

// packetEnd is the length that the packet block at the start of b needs, by
// the captured length of its packet, up to the length that the block gives
// where options may fill the rest. It is the latter for other blocks.
func packetEnd(b []byte, order binary.ByteOrder) int {
	length := int(order.Uint32(b[4:]))
	if kind := order.Uint32(b); kind != blockPacket && kind != blockOldPacket || len(b) < 28 {
		return length
	}
	need := 32 + (int(order.Uint32(b[20:]))+3)&^3
	if rest := length - need; rest > 0 && rest <= maxOptions {
		return length
	}
	return need
}

// soundBlock is the length of the sound block of a known type at the start of
// b, 0 where there is none.
func soundBlock(b []byte, order binary.ByteOrder) int {
	if !knownBlock(order.Uint32(b)) {
		return 0
	}
	order, n, reason := blockLength(b, order)
	if reason != "" || n > maxSound || n > len(b) || order.Uint32(b[n-4:]) != uint32(n) { //nolint:gosec // at most maxSound
		return 0
	}
	return n
}

func knownBlock(t uint32) bool {
	switch t {
	case blockSection, blockInterface, blockOldPacket, blockSimple, blockNames, blockStats, blockPacket, blockJournal, blockSecrets, blockCustom, blockCustomNo:
		return true
	}
	return false
}

// search passes over damage to the next sound block and reports it as one bad
// frame: how many frames it held is not known. The next block is looked for
// first where a length of the broken one says, because what a packet carries
// may look like blocks too.
func (w *walk) search(order binary.ByteOrder, at int64, reason string) {
	w.n++
	b := w.win.peek(2 * maxSound)
	for _, n := range []int{int(order.Uint32(b[4:])), packetEnd(b, order)} {
		if n >= blockFrame && n <= len(b)-blockFrame && soundBlock(b[n:], order) > 0 {
			w.win.pass(n)
			w.bad(at, fmt.Sprintf("%s; %d bytes are not read", reason, n))
			return
		}
	}
	w.win.pass(1)
	for found := false; !found; {
		b := w.win.peek(2 * maxSound)
		i := 0
		for i+blockFrame <= len(b) && i < maxSound && !found {
			if found = soundBlock(b[i:], order) > 0; !found {
				i++
			}
		}
		if !found && len(b) < 2*maxSound && i < maxSound {
			w.win.pass(len(b))
			break
		}
		w.win.pass(i)
	}
	w.bad(at, fmt.Sprintf("%s; %d bytes are not read", reason, w.win.offset()-at))
}

// block reads a sound block.
func (w *walk) block(s *section, at int64, order binary.ByteOrder, b []byte) {
	body := b[8 : len(b)-4]
	kind := order.Uint32(b)
	if kind == blockSection {
		w.section(s, at, order, body)
		return
	}
	if s.unread {
		return
	}
	switch kind {
	case blockInterface:
		w.newInterface(s, at, body)
	case blockPacket, blockOldPacket, blockSimple:
		p, reason := s.packet(kind, body)
		if reason != "" {
			w.n++
			w.bad(at, reason)
			return
		}
		p.offset = at
		w.give(p)
	}
}

// section begins a new section: its own byte order, no interfaces.
func (w *walk) section(s *section, at int64, order binary.ByteOrder, body []byte) {
	*s = section{order: order, interfaces: s.interfaces[:0]}
	if len(body) < 16 {
		s.unread = true
		w.aside(at, "a section header that is too short; the section is not read")
		return
	}
	if major, minor := order.Uint16(body[4:]), order.Uint16(body[6:]); major != 1 {
		s.unread = true
		w.aside(at, fmt.Sprintf("a section of pcapng version %d.%d is not read", major, minor))
	}
}

// aside reports damage that is no frame, under the number of the next one.
func (w *walk) aside(at int64, reason string) {
	w.n++
	w.bad(at, reason)
	w.n--
}

// packet reads the body of a packet block, or says why it cannot.
func (s *section) packet(kind uint32, body []byte) (packet, string) {
	var id, captured, length uint32
	var stamp uint64
	head := 20
	switch {
	case kind == blockSimple && len(body) >= 4:
		head, length = 4, s.order.Uint32(body)
		captured = length
		if len(s.interfaces) > 0 && s.interfaces[0].snap != 0 {
			captured = min(captured, s.interfaces[0].snap)
		}
	case len(body) < head:
		return packet{}, "a packet block that is too short"
	case kind == blockOldPacket:
		id = uint32(s.order.Uint16(body))
	default:
		id = s.order.Uint32(body)
	}
	if kind != blockSimple {
		stamp = uint64(s.order.Uint32(body[4:]))<<32 | uint64(s.order.Uint32(body[8:]))
		captured, length = s.order.Uint32(body[12:]), s.order.Uint32(body[16:])
	}
	switch {
	case uint64(id) >= uint64(len(s.interfaces)):
		return packet{}, fmt.Sprintf("a packet of interface %d, of which the section does not tell", id)
	case captured > maxCaptured:
		return packet{}, fmt.Sprintf("a captured length of %d bytes, more than %d", captured, maxCaptured)
	case int(captured) > len(body)-head:
		return packet{}, fmt.Sprintf("a captured length of %d bytes in a block that has room for %d", captured, len(body)-head)
	}
	c := &s.interfaces[id]
	p := packet{link: c.link, length: int64(length), data: body[head : head+int(captured)]}
	if kind != blockSimple {
		p.time = c.time(stamp)
	}
	return p, ""
}
