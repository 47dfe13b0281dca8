package ntfs

import "fmt"

// Types of attributes.
const (
	typeStandard   = 0x10
	typeList       = 0x20
	typeFileName   = 0x30
	typeVolumeName = 0x60
	typeVolumeInfo = 0x70
	typeData       = 0x80
	typeIndexRoot  = 0x90
	typeIndex      = 0xa0
	typeBitmap     = 0xb0
	typeReparse    = 0xc0
	typeEnd        = 0xffffffff
)

// Flags of attributes.
const (
	flagCompressed = 0x00ff
	flagEncrypted  = 0x4000
)

// record is one record of the MFT, its fixups undone.
type record struct {
	number uint64
	raw    []byte
	file   bool // it has the signature
	bad    bool // Windows marked it as damaged
	torn   bool // a fixup does not match
	inUse  bool
	dir    bool
	seq    uint16
	links  uint16
	base   uint64 // of the record that this one belongs to, its own for none
	bseq   uint16 // sequence number of that when this one was made part of it
	attrs  []attribute
	damage string
}

// attribute is one of a record. The slices lie in the record.
type attribute struct {
	kind   uint32
	name   string
	flags  uint16
	id     uint16
	at     int // of the value in the record, resident ones
	value  []byte
	runs   []byte // nil: resident
	low    uint64 // first cluster that the runs map
	high   uint64 // last one
	unit   uint8  // log2 of the clusters of a compression unit
	size   uint64
	init   uint64
	record uint64 // that it was found in
}

func join(damage *string, format string, args ...any) {
	const most = 400
	s := fmt.Sprintf(format, args...)
	switch {
	case *damage == "":
		*damage = s
	case len(*damage) < most:
		*damage += "; " + s
	}
}

// parseRecord reads a record; raw is changed and kept.
func parseRecord(number uint64, raw []byte) *record {
	r := &record{number: number, base: number, raw: raw}
	switch string(raw[:4]) {
	case "FILE":
		r.file = true
	case "BAAD":
		r.bad, r.file = true, true
		join(&r.damage, "csum: the record is marked as damaged")
	default:
		return r
	}
	r.fixup()
	flags := le.Uint16(raw[22:])
	r.inUse, r.dir = flags&1 != 0, flags&2 != 0
	r.seq, r.links = le.Uint16(raw[16:]), le.Uint16(raw[18:])
	if ref := le.Uint64(raw[32:]); ref != 0 {
		r.base, r.bseq = ref&(1<<48-1), uint16(ref>>48) //nolint:gosec // the top bits
	}
	r.attributes()
	return r
}

// fixup puts back the last two bytes of each 512.
func (r *record) fixup() {
	off, n := int(le.Uint16(r.raw[4:])), int(le.Uint16(r.raw[6:]))
	sectors := len(r.raw) / 512
	if n != sectors+1 || off < 40 || off+2*n > len(r.raw) || sectors == 0 {
		r.torn = true
		join(&r.damage, "csum: the record says that it has %d fixups at byte %d", n, off)
		return
	}
	want := le.Uint16(r.raw[off:])
	for i := 1; i <= sectors; i++ {
		tail := r.raw[i*512-2:][:2]
		if le.Uint16(tail) != want {
			r.torn = true
			join(&r.damage, "csum: sector %d of the record is of another write", i)
			continue
		}
		copy(tail, r.raw[off+2*i:][:2])
	}
}

// attributes reads the list up to its end.
func (r *record) attributes() {
	at := int(le.Uint16(r.raw[20:]))
	if at < 42 || at > len(r.raw)-4 {
		join(&r.damage, "range: the attributes begin at byte %d of the record", at)
		return
	}
	end := min(len(r.raw), int(max(le.Uint32(r.raw[24:]), 0)))
	if end <= at || le.Uint32(r.raw[24:]) > uint32(len(r.raw)) { //nolint:gosec // at most 64 KiB
		join(&r.damage, "range: the record says that %d of its %d bytes are used", le.Uint32(r.raw[24:]), len(r.raw))
		end = len(r.raw)
	}
	for at+4 <= end {
		kind := le.Uint32(r.raw[at:])
		if kind == typeEnd {
			return
		}
		if at+24 > end {
			break
		}
		n := int(min(le.Uint32(r.raw[at+4:]), 1<<20))
		if n < 24 || n%8 != 0 || n > end-at {
			join(&r.damage, "range: the attribute at byte %d of the record has %d bytes", at, n)
			return
		}
		a := attribute{kind: kind, record: r.number}
		if why := a.parse(r.raw[at:at+n], at); why != "" {
			join(&r.damage, "range: the attribute at byte %d of the record %s", at, why)
		} else {
			r.attrs = append(r.attrs, a)
		}
		at += n
	}
	join(&r.damage, "range: the attributes of the record have no end")
}

// parse reads one attribute, which has at least 24 bytes; why is "" or what is
// wrong with it.
func (a *attribute) parse(p []byte, at int) (why string) {
	a.flags, a.id = le.Uint16(p[12:]), le.Uint16(p[14:])
	if n := 2 * int(p[9]); n > 0 {
		off := int(le.Uint16(p[10:]))
		if off+n > len(p) {
			return "has a name that leaves it"
		}
		a.name = utf8Of(p[off : off+n])
	}
	if p[8] == 0 {
		n, off := le.Uint32(p[16:]), int(le.Uint16(p[20:]))
		if off > len(p) || uint64(n) > uint64(len(p)-off) {
			return fmt.Sprintf("has a value of %d bytes that leaves it", n)
		}
		a.at, a.value = at+off, p[off:off+int(n)]
		return ""
	}
	if len(p) < 64 {
		return fmt.Sprintf("has %d bytes, too few for runs", len(p))
	}
	a.low, a.high = le.Uint64(p[16:]), le.Uint64(p[24:])
	off := int(le.Uint16(p[32:]))
	if off < 64 || off > len(p) {
		return fmt.Sprintf("has its runs at byte %d", off)
	}
	a.runs, a.unit = p[off:], p[34]
	a.size, a.init = le.Uint64(p[48:]), le.Uint64(p[56:])
	return ""
}

// part says that the record belongs to another.
func (r *record) part() bool { return r.base != r.number }

// blank says that the record was made and never used.
func (r *record) blank() bool { return len(r.attrs) == 0 && r.damage == "" }
