package acquire

import (
	"crypto/sha256"
	"errors"
	"fmt"

	"snapcase/evidence"
)

// keptBlocks are the blocks that the journal says are on disk.
type keptBlocks struct {
	blocks []keptBlock
	cutAt  int64 // of the journal: what lies behind is not believed
	ended  bool
}

type keptBlock struct {
	sum    evidence.Digest
	length int64
	errs   []errorLine
	at     int64 // of the journal: where its lines begin
	// frames and packedAt say where it lies in a copy that is packed.
	frames   []int64
	packedAt int64
}

func (k *keptBlocks) bytes() int64 {
	var n int64
	for i := range k.blocks {
		n += k.blocks[i].length
	}
	return n
}

// packedBytes is how much of a packed copy the blocks take.
func (k *keptBlocks) packedBytes() int64 {
	if len(k.blocks) == 0 {
		return 0
	}
	last := &k.blocks[len(k.blocks)-1]
	return last.packedAt + last.packedSize()
}

// keptBlocks reads the journal of an image of size bytes.
func (x *exhibit) keptBlocks(size int64) (*keptBlocks, error) {
	k := &keptBlocks{}
	var errs []errorLine
	var off, packedAt int64
	err := x.log.read(func(e entry, end int64) bool {
		switch {
		case k.cutAt == 0:
			k.cutAt = end
			return e.Header != nil
		case e.Error != nil:
			errs = append(errs, *e.Error)
			return true
		case e.Block == nil || e.Block.N != int64(len(k.blocks)) || off >= size || e.Block.Length != min(blockSize, size-off):
			return false
		}
		b := keptBlock{sum: e.Block.SHA256, length: e.Block.Length, errs: errs, at: k.cutAt, frames: e.Block.Frames, packedAt: packedAt}
		n := b.packedSize()
		if n < 0 || (n == 0) == (x.head.Format == formatZst) {
			return false
		}
		k.blocks = append(k.blocks, b)
		off, packedAt, k.cutAt, errs = off+e.Block.Length, packedAt+n, end, nil
		return true
	})
	if err != nil {
		return nil, err
	}
	return k, x.log.cut(k.cutAt)
}

// load reads block b from the copy, if the journal has it and its bytes have
// their digest. The first that does not ends what is kept: it and all behind it
// are dropped from copy and journal, to be read from the source again.
func (k *keptBlocks) load(out *imageFile, l *journal, b *block) (bool, error) {
	if k.ended || b.n >= int64(len(k.blocks)) {
		return false, nil
	}
	want := &k.blocks[b.n]
	cut := b.off
	whole := false
	if packed := len(want.frames) > 0; packed {
		cut, whole = want.packedAt, k.loadPacked(out, b)
	} else {
		n, _ := out.plain.ReadAt(b.data, b.off)
		whole = n == len(b.data) && sha256.Sum256(b.data) == want.sum
	}
	if whole {
		b.sum, b.errs = want.sum, want.errs
		return true, nil
	}
	k.ended = true
	st, err := out.plain.Stat()
	if err == nil {
		// Nobody writes now: blocks before this one were kept.
		err = errors.Join(out.plain.Truncate(cut), l.cut(want.at))
		if len(want.frames) == 0 {
			err = errors.Join(err, out.plain.Truncate(st.Size()))
		}
	}
	if err != nil {
		return false, fmt.Errorf("drop what is damaged of the copy: %w", err)
	}
	return false, nil
}
