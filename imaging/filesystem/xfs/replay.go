package xfs

import (
	"context"
	"encoding/binary"
	"fmt"
)

// replay does what the kernel would do before it mounts the volume, without
// writing: changes that stand in the log and not yet in their place go into an
// overlay, through which everything else is read. Of what the kernel does next,
// extents that it had begun to free count as free; other intents are not
// finished, and what has no name and was open is not freed.
func (fs *FS) replay(ctx context.Context) error {
	j, ok, damage := fs.journal()
	if !ok {
		if damage != "" {
			fs.note("the log is not replayed: %s", damage)
		}
		return nil
	}
	tail, end, clean, damage, err := j.active()
	if err != nil {
		return fmt.Errorf("log: %w", err)
	}
	if damage != "" {
		fs.note("the log is not replayed: %s", damage)
	}
	if clean {
		return nil
	}
	r := &replayer{fs: fs, cancelled: make(map[[2]int64]int), freeing: make(map[uint64][]byte), over: newOverlay(fs.src)}
	read := func(use func(*transaction) error) (bool, error) {
		a := &assembler{open: make(map[uint32]*transaction), use: use}
		done, err := j.records(ctx, tail, end, false, a.add)
		return done && !a.dropped, err
	}
	if _, err := read(r.note); err != nil {
		return fmt.Errorf("log: %w", err)
	}
	raw := fs.src
	fs.src = r.over
	done, err := read(r.apply)
	if err != nil {
		fs.src = raw
		return fmt.Errorf("log: %w", err)
	}
	r.over.settle()
	r.free()
	fs.note("needs log recovery: %d transactions of the log (%d changed units of 512 bytes) are not in their place and are shown as the kernel would replay them", r.count, len(r.over.order))
	if !done {
		fs.note("the log is damaged or holds more at once than XFS writes: not all of it is replayed")
	}
	if n := r.intents - r.done; n > 0 {
		fs.note("%d changes were begun and not ended: the kernel would end them", n)
	}
	return nil
}

// replayer applies transactions to an overlay.
type replayer struct {
	fs        *FS
	over      *overlay
	cancelled map[[2]int64]int  // place and length of buffers that were freed later
	freeing   map[uint64][]byte // intents to free extents that have not ended, by their number
	order     binary.ByteOrder
	count     int
	intents   int
	done      int
}

// note is the first pass: it collects buffers whose changes must not be
// replayed, because their blocks were freed, and intents that have no end.
func (r *replayer) note(t *transaction) error {
	for i := range t.items {
		switch k := t.items[i].kind; k {
		case itemBuffer:
			if b, ok := t.buffer(&t.items[i]); ok && b.flags&bufferCancel != 0 {
				r.cancelled[[2]int64{b.at, int64(b.units)}]++
			}
		case itemFree, 0x1240, 0x1242, 0x1244, 0x1246, 0x1248:
			r.intents++
			if p := t.items[i].regions[0]; k == itemFree && len(p) >= 16 {
				r.freeing[t.order.Uint64(p[8:])] = p
			}
		case itemFreed, 0x1241, 0x1243, 0x1245, 0x1247, 0x1249:
			r.done++
			if p := t.items[i].regions[0]; k == itemFreed && len(p) >= 16 {
				delete(r.freeing, t.order.Uint64(p[8:]))
			}
		}
	}
	r.order = t.order
	return nil
}

// free keeps the extents that were to be freed. An intent has its type, its
// size and the number of its extents in 16 bytes with its own number, then for
// each a 64-bit block and a 32-bit length, with or without 4 bytes behind.
func (r *replayer) free() {
	for _, p := range r.freeing {
		n := int(r.order.Uint32(p[4:]))
		step := 16
		if n <= 0 || n > (len(p)-16)/12 {
			continue
		}
		if n > (len(p)-16)/step {
			step = 12
		}
		for e := p[16:]; n > 0; n, e = n-1, e[step:] {
			blocks := uint64(r.order.Uint32(e[8:]))
			at, ok := r.fs.sb.block(r.order.Uint64(e), blocks)
			if !ok || blocks == 0 {
				continue
			}
			ag := uint32(at / r.fs.sb.groupSize)
			if r.fs.freeing == nil {
				r.fs.freeing = make(map[uint32][]extentOf)
			}
			r.fs.freeing[ag] = append(r.fs.freeing[ag], extentOf{uint32(at % r.fs.sb.groupSize), uint32(blocks)})
		}
	}
}

