package acquire

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"slices"

	"snapcase/evidence"
	"snapcase/imaging/image"
	"snapcase/imaging/image/zst"
)

const (
	formatRaw = "raw"
	formatZst = "zst"
	// packedInFlight is how many blocks are in memory while they are packed,
	// each with its frames: 64 MiB.
	packedInFlight = 8
)

// packer writes the copy in the seekable zstd format. Frames are made by
// several goroutines; only the one that keeps the journal appends.
type packer struct {
	enc   *zst.Encoder
	out   *imageFile
	at    int64 // bytes of the file so far
	sum   hash.Hash
	table zst.Table
}

func newPacker(out *imageFile) (*packer, error) {
	enc, err := zst.NewEncoder()
	if err != nil {
		return nil, err
	}
	return &packer{enc: enc, out: out, sum: sha256.New()}, nil
}

// pack makes the frames of a block.
func (p *packer) pack(b *block) {
	b.table = zst.Table{}
	b.packed = p.enc.Frames(b.packed[:0], b.data, &b.table)
}

// append writes the frames of the block whose turn it is, unless they stand in
// the file already.
func (p *packer) append(b *block) error {
	if !b.kept {
		if _, err := p.out.plain.WriteAt(b.packed, p.at); err != nil {
			return fmt.Errorf("write block %d: %w", b.n, err)
		}
	}
	p.sum.Write(b.packed)
	p.table.Append(b.table)
	p.at += int64(len(b.packed))
	return nil
}

// finish writes the seek table behind the frames.
func (p *packer) finish() (*evidence.Packed, error) {
	tail, err := p.table.Bytes()
	if err != nil {
		return nil, err
	}
	if _, err := p.out.plain.WriteAt(tail, p.at); err != nil {
		return nil, fmt.Errorf("write the seek table: %w", err)
	}
	p.sum.Write(tail)
	return &evidence.Packed{Format: formatZst, File: packedName, Bytes: p.at + int64(len(tail)), SHA256: evidence.Digest(p.sum.Sum(nil))}, p.enc.Close()
}

// loadPacked reads the frames of block b from the copy and unpacks them.
func (k *keptBlocks) loadPacked(out *imageFile, b *block, want *keptBlock) bool {
	n := want.packedSize()
	if n <= 0 || n > 2*blockSize {
		return false
	}
	b.packed = slices.Grow(b.packed[:0], int(n))[:n]
	if got, _ := out.plain.ReadAt(b.packed, want.packedAt); int64(got) != n {
		return false
	}
	b.table = zst.Table{}
	rest, plain := b.packed, b.data
	for _, size := range want.Frames {
		m := min(len(plain), zst.FrameSize)
		if size < 4 || size > int64(len(rest)) || zst.Unpack(plain[:m], rest[:size]) != nil {
			return false
		}
		b.table.Add(rest[:size], int64(m))
		rest, plain = rest[size:], plain[m:]
	}
	return len(plain) == 0 && sha256.Sum256(b.data) == want.SHA256
}

// packedSize is how long the frames of a block are; negative where a length
// makes no sense, 0 where it is not packed.
func (b *blockLine) packedSize() int64 {
	var n int64
	for _, size := range b.Frames {
		if size < 0 || size > 2*blockSize {
			return -1
		}
		n += size
	}
	return n
}

// checkFormat makes "" of the usual format and refuses one that is not known.
func (j *Job) checkFormat() error {
	switch j.Format {
	case "", formatRaw:
		j.Format = ""
	case formatZst:
	default:
		return evidence.WithHint(fmt.Errorf("format %q: %w", j.Format, evidence.ErrUsage), "formats are raw and zst")
	}
	return nil
}

// copyName is what the sealed copy is called.
func (x *exhibit) copyName() string {
	if x.head.Format == formatZst {
		return packedName
	}
	return imageName
}

// packedDigest is the SHA-256 of what a packed copy holds, after the file
// itself was compared with its own.
func (x *exhibit) packedDigest(a *evidence.Acquisition) (d evidence.Digest, err error) {
	if a.Packed.File != packedName {
		return d, fmt.Errorf("the copy is called %q: %w", a.Packed.File, evidence.ErrBroken)
	}
	sum, err := fileDigest(x.path(packedName))
	if err != nil {
		return d, err
	}
	if sum != a.Packed.SHA256 {
		return d, fmt.Errorf("%s: %w", packedName, evidence.ErrBroken)
	}
	st, err := os.Lstat(x.path(packedName))
	if err != nil || !st.Mode().IsRegular() {
		return d, errors.Join(err, evidence.ErrBroken)
	}
	src, err := image.OpenPacked(x.path(packedName))
	if err != nil {
		return d, err
	}
	defer src.Close() //nolint:errcheck // read-only
	h := sha256.New()
	_, err = io.CopyBuffer(h, io.NewSectionReader(src, 0, src.Size()), make([]byte, 1<<20))
	return evidence.Digest(h.Sum(nil)), err
}
