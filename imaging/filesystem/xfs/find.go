package xfs

import (
	"errors"
	"fmt"
	"io"

	"snapcase/imaging"
)

const (
	magicAGF = 0x58414746
	magicAGI = 0x58414749
	magicAFL = 0x5841464c
	// superRead is how much is read where a superblock may be: the largest
	// sector.
	superRead = 32768
)

// Probe says whether src begins with an XFS file system. Where the primary
// superblock is bad it looks at a few places where a copy would be.
func Probe(src imaging.Source) bool {
	s, _, err := nearSuper(src)
	return err == nil && s.raw != nil
}

// readSuper reads the superblock at off.
func readSuper(src imaging.Source, off int64) (superblock, string, error) {
	p := make([]byte, superRead)
	n, err := readZero(src, p, off)
	if err != nil {
		return superblock{}, "", err
	}
	s, why := parseSuper(p[:n], off)
	return s, why, nil
}

// nearSuper reads the primary superblock, or a copy where groups would begin:
// the header of the first group, which stands behind the superblock, has the
// length of a group; else mkfs cuts a volume into a few equal groups. A
// primary that fails its checksum loses against a copy that does not.
func nearSuper(src imaging.Source) (superblock, string, error) {
	primary, why, err := readSuper(src, 0)
	if err != nil || why == "" && primary.checksumGood() {
		return primary, why, err
	}
	var tries []int64
	if why == "" {
		tries = append(tries, int64(primary.groupSize)*primary.blockSize)
	}
	head := make([]byte, 16384)
	if _, err := readZero(src, head, 0); err != nil {
		return primary, "", err
	}
	for sector := 512; sector <= 4096; sector *= 2 {
		if p := head[sector:]; be.Uint32(p) == magicAGF {
			for bs := int64(512); bs <= 65536; bs *= 2 {
				tries = append(tries, int64(be.Uint32(p[12:]))*bs)
			}
		}
	}
	for bs := int64(4096); bs >= 512; bs /= 2 {
		blocks := src.Size() / bs
		for n := int64(2); n <= 64; n++ {
			tries = append(tries, (blocks+n-1)/n*bs, blocks/n*bs)
			if bs < 4096 && n == 4 {
				break
			}
		}
	}
	for _, off := range tries {
		if off < minGroup || off+minSuper > src.Size() {
			continue
		}
		s, bad, err := readSuper(src, off)
		if err != nil {
			return s, "", err
		}
		if bad == "" && s.placed(off) && s.checksumGood() {
			return s, "", nil
		}
	}
	return primary, why, nil
}

// placed says that a copy of a superblock may stand at off.
func (s *superblock) placed(off int64) bool {
	size := int64(s.groupSize) * s.blockSize
	return off%size == 0 && off/size < int64(s.groups)
}

// findSuper is nearSuper, then a search through the whole source.
func findSuper(src imaging.Source) (superblock, error) {
	s, why, err := nearSuper(src)
	if err != nil {
		return s, err
	}
	if why == "" {
		return s, nil
	}
	buf := make([]byte, 4<<20)
	for off := int64(0); off < src.Size(); off += int64(len(buf)) {
		n, err := readZero(src, buf, off)
		if err != nil {
			return s, err
		}
		for i := 0; i+minSuper <= n; i += 512 {
			if be.Uint32(buf[i:]) != magicSuper || off+int64(i) < minGroup {
				continue
			}
			c, bad, err := readSuper(src, off+int64(i))
			if err != nil {
				return c, err
			}
			if bad == "" && c.placed(off+int64(i)) {
				return c, nil
			}
		}
	}
	return s, notSuper(why)
}

// readZero fills p from off and gives zeros for what lies outside the source;
// n is how many bytes the source had. An error is a failure of the source.
func readZero(src imaging.Source, p []byte, off int64) (n int, err error) {
	if off >= 0 && off < src.Size() {
		n, err = src.ReadAt(p, off)
		if err != nil && !errors.Is(err, io.EOF) {
			return n, fmt.Errorf("read %d bytes at %d: %w", len(p), off, err)
		}
	}
	clear(p[n:])
	return n, nil
}
