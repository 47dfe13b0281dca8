package ext4

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"

	"snapcase/imaging/filesystem"
	"snapcase/imaging/filesystem/fstest"
)

// logBlocks is how long a journal made in code is.
const logBlocks = 48

// logMaker puts a journal into an image that has none and writes it.
type logMaker struct {
	t        testing.TB
	p        []byte // the image
	fs       *FS    // as it was without a journal
	at       int64  // bytes from the start of the image
	k        uint32 // the block that is written next
	sequence uint32
	version  uint32 // of the superblock
	incompat uint32
	j        journal // knows the checksums
}

// newLog makes a journal of a kind within the image of testdata.
func newLog(t testing.TB, version, incompat uint32) *logMaker {
	t.Helper()
	src := fstest.File(t, "testdata/ext4.img.gz")
	p := make([]byte, src.Size())
	if _, err := src.ReadAt(p, 0); err != nil {
		t.Fatal(err)
	}
	fs, err := Open(fstest.Bytes(bytes.Clone(p)))
	if err != nil {
		t.Fatal(err)
	}
	w := &logMaker{t: t, p: p, fs: fs, k: 1, sequence: 7, version: version, incompat: incompat}
	first := w.room()
	w.at = int64(first) * fs.sb.blockSize
	clear(p[w.at:][:logBlocks*fs.sb.blockSize])
	super := p[superOffset:][:superSize]
	le.PutUint32(super[92:], le.Uint32(super[92:])|compatJournal)
	le.PutUint32(super[224:], 8)
	w.putInode(8, func(in inode) {
		clear(in)
		le.PutUint16(in, 0o100600)
		le.PutUint32(in[4:], uint32(logBlocks*fs.sb.blockSize))
		le.PutUint16(in[26:], 1)
		le.PutUint32(in[32:], flagExtents)
		copy(in.block(), []byte{0x0a, 0xf3, 1, 0, 4, 0, 0, 0})
		le.PutUint16(in.block()[16:], logBlocks)
		le.PutUint32(in.block()[20:], uint32(first))
	})
	w.begin(0)
	return w
}

// room finds blocks that are free and takes them.
func (w *logMaker) room() uint64 {
	used := w.fs.newBitmaps()
	for b := w.fs.sb.firstBlock; b+logBlocks < w.fs.sb.blocks; b++ {
		if n, err := used.used(b, logBlocks); err == nil && n == 0 {
			bitmap := w.p[int64(w.fs.groups[0].blockBitmap)*w.fs.sb.blockSize:]
			for i := b; i < b+logBlocks; i++ {
				bitmap[(i-w.fs.sb.firstBlock)/8] |= 1 << ((i - w.fs.sb.firstBlock) % 8)
			}
			return b
		}
	}
	w.t.Fatal("the image has no room for a journal")
	return 0
}

func (w *logMaker) block(k uint32) []byte {
	return w.p[w.at+int64(k)*w.fs.sb.blockSize:][:w.fs.sb.blockSize]
}

// at is the next block; the log wraps.
func (w *logMaker) next() []byte {
	p := w.block(w.k)
	clear(p)
	if w.k++; w.k == logBlocks {
		w.k = 1
	}
	return p
}

// begin writes the superblock: what is to be replayed begins at start with the
// next transaction; 0: nothing is.
func (w *logMaker) begin(start uint32) {
	p := w.block(0)
	clear(p)
	for i, v := range []uint32{journalMagic, w.version, 0, uint32(w.fs.sb.blockSize), logBlocks, 1, w.sequence, start} {
		be.PutUint32(p[4*i:], v)
	}
	if w.version == logSuperV2 {
		be.PutUint32(p[40:], w.incompat)
		copy(p[48:], "the journal's id")
		p[80] = 4
		w.j = journal{tagSize: 8}
		if why := w.j.features(p[:superSize]); why != "" {
			w.t.Fatal(why)
		}
		be.PutUint32(p[252:], crc32c(^uint32(0), p[:superSize]))
	} else {
		w.j = journal{tagSize: 8}
	}
	super := w.p[superOffset:][:superSize]
	flags := le.Uint32(super[96:]) &^ incompatRecover
	if start != 0 {
		flags |= incompatRecover
	}
	le.PutUint32(super[96:], flags)
	le.PutUint32(super[1020:], crc32c(^uint32(0), super[:1020]))
}

