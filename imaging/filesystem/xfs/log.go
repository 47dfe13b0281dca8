package xfs

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"snapcase/imaging"
)

const (
	magicRecord = 0xfeedbabe
	// basic is the unit of the log and of buffer addresses, bytes.
	basic = 512
	// maxRecord bounds the data of one record; XFS writes up to 256 KiB.
	maxRecord = 1 << 20
	// recordCycles is how many blocks' first words a header holds.
	recordCycles = 64
	// maxLog is the largest log that XFS makes, bytes.
	maxLog = 2 << 30
	// reach is how far before the head a write may have been lost: eight
	// buffers of 256 KiB, in units of the log.
	reach = 8 * 256 << 10 / basic
)

// journal is the log area.
type journal struct {
	fs    *FS
	src   imaging.Source // the volume as it lies there, or a device of the log's own
	start int64          // bytes from the start of src
	size  int64          // units of 512 bytes
	first [basic]byte    // of the record that is looked at
	ahead []byte         // what is looked through for the next record
}

// journal gives the log; damage says why there is none to read, and is "" when
// it lies on a device that was not given.
func (fs *FS) journal() (j *journal, ok bool, damage string) {
	s := &fs.sb
	if s.logStart == 0 {
		if fs.away == nil {
			return nil, false, ""
		}
		j, damage = fs.external()
		return j, j != nil, damage
	}
	block, ok := s.block(s.logStart, s.logBlocks)
	j = &journal{fs: fs, src: fs.raw, start: int64(block) * s.blockSize, size: int64(s.logBlocks) * s.blockSize / basic}
	if !ok || s.logBlocks == 0 || j.size > maxLog/basic || j.start+j.size*basic > fs.raw.Size() {
		return nil, false, "range: it lies outside the volume or the image"
	}
	return j, true, ""
}

// read fills p from a unit of the log on, around its end.
func (j *journal) read(p []byte, at int64) error {
	for len(p) > 0 {
		at %= j.size
		n := min(int64(len(p)), (j.size-at)*basic)
		if _, err := readZero(j.src, p[:n], j.start+at*basic); err != nil {
			return err
		}
		p, at = p[n:], at+n/basic
	}
	return nil
}

// cycle is how often the log had been written through when the unit at was
// written: its first word, or the second of a record's header.
func (j *journal) cycle(at int64) (uint32, error) {
	p := make([]byte, 8)
	if _, err := readZero(j.src, p, j.start+at*basic); err != nil {
		return 0, err
	}
	return cycleOf(p), nil
}

func cycleOf(p []byte) uint32 {
	if be.Uint32(p) == magicRecord {
		return be.Uint32(p[4:])
	}
	return be.Uint32(p)
}

// head finds the unit that would be written next: where the cycle falls. ok is
// false for a log that was never written.
func (j *journal) head() (at int64, ok bool, err error) {
	first, err := j.cycle(0)
	if err != nil || first == 0 {
		return 0, false, err
	}
	lo, hi := int64(0), j.size // cycle(lo) is first, hi is past what has it
	for hi-lo > 1 {
		mid := (lo + hi) / 2
		c, err := j.cycle(mid)
		if err != nil {
			return 0, false, err
		}
		if c == first {
			lo = mid
		} else {
			hi = mid
		}
	}
	return hi % j.size, true, nil
}

// logRecord is one record of the log.
type logRecord struct {
	at     int64 // unit
	units  int64 // with the header
	lsn    uint64
	tail   uint64
	ops    uint32
	order  binary.ByteOrder // of what the items hold
	data   []byte
	uuid   [16]byte // of the file system
	sumBad bool
}

// recordAt reads the record that begins at a unit; ok is false when none does.
func (j *journal) recordAt(at int64) (r logRecord, ok bool, err error) {
	head := j.first[:]
	if err := j.read(head, at); err != nil || !j.plausible(head, at) {
		return r, false, err
	}
	r = logRecord{at: at, lsn: be.Uint64(head[16:]), tail: be.Uint64(head[24:]), ops: be.Uint32(head[40:]), order: binary.LittleEndian, uuid: [16]byte(head[304:320])}
	if be.Uint32(head[300:]) == 2 {
		r.order = binary.BigEndian
	}
	heads := int64(1)
	if size := int64(be.Uint32(head[320:])); be.Uint32(head[8:]) == 2 && size > recordCycles*basic {
		heads = (min(size, maxRecord) + recordCycles*basic - 1) / (recordCycles * basic)
	}
	length := int64(be.Uint32(head[12:]))
	units := (length + basic - 1) / basic
	if heads+units >= j.size || units > heads*recordCycles {
		return r, false, nil
	}
	r.units = heads + units
	if units == 0 && heads == 1 { // as a mount writes them by the thousand over what is stale
		r.sumBad = j.fs.sb.crc() && !recordSum(head, nil)
		return r, true, nil
	}
	whole := make([]byte, r.units*basic)
	if err := j.read(whole, at); err != nil {
		return r, false, err
	}
	r.data = whole[heads*basic:]
	r.sumBad = j.fs.sb.crc() && !recordSum(whole[:heads*basic], r.data)
	for i := range units { // the first word of each unit was replaced by the cycle
		from := whole[44+4*i:]
		if i >= recordCycles {
			from = whole[i/recordCycles*basic+4+4*(i%recordCycles):]
		}
		copy(r.data[i*basic:i*basic+4], from[:4])
	}
	r.data = r.data[:length]
	return r, true, nil
}

