package xfs

import "fmt"

const (
	magicLink  = 0x58534c4d // XSLM
	linkHeader = 56
)

// target reads the target of a symbolic link from its blocks. In version 5
// each piece has a header with its length and place; a piece is an extent, or
// where extents were joined less than one.
func (fs *FS) target(ino uint64, size int64, runs []run) (text []byte, damage string, err error) {
	note := func(format string, args ...any) {
		if damage == "" {
			damage = fmt.Sprintf(format, args...)
		}
	}
	for _, r := range runs {
		if int64(len(text)) >= size {
			break
		}
		// no target needs more than this, however long the extent is
		n := min(int64(r.n)*fs.sb.blockSize, 8*(maxTarget+linkHeader+fs.sb.blockSize))
		p := make([]byte, n)
		have, err := fs.read(p, int64(r.block())*fs.sb.blockSize)
		if err != nil {
			return text, damage, err
		}
		if have < len(p) {
			note("truncated: the target of the link lies outside the image")
		}
		if !fs.sb.crc() {
			text = append(text, p[:min(n, size-int64(len(text)))]...)
			continue
		}
		for len(p) >= linkHeader && int64(len(text)) < size {
			if be.Uint32(p) != magicLink {
				break
			}
			used := int(be.Uint32(p[8:]))
			if used == 0 || used > len(p)-linkHeader || used > int(size)-len(text) || int(be.Uint32(p[4:])) != len(text) {
				break
			}
			if owner := be.Uint64(p[32:]); owner != ino {
				note("overlap: the target of the link belongs to inode %d", owner)
			}
			text = append(text, p[linkHeader:linkHeader+used]...)
			span := (linkHeader + used + int(fs.sb.blockSize) - 1) / int(fs.sb.blockSize) * int(fs.sb.blockSize)
			if !crcGood(p[:span], 12) && !crcGood(p[:min(len(p), int(r.n)*int(fs.sb.blockSize))], 12) {
				note("csum: the target of the link does not match its checksum")
			}
			p = p[span:]
		}
	}
	if int64(len(text)) < size {
		note("truncated: %d of %d bytes of the link's target were found", len(text), size)
	}
	return text, damage, nil
}
