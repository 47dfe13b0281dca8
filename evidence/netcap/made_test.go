package netcap

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net/netip"
	"slices"
	"testing"

	"snapcase/imaging"
)

// Captures made in code. Numbers are big-endian but where it is said.

var be = binary.BigEndian

func cat(parts ...[]byte) []byte { return slices.Concat(parts...) }

func u16(n ...int) (b []byte) {
	for _, v := range n {
		b = be.AppendUint16(b, uint16(v))
	}
	return b
}

const (
	hostA = "10.66.0.10"
	hostB = "203.0.113.77"
	hostC = "2001:db8::1"
	hostD = "2001:db8::2"
)

func ipHead(src, dst string, proto byte, total, frag int) []byte {
	s, d := netip.MustParseAddr(src).As4(), netip.MustParseAddr(dst).As4()
	return cat([]byte{0x45, 0}, u16(total, 1, frag), []byte{64, proto, 0, 0}, s[:], d[:])
}

func ip4(src, dst string, proto byte, body []byte) []byte {
	return cat(ipHead(src, dst, proto, 20+len(body), 0x4000), body)
}

func ip6(src, dst string, next byte, body []byte) []byte {
	s, d := netip.MustParseAddr(src).As16(), netip.MustParseAddr(dst).As16()
	return cat([]byte{0x60, 0, 0, 0}, u16(len(body)), []byte{next, 64}, s[:], d[:], body)
}

func ether(kind int, body []byte) []byte {
	return cat([]byte("\x02\x00\x00\x00\x00\x02\x02\x00\x00\x00\x00\x01"), u16(kind), body)
}

func icmpEcho(kind byte, id, seq int, payload []byte) []byte {
	return cat([]byte{kind, 0, 0, 0}, u16(id, seq), payload)
}

func udp(sport, dport int, body []byte) []byte {
	return cat(u16(sport, dport, 8+len(body), 0), body)
}

func tcp(sport, dport int, body []byte) []byte {
	return cat(u16(sport, dport), make([]byte, 8), []byte{0x50, 0x18}, u16(64240, 0, 0), body)
}

func vxlan(vni uint32, frame []byte) []byte {
	return udp(49152, vxlanPort, cat([]byte{8, 0, 0, 0}, be.AppendUint32(nil, vni<<8), frame))
}

func dnsName4(name string) (b []byte) {
	for l := range bytes.SplitSeq([]byte(name), []byte(".")) {
		b = append(append(b, byte(len(l))), l...)
	}
	return append(b, 0)
}

func dnsAsk(name string, kind int) []byte {
	return cat(u16(7, 0x0100, 1, 0, 0, 0), dnsName4(name), u16(kind, 1))
}

// dnsTell is a question with answers, each of an owner, a type and data.
func dnsTell(name string, kind int, answers ...[]byte) []byte {
	return cat(u16(7, 0x8180, 1, len(answers), 0, 0), dnsName4(name), u16(kind, 1), cat(answers...))
}

func dnsRR(owner []byte, kind int, data []byte) []byte {
	return cat(owner, u16(kind, 1, 0, 300, len(data)), data)
}

func tlsHello(host string) []byte {
	sni := cat(u16(len(host)+3), []byte{0}, u16(len(host)), []byte(host))
	ext := cat(u16(43, 3), []byte{2, 3, 4}, u16(0, len(sni)), sni, u16(10, 4, 2, 29))
	body := cat([]byte{3, 3}, make([]byte, 32), []byte{0}, u16(2, 0x1301), []byte{1, 0}, u16(len(ext)), ext)
	shake := cat([]byte{1, 0}, u16(len(body)), body)
	return cat([]byte{22, 3, 1}, u16(len(shake)), shake)
}

type madeFrame struct {
	sec, nsec int64
	b         []byte
	length    int // 0: as b
}

func (m madeFrame) size() int {
	if m.length == 0 {
		return len(m.b)
	}
	return m.length
}

// frames gives one frame a second.
func frames(b ...[]byte) (out []madeFrame) {
	for i, f := range b {
		out = append(out, madeFrame{sec: 1767658000 + int64(i), nsec: 123456000, b: f})
	}
	return out
}

