package custody

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"hash"
	"io"
	"strconv"
	"strings"
	"sync"

	"snapcase/evidence"
)

// blockList is blocks-sha256.txt: digests of blocks of one length that touch;
// the last may be shorter.
type blockList struct {
	length int64
	last   int64 // length of the last block
	sums   []evidence.Digest
}

// maxBlocks bounds the list in memory; beyond it a changed place is not named.
const maxBlocks = 2 << 20

// readBlockList reads lines `<sha256> <offset> <length>`, separated by blanks.
// A list of another form is nil: then no place can be named. The error is only
// of reading.
func readBlockList(r io.Reader) (*blockList, error) {
	var b blockList
	ok := true
	err := manifestLines(r, func(_ int64, line string) {
		ok = ok && b.line(line)
	})
	if errors.Is(err, errManifest) {
		return nil, nil
	}
	if err != nil || !ok || len(b.sums) == 0 {
		return nil, err
	}
	return &b, nil
}

func (b *blockList) line(line string) bool {
	words := strings.Fields(line)
	if len(words) != 3 || len(b.sums) >= maxBlocks {
		return false
	}
	d, err := evidence.ParseDigest(words[0])
	off, err1 := strconv.ParseInt(words[1], 10, 64)
	n, err2 := strconv.ParseInt(words[2], 10, 64)
	if err != nil || err1 != nil || err2 != nil || n <= 0 {
		return false
	}
	if len(b.sums) == 0 {
		b.length = n
	} else if b.last != b.length {
		return false // only the last block may be shorter
	}
	if n > b.length || off/b.length != int64(len(b.sums)) || off%b.length != 0 {
		return false
	}
	b.sums, b.last = append(b.sums, d), n
	return true
}

// blockCheck compares a stream with a block list. Blocks of zeros, which holes
// read as, are hashed once.
type blockCheck struct {
	list  *blockList
	h     hash.Hash
	i     int
	in    int64 // bytes in the present block
	zeros int64 // of those, zeros that are not hashed yet: all so far
	diff  int64 // offset of the first block that differs; -1
	none  evidence.Digest
	noneN int64 // length of the block of zeros whose digest none is
}

func newBlockCheck(list *blockList) *blockCheck {
	return &blockCheck{list: list, h: sha256.New(), diff: -1}
}

// zeroPiece is what pieces of a block are compared with.
var zeroPiece [64 << 10]byte

func (b *blockCheck) write(p []byte) {
	for len(p) > 0 && b.diff < 0 {
		if b.i >= len(b.list.sums) {
			b.diff = int64(b.i) * b.list.length // there is more than the list has
			return
		}
		want := b.list.length
		if b.i == len(b.list.sums)-1 {
			want = b.list.last
		}
		n := min(int64(len(p)), want-b.in, int64(len(zeroPiece)))
		if piece := p[:n]; b.zeros == b.in && bytes.Equal(piece, zeroPiece[:n]) {
			b.zeros += n
		} else {
			b.hashZeros()
			b.h.Write(piece)
		}
		p, b.in = p[n:], b.in+n
		if b.in == want {
			b.end()
		}
	}
}

// hashZeros hashes the zeros at the beginning of the present block.
func (b *blockCheck) hashZeros() {
	if b.zeros != b.in {
		return // it was done
	}
	for left := b.zeros; left > 0; left -= min(left, int64(len(zeroPiece))) {
		b.h.Write(zeroPiece[:min(left, int64(len(zeroPiece)))])
	}
	b.zeros = -1
}

func (b *blockCheck) end() {
	var sum evidence.Digest
	if b.zeros == b.in && b.noneN == b.in {
		sum = b.none
	} else {
		none := b.zeros == b.in
		b.hashZeros()
		sum = evidence.Digest(b.h.Sum(nil))
		if none {
			b.none, b.noneN = sum, b.in
		}
	}
	if sum != b.list.sums[b.i] {
		b.diff = int64(b.i) * b.list.length
	}
	b.h.Reset()
	b.i, b.in, b.zeros = b.i+1, 0, 0
}

// finish gives the offset of the first difference; -1 for none.
func (b *blockCheck) finish() int64 {
	if b.diff < 0 && (b.in > 0 || b.i < len(b.list.sums)) {
		b.diff = int64(b.i) * b.list.length // the stream is too short
	}
	return b.diff
}

// hashImage hashes a stream as a whole and, beside it on another core, by
// blocks, while the next piece is read. diff is the offset of the first block
// that differs from the list; -1 for none or no list.
func hashImage(r io.Reader, list *blockList) (d evidence.Digest, diff int64, err error) {
	const piece = 1 << 20
	blocks := newBlockCheck(list)
	whole := sha256.New()
	bufs := [2][]byte{make([]byte, piece), make([]byte, piece)}
	var hashing sync.WaitGroup
	for i := 0; err == nil; i++ {
		buf := bufs[i%len(bufs)]
		var n int
		n, err = io.ReadFull(r, buf)
		hashing.Wait()
		if n == 0 {
			break
		}
		hashing.Go(func() { whole.Write(buf[:n]) })
		if list != nil && blocks.diff < 0 {
			hashing.Go(func() { blocks.write(buf[:n]) })
		}
	}
	hashing.Wait()
	var broken *ReadFailure // what ReadFull itself says only tells the end
	if !errors.As(err, &broken) && (errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)) {
		err = nil
	}
	if list != nil {
		blocks.finish()
	}
	return evidence.Digest(whole.Sum(nil)), blocks.diff, err
}
