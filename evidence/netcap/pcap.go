package netcap

import (
	"encoding/binary"
	"fmt"

	"snapcase/imaging"
)

const (
	fileHeader  = 24
	frameHeader = 16
)

// pcap is the header of a classic capture.
type pcap struct {
	order   binary.ByteOrder
	nano    bool
	link    uint16
	swapped func(captured, length uint32) bool // the two lengths stand the other way round
}

func never(uint32, uint32) bool  { return false }
func always(uint32, uint32) bool { return true }

// parsePcap reads the 24 bytes of a file header, or says why it cannot. It
// needs four bytes to say that.
func parsePcap(b []byte) (pcap, string) {
	p := pcap{swapped: never}
	switch binary.LittleEndian.Uint32(b) {
	case 0xa1b2c3d4:
		p.order = binary.LittleEndian
	case 0xd4c3b2a1:
		p.order = binary.BigEndian
	case 0xa1b23c4d:
		p.order, p.nano = binary.LittleEndian, true
	case 0x4d3cb2a1:
		p.order, p.nano = binary.BigEndian, true
	default:
		return p, fmt.Sprintf("no pcap or pcapng file: it begins with %x", b[:4])
	}
	if len(b) < fileHeader {
		return p, ""
	}
	major, minor := p.order.Uint16(b[4:]), p.order.Uint16(b[6:])
	switch {
	case major != 2:
		return p, fmt.Sprintf("pcap version %d.%d is not read", major, minor)
	case minor < 3:
		p.swapped = always
	case minor == 3:
		p.swapped = func(captured, length uint32) bool { return captured > length }
	}
	p.link = uint16(p.order.Uint32(b[20:])) //nolint:gosec // the upper half tells of the checksum
	return p, ""
}

// classic reads a file header and the frames behind it. A frame whose length
// cannot be ends the file: nothing tells where the next one begins.
func (w *walk) classic() {
	head := w.win.peek(fileHeader)
	p, reason := parsePcap(head)
	switch {
	case reason != "":
		w.n++
		w.bad(0, reason)
		return
	case len(head) < fileHeader:
		w.n++
		w.cut(0, "inside the file header")
		return
	}
	w.win.pass(fileHeader)
	for !w.over {
		w.pcapFrame(&p)
	}
}

func (w *walk) pcapFrame(p *pcap) {
	at := w.win.offset()
	head := w.win.peek(frameHeader)
	switch {
	case len(head) == 0:
		w.end()
		return
	case len(head) < frameHeader:
		w.n++
		w.cut(at, "inside a frame header")
		return
	}
	sec, frac := p.order.Uint32(head), p.order.Uint32(head[4:])
	captured, length := p.order.Uint32(head[8:]), p.order.Uint32(head[12:])
	if p.swapped(captured, length) {
		captured, length = length, captured
	}
	if captured > maxCaptured {
		w.n++
		w.bad(at, fmt.Sprintf("a captured length of %d bytes, more than %d; the rest of the file is not read", captured, maxCaptured))
		w.over = true
		return
	}
	whole := frameHeader + int(captured)
	b := w.win.peek(whole)
	if len(b) < whole {
		w.n++
		w.cut(at, fmt.Sprintf("after %d of %d captured bytes", len(b)-frameHeader, captured))
		return
	}
	unit := uint64(1e6)
	if p.nano {
		unit = 1e9
	}
	t := imaging.Time{Sec: int64(sec) + int64(uint64(frac)/unit), Nsec: int32(uint64(frac) % unit * (1e9 / unit)), Set: true} //nolint:gosec // below 1e9
	w.give(packet{at, t, p.link, int64(length), b[frameHeader:]})
	w.win.pass(whole)
}