func makePcap(order binary.AppendByteOrder, nano bool, link int, fs []madeFrame) []byte {
	magic, unit := uint32(0xa1b2c3d4), int64(1000)
	if nano {
		magic, unit = 0xa1b23c4d, 1
	}
	b := order.AppendUint32(nil, magic)
	b = order.AppendUint16(order.AppendUint16(b, 2), 4)
	for _, n := range []uint32{0, 0, 262144, uint32(link)} {
		b = order.AppendUint32(b, n)
	}
	for _, f := range fs {
		for _, n := range []int64{f.sec, f.nsec / unit, int64(len(f.b)), int64(f.size())} {
			b = order.AppendUint32(b, uint32(n))
		}
		b = append(b, f.b...)
	}
	return b
}

func ngBlock(o binary.AppendByteOrder, kind uint32, body []byte) []byte {
	body = append(bytes.Clone(body), make([]byte, -len(body)&3)...)
	b := o.AppendUint32(o.AppendUint32(nil, kind), uint32(12+len(body)))
	return o.AppendUint32(append(b, body...), uint32(12+len(body)))
}

func ngSection(o binary.AppendByteOrder, major int) []byte {
	b := o.AppendUint32(nil, 0x1a2b3c4d)
	b = o.AppendUint16(o.AppendUint16(b, uint16(major)), 0)
	return ngBlock(o, blockSection, o.AppendUint64(b, 1<<64-1))
}

func ngInterface(o binary.AppendByteOrder, link, snap int, options ...[]byte) []byte {
	b := o.AppendUint16(o.AppendUint16(nil, uint16(link)), 0)
	return ngBlock(o, blockInterface, cat(o.AppendUint32(b, uint32(snap)), cat(options...)))
}

func ngOption(o binary.AppendByteOrder, code int, value []byte) []byte {
	b := o.AppendUint16(o.AppendUint16(nil, uint16(code)), uint16(len(value)))
	return append(append(b, value...), make([]byte, -len(value)&3)...)
}

func ngPacket(o binary.AppendByteOrder, id int, stamp uint64, frame []byte, options ...[]byte) []byte {
	b := o.AppendUint32(nil, uint32(id))
	for _, n := range []uint32{uint32(stamp >> 32), uint32(stamp), uint32(len(frame)), uint32(len(frame))} {
		b = o.AppendUint32(b, n)
	}
	return ngBlock(o, blockPacket, cat(b, frame, make([]byte, -len(frame)&3), cat(options...)))
}

func ngOld(o binary.AppendByteOrder, id int, stamp uint64, frame []byte) []byte {
	b := o.AppendUint16(o.AppendUint16(nil, uint16(id)), 3)
	for _, n := range []uint32{uint32(stamp >> 32), uint32(stamp), uint32(len(frame)), uint32(len(frame))} {
		b = o.AppendUint32(b, n)
	}
	return ngBlock(o, blockOldPacket, cat(b, frame))
}

func ngSimple(o binary.AppendByteOrder, length int, frame []byte) []byte {
	return ngBlock(o, blockSimple, cat(o.AppendUint32(nil, uint32(length)), frame))
}

// all reads a capture whole; the records may be kept.
func all(t testing.TB, file []byte) (recs []Record, bad []*BadFrame) {
	t.Helper()
	for r, err := range Read(bytes.NewReader(file)) {
		var b *BadFrame
		switch {
		case errors.As(err, &b):
			bad = append(bad, b)
		case err != nil:
			t.Fatal(err)
		default:
			r.VNIs = slices.Clone(r.VNIs)
			if r.ICMP != nil {
				i := *r.ICMP
				i.Payload = bytes.Clone(i.Payload)
				r.ICMP = &i
			}
			recs = append(recs, r)
		}
	}
	return recs, bad
}

// one decodes a single frame.
func one(t testing.TB, link int, frame []byte) Record {
	t.Helper()
	recs, bad := all(t, makePcap(binary.LittleEndian, false, link, frames(frame)))
	if len(recs) != 1 || len(bad) != 0 {
		t.Fatalf("%d records, %v", len(recs), bad)
	}
	return recs[0]
}

func at(sec int64, nsec int32) imaging.Time { return imaging.Time{Sec: sec, Nsec: nsec, Set: true} }

// linuxPing is the payload that Linux sends at a second.
func linuxPing(sec int64, size int) []byte {
	b := binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint64(nil, uint64(sec)), 4321)
	for i := 16; i < size; i++ {
		b = append(b, byte(i))
	}
	return b
}
