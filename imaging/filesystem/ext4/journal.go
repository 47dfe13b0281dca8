package ext4

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"slices"

	"snapcase/imaging"
	"snapcase/imaging/filesystem"
)

// be is the byte order of the journal.
var be = binary.BigEndian

const journalMagic = 0xc03b3998

// Kinds of the journal's own blocks.
const (
	logDescriptor = 1
	logCommit     = 2
	logSuperV1    = 3
	logSuperV2    = 4
	logRevoke     = 5
)

// Features of a journal: the first is a compatible one, the others are not.
const (
	logChecksum = 0x1

	log64bit = 0x2
	logAsync = 0x4
	logCsum2 = 0x8
	logCsum3 = 0x10
	logFast  = 0x20

	// logKnown has revocation (0x1) besides.
	logKnown = 0x3f
)

const (
	// fastBlocks is how many blocks fast commits have when nothing else is said.
	fastBlocks = 256
	// leastLog is the smallest log that the kernel accepts, in blocks.
	leastLog = 1024
)

// journal is where the journal lies and what its superblock says. Its blocks
// are counted from its own start.
type journal struct {
	fs       *FS
	src      imaging.Source // the volume as it lies there, or a device of the journal's own
	superAt  uint32         // the block of the superblock
	runs     []run
	own      []blockRange // the same by their place
	blocks   uint32       // with the superblock and fast commits
	first    uint32       // of the log
	end      uint32       // of the log: what follows are fast commits
	sequence uint32       // of the transaction at start, or of the next one to come
	start    uint32       // where what is to be replayed begins; 0: nothing is
	tagSize  int
	wide     bool         // block numbers have 64 bits
	sums     bool         // blocks carry a crc32c, of which tags hold
	sum32    bool         // all of it, not half
	sumV1    *[256]uint32 // the table of the crc32 that commits carry, if they do
	async    bool
	seed     uint32
	notes    []string
}

func (j *journal) note(format string, args ...any) {
	j.notes = append(j.notes, fmt.Sprintf(format, args...))
}

// journal finds the journal within the volume. Without one j is nil, and
// damage says why it cannot be read if there should be one.
func (fs *FS) journal() (j *journal, damage string, err error) {
	ino := le.Uint32(fs.sb.raw[224:])
	switch {
	case fs.JournalUUID() != "" && fs.away != nil:
		return fs.external()
	case fs.sb.compat&compatJournal == 0 || ino == 0:
		return nil, "", nil
	}
	j = &journal{fs: fs, src: fs.raw}
	in, damage, err := j.inode(ino)
	if err != nil || damage != "" {
		return nil, damage, err
	}
	m := blockMap{fs: fs, spend: fs.newBudget()}
	if err := m.load(ino, in); err != nil {
		return nil, "", fmt.Errorf("journal: %w", err)
	}
	if m.damage != "" {
		j.note("the journal's map is damaged: %s", m.damage)
	}
	j.runs = m.runs
	for _, r := range m.runs {
		j.own = append(j.own, blockRange{r.block(), r.block() + uint64(r.n)})
	}
	j.own = join(j.own, fs.sb.blocks)
	_, size := fs.size(in)
	j.blocks = uint32(min(size/fs.sb.blockSize, fs.src.Size()/fs.sb.blockSize, 1<<31-1))
	if damage, err = j.super(); err != nil || damage != "" {
		return nil, damage, err
	}
	return j, "", nil
}

// inode reads the journal's inode, or makes it from the copy of its map that
// the superblock has.
func (j *journal) inode(ino uint32) (in inode, damage string, err error) {
	fs := j.fs
	in, ok, err := fs.readInode(ino)
	switch {
	case err != nil:
		return nil, "", fmt.Errorf("journal: %w", err)
	case ok && in.kind() == filesystem.TypeFile && in.links() > 0:
		return in, "", nil
	case fs.sb.raw[0xfd] != 1:
		return nil, fmt.Sprintf("range: inode %d is no file", ino), nil
	}
	in = make(inode, fs.sb.inodeSize)
	le.PutUint16(in, 0o100600)
	le.PutUint16(in[26:], 1)
	copy(in.block(), fs.sb.raw[0x10c:0x148])
	le.PutUint32(in[108:], le.Uint32(fs.sb.raw[0x148:]))
	le.PutUint32(in[4:], le.Uint32(fs.sb.raw[0x14c:]))
	if le.Uint16(in.block()) == 0xf30a {
		le.PutUint32(in[32:], flagExtents)
	}
	j.note("the journal's inode %d is no file: the copy of its map in the superblock is used", ino)
	return in, "", nil
}

