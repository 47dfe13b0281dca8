package iso9660

// made is a small image that tests build: a primary descriptor, the root
// directory in block 20, content from block 24 on.
type made struct {
	b    []byte
	next int
}

func newMade() *made {
	m := &made{b: make([]byte, 40*sector), next: 20 * sector}
	p := m.b[firstDescriptor:]
	p[0] = 1
	copy(p[1:], "CD001\x01")
	copy(p[40:], "MADE                            ")
	both(p[80:], 40)
	le.PutUint16(p[128:], sector)
	be.PutUint16(p[130:], sector)
	copy(p[156:], dirRecord("\x00", 20, sector, flagDir))
	p[sector] = 255
	copy(p[sector+1:], "CD001\x01")
	m.add(dirRecord("\x00", 20, sector, flagDir), dirRecord("\x01", 20, sector, flagDir))
	return m
}

func both(b []byte, v uint32) {
	le.PutUint32(b, v)
	be.PutUint32(b[4:], v)
}

func (m *made) add(records ...[]byte) {
	for _, r := range records {
		copy(m.b[m.next:], r)
		m.next += len(r)
	}
}

func (m *made) block(n int) []byte { return m.b[n*sector:][:sector] }

// dirRecord is a record of 2021-03-04 05:06:08 in a zone of UTC+1.
func dirRecord(name string, block, size uint32, flags byte) []byte {
	b := make([]byte, (recordHead+len(name)+1)&^1)
	b[0], b[25], b[32] = byte(len(b)), flags, byte(len(name))
	both(b[2:], block)
	both(b[10:], size)
	copy(b[18:], []byte{121, 3, 4, 5, 6, 8, 4})
	copy(b[33:], name)
	return b
}

// variety has a file in two extents, a forked one, an interleaved one, and a
// directory that leads back to the root.
func variety() *made {
	m := newMade()
	m.add(dirRecord("LARGE.;1", 24, 2048, flagMore), dirRecord("LARGE.;1", 30, 100, 0))
	copy(m.block(24), "first")
	copy(m.block(30), "second")
	m.add(dirRecord("FORKED;1", 26, 4, flagAssociated), dirRecord("FORKED;1", 27, 4, 0))
	copy(m.block(26), "fork")
	copy(m.block(27), "data")
	gaps := dirRecord("GAPS;1", 28, 4000, 0)
	gaps[26], gaps[27] = 1, 1
	m.add(gaps)
	m.add(dirRecord("LOOP", 20, sector, flagDir))
	m.add(dirRecord("SUB", 21, sector, flagDir))
	copy(m.block(21), append(dirRecord("\x00", 21, sector, flagDir), dirRecord("\x01", 20, sector, flagDir)...))
	copy(m.block(21)[68:], dirRecord("FAR;1", 39, 5000, 0))
	odd := dirRecord("ODD;1", 24, 5, 0)
	odd[9]++
	m.add(odd, dirRecord("A/B;1", 24, 5, 0), dirRecord("SECRET;1", 24, 5, flagHidden))
	return m
}
