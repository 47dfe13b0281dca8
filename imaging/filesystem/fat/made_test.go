package fat

import (
	"strings"
	"unicode/utf16"
)

// made is a small image made in code: sectors and clusters of 512 bytes, 120
// clusters. FAT12 has its root directory in front of them, FAT32 in cluster 2.
type made struct {
	b    []byte
	kind int
	base int // of cluster 2
	fat  int // of the first copy
	size int // of a copy
}

const madeClusters = 120

func newMade(kind int) *made {
	m := &made{kind: kind, fat: 512, size: 512}
	roots := 64
	if kind == 32 {
		m.fat, roots = 32*512, 0
	}
	m.base = m.fat + 2*m.size + roots*32
	m.b = make([]byte, m.base+madeClusters*512)
	b := m.b
	copy(b, "\xeb\x3c\x90mkfs.fat")
	le.PutUint16(b[11:], 512)
	b[13], b[16], b[21] = 1, 2, 0xf8
	le.PutUint16(b[14:], uint16(m.fat/512))
	le.PutUint16(b[17:], uint16(roots))
	le.PutUint16(b[19:], uint16(len(b)/512))
	b[510], b[511] = 0x55, 0xaa
	if kind == 32 {
		le.PutUint32(b[36:], 1)
		le.PutUint32(b[44:], 2)
		copy(b[67:], "\x44\x33\x22\x11BOOTLABEL  FAT32   ")
		copy(b[6*512:], b[:512])
	} else {
		le.PutUint16(b[22:], 1)
		copy(b[39:], "\x44\x33\x22\x11BOOTLABEL  FAT12   ")
	}
	m.link(0, 0x0ffffff8)
	m.link(1, 0x0fffffff)
	if kind == 32 {
		m.link(2, 0x0fffffff)
	}
	return m
}

// link sets what both copies of the FAT say of a cluster.
func (m *made) link(c, n int) {
	for k := range 2 {
		at := m.fat + k*m.size
		if m.kind == 32 {
			le.PutUint32(m.b[at+4*c:], uint32(n))
			continue
		}
		at += c * 3 / 2
		v := le.Uint16(m.b[at:])
		if c%2 == 0 {
			v = v&0xf000 | uint16(n)&0xfff
		} else {
			v = v&0xf | uint16(n)<<4
		}
		le.PutUint16(m.b[at:], v)
	}
}

// chain links clusters and ends the chain.
func (m *made) chain(list ...int) {
	for i, c := range list {
		if i+1 < len(list) {
			m.link(c, list[i+1])
		} else {
			m.link(c, 0x0fffffff)
		}
	}
}

func (m *made) cluster(c int) []byte { return m.b[m.base+(c-2)*512:][:512] }

// root is the root directory.
func (m *made) root() []byte {
	if m.kind == 32 {
		return m.cluster(2)
	}
	return m.b[m.base-64*32:][:64*32]
}

// record makes a record. Its name has eleven bytes.
func record(name string, attr byte, cluster, size int) []byte {
	r := make([]byte, 32)
	copy(r, name)
	r[11] = attr
	le.PutUint16(r[14:], 0x6000)              // 12:00:00
	le.PutUint16(r[16:], 43<<9|5<<5|6)        // 2023-05-06
	le.PutUint16(r[18:], 43<<9|5<<5|8)        // 2023-05-08
	le.PutUint16(r[22:], 13<<11|14<<5|30/2)   // 13:14:30
	le.PutUint16(r[24:], 43<<9|5<<5|7)        // 2023-05-07
	le.PutUint16(r[20:], uint16(cluster>>16)) //nolint:gosec // small
	le.PutUint16(r[26:], uint16(cluster))     //nolint:gosec // small
	le.PutUint32(r[28:], uint32(size))        //nolint:gosec // small
	return r
}

// long makes the parts of a long name for a record, followed by the record.
func long(name string, r []byte) []byte {
	return longUnits(utf16.Encode([]rune(name)), r)
}

func longUnits(u []uint16, r []byte) []byte {
	n := (len(u) + partUnits - 1) / partUnits
	if len(u)%partUnits != 0 {
		u = append(u, 0)
	}
	for len(u) < n*partUnits {
		u = append(u, 0xffff)
	}
	var out []byte
	for i := n; i >= 1; i-- {
		p := make([]byte, 32)
		p[0], p[11], p[13] = byte(i), attrLong, raw(r).sum(r[0]) //nolint:gosec // small
		if i == n {
			p[0] |= 0x40
		}
		for k := range partUnits {
			at := 1 + 2*k
			if k >= 11 {
				at = 28 + 2*(k-11)
			} else if k >= 5 {
				at = 14 + 2*(k-5)
			}
			le.PutUint16(p[at:], u[(i-1)*partUnits+k])
		}
		out = append(out, p...)
	}
	return append(out, r...)
}

// gone marks records as deleted.
func deletedRecords(b []byte) []byte {
	for i := 0; i < len(b); i += 32 {
		b[i] = gone
	}
	return b
}

// dots begins a directory.
func dots(own, parent int) []byte {
	return append(record(".          ", attrDir, own, 0), record("..         ", attrDir, parent, 0)...)
}

func join2(list ...[]byte) []byte {
	var out []byte
	for _, b := range list {
		out = append(out, b...)
	}
	return out
}

// small is an image with one of everything.
func small(kind int) *made {
	m := newMade(kind)
	copy(m.root(), join2(
		record("MADE       ", attrVolume, 0, 0),
		long("A long name that needs three.txt", record("ALONGN~1TXT", 0, 10, 1200)),
		record("SHORT   TXT", attrReadOnly, 13, 5),
		deletedRecords(long("was here.txt", record("WASHER~1TXT", 0, 20, 700))),
		deletedRecords(record("GONE    TXT", 0, 22, 3)),
		record("DIR        ", attrDir, 30, 0),
	))
	m.chain(10, 12, 11)
	copy(m.cluster(10), strings.Repeat("a", 512))
	copy(m.cluster(12), strings.Repeat("b", 512))
	copy(m.cluster(11), strings.Repeat("c", 176))
	m.chain(13)
	copy(m.cluster(13), "short")
	copy(m.cluster(20), strings.Repeat("d", 512))
	copy(m.cluster(21), strings.Repeat("e", 188))
	copy(m.cluster(22), "gon")
	m.chain(30)
	copy(m.cluster(30), join2(dots(30, 0), long("inner 日本 😀", record("INNER~1    ", 0, 31, 4))))
	m.chain(31)
	copy(m.cluster(31), "deep")
	return m
}