// write adds a transaction of blocks of the volume, committed or not.
func (w *logMaker) write(committed bool, revoked []uint64, blocks []uint64, contents ...[]byte) {
	head := func(p []byte, kind uint32) {
		be.PutUint32(p, journalMagic)
		be.PutUint32(p[4:], kind)
		be.PutUint32(p[8:], w.sequence)
	}
	if len(revoked) > 0 {
		p := w.next()
		head(p, logRevoke)
		n := 16
		for _, b := range revoked {
			if w.j.wide {
				be.PutUint64(p[n:], b)
				n += 8
			} else {
				be.PutUint32(p[n:], uint32(b))
				n += 4
			}
		}
		be.PutUint32(p[12:], uint32(n))
		w.seal(p, len(p)-4)
	}
	if len(blocks) > 0 {
		p := w.next()
		head(p, logDescriptor)
		off := 12
		for i, b := range blocks {
			data, flags := bytes.Clone(contents[i]), uint16(0)
			if be.Uint32(data) == journalMagic {
				clear(data[:4])
				flags |= tagEscaped
			}
			if i > 0 {
				flags |= tagSameUUID
			}
			if i == len(blocks)-1 {
				flags |= tagLast
			}
			be.PutUint32(p[off:], uint32(b))
			be.PutUint16(p[off+6:], flags)
			if w.j.sums {
				c := crc32c(crc32c(w.j.seed, be.AppendUint32(nil, w.sequence)), data)
				if w.j.sum32 {
					be.PutUint32(p[off+12:], c)
				} else {
					be.PutUint16(p[off+4:], uint16(c))
				}
			}
			if off += w.j.tagSize; i == 0 {
				off += 16
			}
			copy(w.next(), data)
		}
		w.seal(p, len(p)-4)
	}
	if committed {
		p := w.next()
		head(p, logCommit)
		be.PutUint64(p[48:], uint64(made.Sec+int64(w.sequence)))
		w.seal(p, 16)
		w.sequence++
	}
}

func (w *logMaker) seal(p []byte, at int) {
	if w.j.sums {
		be.PutUint32(p[at:], crc32c(w.j.seed, p))
	}
}

// putInode changes an inode and its checksum.
func (w *logMaker) putInode(ino uint32, change func(in inode)) {
	off, _ := w.fs.inodeOffset(ino)
	in := inode(w.p[off:][:w.fs.sb.inodeSize])
	change(in)
	if w.fs.sb.rocompat&roMetaCsum == 0 {
		return
	}
	le.PutUint16(in[124:], 0)
	hasHigh := in.extraSize() >= 4
	if hasHigh {
		le.PutUint16(in[130:], 0)
	}
	c := crc32c(w.fs.owner(ino, in.generation()), in)
	le.PutUint16(in[124:], uint16(c))
	if hasHigh {
		le.PutUint16(in[130:], uint16(c>>16))
	}
}

func (w *logMaker) volumeBlock(b uint64) []byte {
	return w.p[int64(b)*w.fs.sb.blockSize:][:w.fs.sb.blockSize]
}

// logKinds are the journals that can be made.
var logKinds = []struct {
	name              string
	version, incompat uint32
}{
	{"v1", logSuperV1, 0},
	{"v2", logSuperV2, 1},
	{"v2 64bit", logSuperV2, 1 | log64bit},
	{"csum v2", logSuperV2, 1 | logCsum2},
	{"csum v2 64bit", logSuperV2, 1 | logCsum2 | log64bit},
	{"csum v3", logSuperV2, 1 | logCsum3},
	{"csum v3 64bit", logSuperV2, 1 | logCsum3 | log64bit},
}

// lose deletes a file as a kernel does, with older copies in the journal of
// its inode and of its directory, and gives its inode.
func (w *logMaker) lose(path string) (ino uint32, content []byte) {
	t := w.t
	var e filesystem.Entry
	for x := range w.fs.Walk(t.Context()) {
		if x.Path == path {
			e = x
		}
	}
	src, err := w.fs.Open(e.Ref)
	if err != nil {
		t.Fatal(err)
	}
	content, err = io.ReadAll(io.NewSectionReader(src, 0, src.Size()))
	if err != nil {
		t.Fatal(err)
	}
	ino = uint32(e.Ref.Inode)
	table, _ := w.fs.tableOf(ino)
	parent, _, err := w.fs.readInode(uint32(e.Parent))
	if err != nil {
		t.Fatal(err)
	}
	m := blockMap{fs: w.fs, spend: w.fs.newBudget()}
	if err := m.load(uint32(e.Parent), parent); err != nil {
		t.Fatal(err)
	}
	parentTable, _ := w.fs.tableOf(uint32(e.Parent))
	dir := m.runs[0].block()
	w.write(true, nil, []uint64{parentTable, dir, table}, w.volumeBlock(parentTable), w.volumeBlock(dir), w.volumeBlock(table))
	p := w.volumeBlock(dir)
	name := path[strings.LastIndexByte(path, '/')+1:]
	for before, off := 0, 0; off < len(p); off += recLen(p[off+4:]) {
		if n := int(p[off+6]); n == len(name) && string(p[off+8:][:n]) == name {
			rec := recLen(p[off+4:])
			le.PutUint16(p[before+4:], uint16(recLen(p[before+4:])+rec))
			clear(p[off:][:rec])
			break
		}
		before = off
	}
	w.putInode(ino, func(in inode) {
		clear(in[4:8])
		le.PutUint16(in[26:], 0)
		le.PutUint32(in[20:], uint32(made.Sec+400*86400))
		clear(in.block())
		copy(in.block(), []byte{0x0a, 0xf3, 0, 0, 4, 0, 0, 0})
	})
	free := func(bitmap uint64, bit uint64) { w.volumeBlock(bitmap)[bit/8] &^= 1 << (bit % 8) }
	free(w.fs.groups[0].inodeBitmap, uint64(ino-1))
	for b := range uint64(max(1, (len(content)+1023)/1024)) {
		free(w.fs.groups[0].blockBitmap, uint64(e.First/1024)+b-w.fs.sb.firstBlock)
	}
	w.write(true, nil, []uint64{table, dir}, w.volumeBlock(table), w.volumeBlock(dir))
	return ino, content
}

