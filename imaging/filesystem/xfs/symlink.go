package xfs

import (
	"bytes"
	"fmt"
)

const (
	magicLink  = 0x58534c4d // XSLM
	linkHeader = 56
)

// target reads the target of a symbolic link from its blocks. In version 5
// each piece has a header with its length and place; a piece is an extent, or
// where extents were joined less than one. A target without header, which some
// versions of mkfs wrote and the kernel refuses, is given with its damage.
func (fs *FS) target(ino uint64, size int64, runs []run) (text []byte, damage string, err error) {
	l := linkReader{fs: fs, ino: ino, size: int(size)}
	for i, r := range runs {
		if len(l.text) >= l.size || i >= maxPieces {
			break
		}
		if err := l.piece(r); err != nil {
			return l.text, l.damage, err
		}
	}
	if len(l.text) < l.size {
		l.note("truncated: %d of %d bytes of the link's target were found", len(l.text), size)
	}
	return l.text, l.damage, nil
}

// maxPieces is how many extents of a link are read: the longest target needs
// three blocks of 512 bytes.
const maxPieces = 4

// linkReader collects the target of one link.
type linkReader struct {
	fs     *FS
	ino    uint64
	size   int
	text   []byte
	damage string
}

func (l *linkReader) note(format string, args ...any) {
	if l.damage == "" {
		l.damage = fmt.Sprintf(format, args...)
	}
}

// piece takes what one extent has of the target.
func (l *linkReader) piece(r run) error {
	bs := l.fs.sb.blockSize
	// no target needs more than this, however long the extent is
	p := make([]byte, min(int64(r.n)*bs, maxTarget+maxPieces*linkHeader+bs))
	have, err := l.fs.read(p, int64(r.block())*bs)
	if err != nil {
		return err
	}
	if have < len(p) {
		l.note("truncated: the target of the link lies outside the image")
	}
	left := l.size - len(l.text)
	switch {
	case !l.fs.sb.crc():
		l.text = append(l.text, p[:min(len(p), left)]...)
		return nil
	case be.Uint32(p) != magicLink && len(p) >= left && bytes.IndexByte(p[:left], 0) < 0:
		l.note("range: the target of the link has no header")
		l.text = append(l.text, p[:left]...)
		return nil
	}
	for len(p) >= linkHeader && len(l.text) < l.size && be.Uint32(p) == magicLink {
		n := l.headed(p, int(min(int64(r.n)*bs, int64(len(p)))))
		if n == 0 {
			return nil
		}
		p = p[n:]
	}
	return nil
}

// headed takes a piece with a header and says how long it is with all; whole
// is the length that the checksum may cover instead.
func (l *linkReader) headed(p []byte, whole int) int {
	used, bs := int(be.Uint32(p[8:])), int(l.fs.sb.blockSize)
	if used == 0 || used > len(p)-linkHeader || used > l.size-len(l.text) || int(be.Uint32(p[4:])) != len(l.text) {
		return 0
	}
	if owner := be.Uint64(p[32:]); owner != l.ino {
		l.note("overlap: the target of the link belongs to inode %d", owner)
	}
	l.text = append(l.text, p[linkHeader:linkHeader+used]...)
	span := min((linkHeader+used+bs-1)/bs*bs, len(p))
	if !crcGood(p[:span], 12) && !crcGood(p[:min(len(p), whole)], 12) {
		l.note("csum: the target of the link does not match its checksum")
	}
	return span
}