// super reads the superblock of the journal.
func (j *journal) super() (damage string, err error) {
	p, err := j.reader().block(j.superAt)
	if err != nil || len(p) < superSize {
		return "range: it has no block", err
	}
	kind := be.Uint32(p[4:])
	if be.Uint32(p) != journalMagic || kind != logSuperV1 && kind != logSuperV2 {
		return "range: it has no superblock", nil
	}
	j.sequence, j.start, j.first = be.Uint32(p[24:]), be.Uint32(p[28:]), be.Uint32(p[20:])
	if size := be.Uint32(p[12:]); int64(size) != j.fs.sb.blockSize {
		return fmt.Sprintf("range: its blocks have %d bytes", size), nil
	}
	length := be.Uint32(p[16:])
	if length > j.blocks {
		j.note("truncated: the journal says that it has %d blocks and has %d", length, j.blocks)
	}
	j.blocks = min(j.blocks, length)
	j.end, j.tagSize = j.blocks, 8
	if kind == logSuperV2 {
		if damage := j.features(p[:superSize]); damage != "" {
			return damage, nil
		}
	}
	if j.first == 0 || j.first >= j.end || j.start >= j.end {
		return fmt.Sprintf("range: it has %d blocks, its log begins at %d and what is to be replayed at %d", j.end, j.first, j.start), nil
	}
	return "", nil
}

// features takes what a superblock of version 2 has more than one of version 1.
func (j *journal) features(p []byte) (damage string) {
	compat, incompat := be.Uint32(p[36:]), be.Uint32(p[40:])
	if unknown := incompat &^ logKnown; unknown != 0 {
		return fmt.Sprintf("partial: it has the unknown features 0x%x", unknown)
	}
	j.wide = incompat&log64bit != 0
	j.sum32 = incompat&logCsum3 != 0
	j.sums = j.sum32 || incompat&logCsum2 != 0
	if compat&logChecksum != 0 && !j.sums {
		j.sumV1 = crcTable()
	}
	j.async = incompat&logAsync != 0
	j.seed = crc32c(^uint32(0), p[48:64])
	switch {
	case j.sum32:
		j.tagSize = 16
	case j.sums && j.wide:
		j.tagSize = 14
	case j.sums:
		j.tagSize = 10
	case j.wide:
		j.tagSize = 12
	}
	if j.sums {
		c := crc32c(crc32c(crc32c(^uint32(0), p[:252]), []byte{0, 0, 0, 0}), p[256:])
		if c != be.Uint32(p[252:]) {
			j.note("csum: the journal's superblock does not match its checksum: the kernel would not mount the volume")
		}
	}
	if incompat&logFast != 0 {
		n := be.Uint32(p[84:])
		if n == 0 {
			n = fastBlocks
		}
		if n <= j.blocks && j.blocks-n >= leastLog {
			j.end = j.blocks - n
		}
	}
	return ""
}

// place gives the block of the volume that is block k of the journal, and how
// many follow one another from there on; 0 when the map has a hole.
func (j *journal) place(k uint32) (block uint64, n uint32) {
	lo, hi := 0, len(j.runs)
	for lo < hi {
		if mid := (lo + hi) / 2; uint64(j.runs[mid].at)+uint64(j.runs[mid].n) <= uint64(k) {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	if lo == len(j.runs) || j.runs[lo].at > k {
		return 0, 0
	}
	r := j.runs[lo]
	return r.block() + uint64(k-r.at), r.n - (k - r.at)
}

// owns says that a block of the volume is one of the journal.
func (j *journal) owns(block uint64) bool {
	i, _ := slices.BinarySearchFunc(j.own, block, func(r blockRange, at uint64) int { return cmp.Compare(r.end, at+1) })
	return i < len(j.own) && j.own[i].start <= block
}

// wrap is the block of the log n blocks behind k.
func (j *journal) wrap(k uint32) uint32 {
	if k >= j.end {
		return k - (j.end - j.first)
	}
	return k
}

// logReader reads blocks of the journal ahead. It is not safe for concurrent
// use.
type logReader struct {
	j   *journal
	buf []byte
	at  uint32 // the block that buf begins with
	n   uint32
}

func (j *journal) reader() *logReader { return &logReader{j: j} }

// block gives block k, valid until the next call, from the volume as it lies
// there; zeros for what the image does not have.
func (r *logReader) block(k uint32) ([]byte, error) {
	bs := uint32(r.j.fs.sb.blockSize)
	if k < r.at || k-r.at >= r.n {
		if r.buf == nil {
			r.buf = make([]byte, max(spanBytes, bs))
		}
		at, n := r.j.place(k)
		r.at, r.n = k, min(max(n, 1), uint32(len(r.buf))/bs, max(r.j.blocks-min(k, r.j.blocks), 1))
		if n == 0 {
			clear(r.buf[:bs])
		} else if _, err := readZero(r.j.src, r.buf[:r.n*bs], int64(at)*int64(bs)); err != nil {
			r.n = 0
			return nil, fmt.Errorf("journal: %w", err)
		}
	}
	return r.buf[(k-r.at)*bs:][:bs:bs], nil
}
