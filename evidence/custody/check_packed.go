package custody

import (
	"crypto/sha256"
	"errors"
	"io"

	"github.com/klauspost/compress/zstd"

	"snapcase/evidence"
)

const (
	imageFile  = "image.raw"
	packedFile = "image.raw.zst" // the same bytes, packed
	// mostUnpacked bounds what is unpacked where no list of blocks says how
	// many bytes there are: a small file can claim to hold any number.
	mostUnpacked = 64 << 40
)

// packedImage hashes a packed image as it is and, in the same pass, what it
// unpacks to; diff is the offset of the first block of that which differs from
// the list. What cannot be unpacked has the digest of what came before.
func (c *Checker) packedImage(exhibit string, in *counted) (packed, raw evidence.Digest, diff int64, err error) {
	h := sha256.New()
	tee := io.TeeReader(in, h)
	list, most := c.blocks[exhibit], int64(mostUnpacked)
	if list != nil {
		most = int64(len(list.sums)) * list.length
	}
	d, err := zstd.NewReader(tee, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(128<<20))
	if err != nil {
		return packed, raw, -1, err
	}
	raw, diff, err = hashImage(io.LimitReader(d, most+1), list)
	d.Close()
	var broken *ReadFailure
	if errors.As(err, &broken) || evidence.Canceled(err) {
		return packed, raw, diff, err
	}
	if err != nil {
		raw = evidence.Digest{} // it is damaged, and what came before is not all
	}
	_, err = copyWide(h, in)
	return evidence.Digest(h.Sum(nil)), raw, diff, err
}

// comparePacked checks what a packed image unpacks to, where the file itself
// is what the ledger says.
func (c *Checker) comparePacked(name, want string, located bool) {
	s := c.sums[name]
	if s == nil || s.bad || s.raw.String() == want {
		return
	}
	if located && s.diff >= 0 {
		c.failAt(c.hashCode(), name, want+" unpacked", s.raw.String(), s.diff)
	} else {
		c.fail(c.hashCode(), name, want+" unpacked", s.raw.String())
	}
	s.bad = true
}
