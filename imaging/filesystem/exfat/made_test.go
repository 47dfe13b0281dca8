package exfat

import (
	"unicode/utf16"
)

// made is a small volume that tests build: sectors and clusters of 512 bytes,
// the FAT at sector 24, the heap at sector 32, 200 clusters. Cluster 2 has the
// bitmap, 3 the root directory.
type made struct {
	b    []byte
	next int // in the root directory, bytes
}

const (
	madeFAT      = 24 * 512
	madeHeap     = 32 * 512
	madeClusters = 200
)

func newMade() *made {
	m := &made{b: make([]byte, madeHeap+madeClusters*512)}
	p := m.b
	copy(p, "\xeb\x76\x90EXFAT   ")
	le.PutUint64(p[72:], uint64(len(m.b)/512))
	le.PutUint32(p[80:], 24)
	le.PutUint32(p[84:], 8)
	le.PutUint32(p[88:], 32)
	le.PutUint32(p[92:], madeClusters)
	le.PutUint32(p[96:], 3)
	le.PutUint32(p[100:], 0xdeadbeef)
	p[105] = 1
	p[108], p[109], p[110] = 9, 0, 1
	p[510], p[511] = 0x55, 0xaa
	m.link(2, 0xffffffff)
	m.link(3, 0xffffffff)
	m.use(2, 2)
	bitmap := make([]byte, 32)
	bitmap[0] = 0x81
	le.PutUint32(bitmap[20:], 2)
	le.PutUint64(bitmap[24:], madeClusters/8)
	label := make([]byte, 32)
	label[0], label[1], label[2], label[4] = 0x83, 2, 'O', 'K'
	m.add(label, bitmap)
	m.sum()
	return m
}

// sum writes the checksum of the boot region and its backup.
func (m *made) sum() {
	s := bootSum(m.b[:11*512])
	for i := 11 * 512; i < 12*512; i += 4 {
		le.PutUint32(m.b[i:], s)
	}
	copy(m.b[12*512:], m.b[:12*512])
}

func (m *made) link(c int, n uint32) { le.PutUint32(m.b[madeFAT+4*c:], n) }

func (m *made) use(c, n int) {
	for i := c - 2; i < c-2+n; i++ {
		m.b[madeHeap+i/8] |= 1 << (i % 8)
	}
}

func (m *made) cluster(c int) []byte { return m.b[madeHeap+(c-2)*512:][:512] }

// add writes records behind those of the root directory.
func (m *made) add(records ...[]byte) {
	for _, r := range records {
		copy(m.cluster(3)[m.next:], r)
		m.next += len(r)
	}
}

// file is what a set says.
type file struct {
	name        string
	attr        uint16
	first       int
	size, valid int
	flat        bool
	stamp       uint32
	zone        byte
}

// records gives the set of a file.
func (f file) records() []byte {
	u := utf16.Encode([]rune(f.name))
	parts := (len(u) + nameUnits - 1) / nameUnits
	b := make([]byte, 32*(2+parts))
	b[0], b[1] = 0x85, byte(1+parts)
	le.PutUint16(b[4:], f.attr)
	for i, off := range []int{8, 12, 16} {
		le.PutUint32(b[off:], f.stamp)
		b[22+i] = f.zone
	}
	b[20], b[21] = 101, 7
	s := b[32:]
	s[0], s[1], s[3] = 0xc0, 1, byte(len(u))
	if f.flat {
		s[1] |= flagFlat
	}
	le.PutUint64(s[8:], uint64(f.valid))
	le.PutUint32(s[20:], uint32(f.first))
	le.PutUint64(s[24:], uint64(f.size))
	for i := range parts {
		b[64+32*i] = 0xc1
		for k, c := range u[nameUnits*i : min(len(u), nameUnits*(i+1))] {
			le.PutUint16(b[64+32*i+2+2*k:], c)
		}
	}
	resum(b)
	return b
}

// resum writes the checksum of a set.
func resum(b []byte) {
	var list [][]byte
	for i := 0; i < len(b); i += 32 {
		list = append(list, b[i:i+32])
	}
	le.PutUint16(b[2:], checksum(list))
}

// gone clears the top bits, as deletion does.
func gone(b []byte) []byte {
	b = append([]byte(nil), b...)
	for i := 0; i < len(b); i += 32 {
		b[i] &^= inUse
	}
	return b
}

// when is 2021-03-04 05:06:08, and its field.
const when = (2021-1980)<<25 | 3<<21 | 4<<16 | 5<<11 | 6<<5 | 4

// small has one of everything.
func small() *made {
	m := newMade()
	zone := byte(0x80 | 4) // UTC+1
	m.add(file{name: "flat.bin", first: 10, size: 1000, valid: 600, flat: true, stamp: when, zone: zone}.records())
	m.use(10, 2)
	for i := range 1024 {
		m.b[madeHeap+(10-2)*512+i] = byte('a' + i%26)
	}
	m.add(file{name: "dir", attr: attrDir, first: 20, size: 1024, valid: 1024, stamp: when, zone: zone}.records())
	m.use(20, 1)
	m.use(22, 1)
	m.link(20, 22)
	m.link(22, 0xffffffff)
	m.add(gone(file{name: "lost and gone", first: 30, size: 1500, valid: 1500, stamp: when, zone: zone}.records()))
	m.link(30, 33)
	m.link(33, 31)
	copy(m.cluster(30), "first part of the deleted file")
	copy(m.cluster(33), "second part")
	d := []byte{}
	for _, n := range []string{"Grüße aus der Ferne.txt", "b", "c", "d"} { // 4, 3, 3, 3 records
		d = append(d, file{name: n, first: 0, size: 0, stamp: when}.records()...)
	}
	d = append(d, make([]byte, 64)...)
	d[13*32], d[14*32] = 0x21, 0x21
	crossing := file{name: "crossing", first: 40, size: 5, valid: 5, stamp: when, zone: zone}.records()
	m.use(40, 1)
	m.link(40, 0xffffffff)
	copy(m.cluster(40), "cross")
	copy(m.cluster(20), append(d, crossing[:32]...))
	copy(m.cluster(22), crossing[32:])
	return m
}