// plausible says that head can be a record's header at its place.
func (j *journal) plausible(head []byte, at int64) bool {
	version, length := be.Uint32(head[8:]), be.Uint32(head[12:])
	return be.Uint32(head) == magicRecord && (version == 1 || version == 2) && length <= maxRecord &&
		int64(be.Uint32(head[20:])) == at && be.Uint32(head[16:]) == be.Uint32(head[4:])
}

// recordSum checks the checksum of a record, which covers a header whose
// length depends on the machine that wrote it.
func recordSum(heads, data []byte) bool {
	want := binary.LittleEndian.Uint32(heads[32:])
	if want == 0 {
		return true
	}
	for _, n := range []int{328, 324, 336} {
		c := crc32.Update(0, castagnoli, heads[:32])
		c = crc32.Update(c, castagnoli, zero4[:])
		c = crc32.Update(c, castagnoli, heads[36:n])
		for x := basic; x < len(heads); x += basic {
			c = crc32.Update(c, castagnoli, heads[x:x+260])
		}
		if crc32.Update(c, castagnoli, data) == want {
			return true
		}
	}
	return false
}

// last finds the last whole record before the head.
func (j *journal) last(head int64) (r logRecord, ok bool, err error) {
	n, tries := min(2*reach, j.size), 0
	part := int64(64) // units that are read at once
	for before := int64(0); before < n; part = min(2*part, 2048) {
		buf := make([]byte, min(part, n-before)*basic)
		before += int64(len(buf)) / basic
		if err := j.read(buf, (head-before+j.size)%j.size); err != nil {
			return r, false, err
		}
		for i := int64(len(buf))/basic - 1; i >= 0 && tries < 64; i-- {
			at := (head - before + i + j.size) % j.size
			if !j.plausible(buf[i*basic:][:basic], at) {
				continue
			}
			tries++
			r, ok, err := j.recordAt(at)
			if err != nil {
				return r, false, err
			}
			if ok && !r.sumBad && r.units <= before-i {
				return r, true, nil
			}
		}
	}
	return r, false, nil
}

// next finds the first unit from at on, of the n there, that may begin a record.
func (j *journal) next(at, n int64) (int64, error) {
	part := int64(16)
	for skipped := int64(0); skipped < n; part = min(2*part, 256) {
		size := min(n-skipped, part) * basic
		if int64(cap(j.ahead)) < size {
			j.ahead = make([]byte, size)
		}
		p := j.ahead[:size]
		if err := j.read(p, at+skipped); err != nil {
			return n, err
		}
		for i := int64(0); i*basic < int64(len(p)); i++ {
			if j.plausible(p[i*basic:][:basic], (at+skipped+i)%j.size) {
				return skipped + i, nil
			}
		}
		skipped += int64(len(p)) / basic
	}
	return n, nil
}

// active says which part of the log is not yet in its place: from the unit
// tail to before end. clean is true when there is none.
func (j *journal) active() (tail, end int64, clean bool, damage string, err error) {
	head, ok, err := j.head()
	if err != nil || !ok {
		return 0, 0, true, "", err
	}
	r, ok, err := j.last(head)
	if err != nil {
		return 0, 0, true, "", err
	}
	if !ok {
		return 0, 0, true, "range: the log has no whole record before its head", nil
	}
	if why := j.foreign(&r); why != "" {
		return 0, 0, true, why, nil
	}
	end = (r.at + r.units) % j.size
	if r.ops == 1 && len(r.data) >= 12 && r.data[9]&opUnmount != 0 {
		return 0, 0, true, "", nil
	}
	tail = int64(uint32(r.tail))
	if tail >= j.size {
		return 0, 0, true, fmt.Sprintf("range: the log says that it begins at %d of %d", tail, j.size), nil
	}
	return tail, end, false, "", nil
}