// apply is the second pass. As in the kernel, buffers and new chunks come
// before inodes, and freed buffers last.
func (r *replayer) apply(t *transaction) error {
	r.count++
	for pass := range 3 {
		for i := range t.items {
			it := &t.items[i]
			var err error
			switch {
			case it.kind == itemBuffer:
				b, ok := t.buffer(it)
				switch {
				case !ok:
				case b.flags&bufferCancel != 0 && pass == 2:
					key := [2]int64{b.at, int64(b.units)}
					if r.cancelled[key]--; r.cancelled[key] <= 0 {
						delete(r.cancelled, key)
					}
				case b.flags&bufferCancel == 0 && (b.flags&bufferInodes != 0) == (pass == 1) && pass < 2:
					err = r.buffer(t, &b, it)
				}
			case it.kind == itemICreate && pass == 0:
				err = r.create(it.regions[0])
			case it.kind == itemInode && pass == 1:
				err = r.inode(t, it)
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// inside says that n bytes from a unit on lie in the volume.
func (r *replayer) inside(at int64, n int) bool {
	return at >= 0 && at < r.fs.info.Size/basic && int64(n) <= r.fs.info.Size-at*basic
}

func (r *replayer) buffer(t *transaction, b *bufferItem, it *logItem) error {
	if r.cancelled[[2]int64{b.at, int64(b.units)}] > 0 || !r.inside(b.at, b.units*basic) {
		return nil
	}
	p := make([]byte, b.units*basic)
	if _, err := r.fs.read(p, b.at*basic); err != nil {
		return err
	}
	if b.flags&bufferInodes != 0 {
		r.links(b, it, p)
		return nil
	}
	if k := knownBlock(p); k.lsn > 0 && r.fs.sb.crc() {
		if lsn := be.Uint64(p[k.lsn:]); lsn != 0 && lsn != ^uint64(0) && lsn >= t.lsn && [16]byte(p[k.uuid:]) == r.fs.sb.uuid {
			return nil // it was written after this
		}
	}
	b.parts(it.regions[1:], func(off int, part []byte) { copy(p[off:], part) })
	if k := knownBlock(p); k.lsn > 0 && r.fs.sb.crc() {
		be.PutUint64(p[k.lsn:], t.lsn)
		k.seal(p, &r.fs.sb)
	}
	r.over.put(b.at, p)
	return nil
}

// links replays a buffer of inodes: nothing but the links of the lists of
// unlinked inodes.
func (r *replayer) links(b *bufferItem, it *logItem, p []byte) {
	size := r.fs.sb.inodeSize
	b.parts(it.regions[1:], func(off int, part []byte) {
		for at := off / size * size; at+size <= len(p); at += size {
			from := at + 96 - off
			if from < 0 || from+4 > len(part) {
				if from > len(part) {
					return
				}
				continue
			}
			copy(p[at+96:at+100], part[from:])
			sealInode(p[at : at+size])
		}
	})
	r.over.put(b.at, p)
}

func sealInode(p []byte) {
	if in := inode(p); in.magic() && in.version() >= 3 {
		putSum(p, 100)
	}
}

// create makes new inodes, as empty as the kernel makes them.
func (r *replayer) create(p []byte) error {
	if len(p) < 28 {
		return nil
	}
	s := &r.fs.sb
	ag, agbno, count, size, blocks, gen := be.Uint32(p[4:]), be.Uint32(p[8:]), be.Uint32(p[12:]), be.Uint32(p[16:]), be.Uint32(p[20:]), be.Uint32(p[24:])
	if uint64(ag) >= s.groups || int(size) != s.inodeSize || count > 4096 || uint64(blocks) > s.groupLen(uint64(ag)) ||
		uint64(agbno) > s.groupLen(uint64(ag))-uint64(blocks) || int64(count)*int64(size) > int64(blocks)*s.blockSize {
		return nil
	}
	per := s.blockSize / basic
	at := r.fs.offset(ag, uint64(agbno)) / basic
	for n := range r.cancelled {
		if n[0] < at+int64(blocks)*per && n[0]+n[1] > at && r.cancelled[n] > 0 {
			return nil
		}
	}
	out := make([]byte, int64(count)*int64(size))
	for i := range count {
		in := out[i*size:][:size]
		copy(in, "IN")
		in[4] = 2
		be.PutUint32(in[92:], gen)
		be.PutUint32(in[96:], noUnlinked)
		if s.crc() {
			in[4] = 3
			be.PutUint64(in[152:], s.inodeNumber(ag, agbno<<s.inopblog+i))
			copy(in[160:], s.uuid[:])
			sealInode(in)
		}
	}
	r.over.put(at, out)
	return nil
}

// inode replays a core and its forks.
func (r *replayer) inode(t *transaction, it *logItem) error {
	v, ok := t.inode(it)
	if !ok || r.cancelled[[2]int64{v.at, int64(v.units)}] > 0 || !r.inside(v.at, v.units*basic) ||
		v.off < 0 || v.off+r.fs.sb.inodeSize > v.units*basic {
		return nil
	}
	p := make([]byte, v.units*basic)
	if _, err := r.fs.read(p, v.at*basic); err != nil {
		return err
	}
	in := inode(p[v.off : v.off+r.fs.sb.inodeSize])
	if !in.magic() {
		return nil
	}
	if in.version() >= 3 {
		if lsn := be.Uint64(in[112:]); lsn != 0 && lsn != ^uint64(0) && lsn > t.lsn {
			return nil
		}
	} else if logged, stored := be.Uint16(v.core[30:]), be.Uint16(in[30:]); logged < stored && (stored != 0xffff || logged >= 0x7fff) {
		return nil // a version before the one that stands there
	}
	v.write(in, &r.fs.sb)
	if in.version() >= 3 {
		be.PutUint64(in[112:], t.lsn)
		putSum(in, 100)
	}
	r.over.put(v.at, p)
	return nil
}

// putSum writes the checksum of p at off.
func putSum(p []byte, off int) {
	clear(p[off : off+4])
	binary.LittleEndian.PutUint32(p[off:], crcOf(p))
}