const lostFile = "/home/user/.aws/config"

// lost gives the deleted entry of the file that lose deleted.
func lost(t testing.TB, p []byte) (x *FS, e filesystem.Entry, ok bool) {
	t.Helper()
	x, err := Open(fstest.Bytes(p))
	if err != nil {
		t.Fatal(err)
	}
	for e, err := range x.Walk(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		if e.Path == lostFile && e.Status == filesystem.Deleted && e.Ref.Stream == "" {
			return x, e, true
		}
	}
	return x, e, false
}

// TestJournalHistory brings back a file whose name, size and extents only the
// journal has, in each of its formats, also where the log wraps in between.
func TestJournalHistory(t *testing.T) {
	for _, k := range logKinds {
		for _, start := range []uint32{1, logBlocks - 3} {
			t.Run(fmt.Sprintf("%s from %d", k.name, start), func(t *testing.T) {
				w := newLog(t, k.version, k.incompat)
				w.k = start
				ino, content := w.lose(lostFile)
				w.begin(0)
				x, e, ok := lost(t, w.p)
				if !ok {
					t.Fatal("the deleted file is not listed by its name")
				}
				if e.Ref.Inode != uint64(ino) || e.Size != int64(len(content)) || e.Damage != "" || e.From != "journal seq 7" ||
					e.Deleted.Sec != made.Sec+400*86400 || e.Modified != made || e.Type != filesystem.TypeFile {
					t.Errorf("entry is %+v", e)
				}
				src, err := x.Open(e.Ref)
				if err != nil {
					t.Fatal(err)
				}
				got, err := io.ReadAll(io.NewSectionReader(src, 0, src.Size()))
				if err != nil || !bytes.Equal(got, content) || src.(*Content).Damage() != "" {
					t.Errorf("content is %q, %v, want %q", got, err, content)
				}
			})
		}
	}
}

// TestJournalReused: a block of the deleted file that was in use since, and is
// free again, is not given without a word.
func TestJournalReused(t *testing.T) {
	w := newLog(t, logSuperV2, 1|logCsum3)
	w.lose(lostFile)
	bitmap := w.fs.groups[0].blockBitmap
	free := bytes.Clone(w.volumeBlock(bitmap))
	taken := bytes.Repeat([]byte{0xff}, len(free))
	for _, p := range [][]byte{free, taken, free} {
		w.write(true, nil, []uint64{bitmap}, p)
	}
	w.begin(0)
	if _, e, ok := lost(t, w.p); !ok || e.Damage != "reallocated: 1 of 1 blocks are or were in use again" {
		t.Errorf("entry is %+v", e)
	}
}

// TestJournalForeign leaves out what an earlier file system wrote, and
// transactions that were not committed.
func TestJournalForeign(t *testing.T) {
	w := newLog(t, logSuperV2, 1)
	w.lose(lostFile)
	w.sequence = 7
	w.begin(0) // as if the log were to start again with these numbers
	if _, e, ok := lost(t, w.p); ok {
		t.Errorf("entry is %+v", e)
	}
	w = newLog(t, logSuperV2, 1)
	w.lose(lostFile)
	w.begin(0)
	for k := range uint32(logBlocks) {
		if p := w.block(k); be.Uint32(p) == journalMagic && be.Uint32(p[4:]) == logCommit {
			clear(p)
		}
	}
	if _, e, ok := lost(t, w.p); ok {
		t.Errorf("entry is %+v", e)
	}
}

// TestJournalReplay replays a log that wraps, with revocations, escaped blocks
// and a transaction that is not committed.
func TestJournalReplay(t *testing.T) {
	for _, k := range logKinds {
		t.Run(k.name, func(t *testing.T) {
			w := newLog(t, k.version, k.incompat)
			b := uint64(w.at/w.fs.sb.blockSize) + logBlocks + 1
			fill := func(c byte) []byte { return bytes.Repeat([]byte{c}, int(w.fs.sb.blockSize)) }
			magic := fill('m')
			be.PutUint32(magic, journalMagic)
			for i := range uint64(6) {
				copy(w.volumeBlock(b+i), fill('0'))
			}
			w.k = logBlocks - 5
			w.begin(w.k)
			w.write(true, nil, []uint64{b, b + 1, b + 2}, fill('1'), fill('1'), magic)
			w.write(true, []uint64{b + 1}, []uint64{b}, fill('2'))
			w.write(true, nil, []uint64{b + 3, b + 4}, fill('3'), magic)
			w.write(true, []uint64{b + 3, b + 4, b + 5}, []uint64{b + 5}, fill('4'))
			w.write(true, nil, []uint64{b + 4}, fill('5'))
			w.write(false, nil, []uint64{b, b + 1}, fill('9'), fill('9'))
			want := [][]byte{fill('2'), fill('0'), magic, fill('0'), fill('5'), fill('0')}
			x, err := Open(fstest.Bytes(w.p))
			if err != nil {
				t.Fatal(err)
			}
			if s := strings.Join(x.Info().State, "\n"); !strings.Contains(s, "5 transactions of the journal (3 changed blocks)") {
				t.Errorf("state is %q", s)
			}
			for i, p := range want {
				got := make([]byte, len(p))
				if _, err := x.read(got, int64(b+uint64(i))*w.fs.sb.blockSize); err != nil || !bytes.Equal(got, p) {
					t.Errorf("block %d begins with %q, want %q", i, got[:8], p[:8])
				}
				for _, cut := range []int{1, 3, 700} { // reads that begin within a block
					if _, err := x.read(got[cut:], int64(b+uint64(i))*w.fs.sb.blockSize+int64(cut)); err != nil || !bytes.Equal(got, p) {
						t.Errorf("block %d from byte %d on differs", i, cut)
					}
				}
			}
			raw, err := OpenRaw(fstest.Bytes(w.p))
			if err != nil {
				t.Fatal(err)
			}
			if s := strings.Join(raw.Info().State, "\n"); !strings.Contains(s, "before the replay of 5 transactions") {
				t.Errorf("state is %q", s)
			}
			got := make([]byte, 1)
			if _, err := raw.read(got, int64(b)*w.fs.sb.blockSize); err != nil || got[0] != '0' {
				t.Errorf("the raw view has %q", got)
			}
		})
	}
}

// TestJournalDamaged changes bytes of the journal: with checksums nothing that
// is false may come of it, and nothing may hang or panic.
func TestJournalDamaged(t *testing.T) {
	for _, k := range logKinds {
		t.Run(k.name, func(t *testing.T) {
			w := newLog(t, k.version, k.incompat)
			_, content := w.lose(lostFile)
			w.begin(0)
			fstest.Damage(t, Open, fstest.Bytes(w.p))
			if w.incompat&logCsum3 == 0 {
				return
			}
			r := rand.New(rand.NewPCG(1, 2))
			found := 0
			for range 300 {
				p := bytes.Clone(w.p)
				for range 1 + r.IntN(3) {
					p[w.at+1024+int64(r.IntN(10*1024))] ^= byte(1 + r.IntN(255))
				}
				x, e, ok := lost(t, p)
				if !ok {
					continue
				}
				found++
				src, err := x.Open(e.Ref)
				if err != nil {
					t.Fatal(err)
				}
				got, _ := io.ReadAll(io.NewSectionReader(src, 0, src.Size()))
				if e.Damage == "" && !bytes.Equal(got, content) {
					t.Errorf("content is %q without a word: %+v", got, e)
				}
			}
			t.Logf("the file was still found in %d of 300 damaged journals", found)
		})
	}
}

// FuzzJournal replaces the whole journal, superblock and all.
func FuzzJournal(f *testing.F) {
	for _, k := range logKinds {
		w := newLog(f, k.version, k.incompat)
		w.lose(lostFile)
		w.begin(0)
		f.Add(bytes.Clone(w.p[w.at:][:logBlocks*1024]))
		w.begin(1)
		f.Add(bytes.Clone(w.p[w.at:][:logBlocks*1024]))
	}
	w := newLog(f, logSuperV2, 1)
	w.lose(lostFile)
	w.begin(1)
	f.Fuzz(func(t *testing.T, p []byte) {
		image := bytes.Clone(w.p)
		copy(image[w.at:][:logBlocks*1024], p)
		fstest.Survive(t, Open, fstest.Bytes(image))
		fstest.Survive(t, OpenRaw, fstest.Bytes(image))
	})
}
