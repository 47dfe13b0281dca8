package xfs

import (
	"context"
	"fmt"

	"snapcase/imaging"

	"snapcase/imaging/filesystem/inorder"
)

// OpenDeep is Open for a file system whose Walk also reads all free space, for
// chunks of inodes and blocks of directories that nothing leads to any more.
// That takes as long as reading the free space takes.
func OpenDeep(src imaging.Source) (*FS, error) {
	fs, err := open(src, nil, true)
	if err == nil {
		fs.deep = true
	}
	return fs, err
}

// freePiece is a part of the free space that is read at once, with what a
// directory block that begins in it needs behind it.
type freePiece struct {
	ag    uint32
	block uint64
	size  int64
}

// strays is what a piece of free space has: inodes, and names by directory.
type strays struct {
	inodes []uint64
	blocks []strayBlock
}

type strayBlock struct {
	owner uint64
	p     []byte
}

// sweepFree looks through the free space when the walk is to be deep.
func (x *index) sweepFree(ctx context.Context) error {
	if !x.fs.deep {
		return nil
	}
	var pieces []freePiece
	bs := uint64(x.fs.sb.blockSize)
	for ag := range x.fs.groups {
		free, err := x.space.of(uint32(ag))
		if err != nil {
			return err
		}
		for _, e := range free {
			for at, left := uint64(e.start), uint64(e.n); left > 0; {
				n := min(left, spanBytes/bs)
				if x.fs.offset(uint32(ag), at) >= x.fs.src.Size() {
					break
				}
				pieces = append(pieces, freePiece{uint32(ag), at, int64(n * bs)})
				at, left = at+n, left-n
			}
		}
	}
	bufs := make([][]byte, inorder.Workers())
	return inorder.Do(ctx, len(pieces), func(w, i int) (strays, error) {
		if bufs[w] == nil {
			bufs[w] = make([]byte, spanBytes+65536)
		}
		return x.fs.strays(&pieces[i], bufs[w])
	}, func(_ int, s strays) error {
		x.swept = append(x.swept, s.inodes...)
		for _, b := range s.blocks {
			dir, ok := x.dirOf(b.owner)
			if !ok {
				dir = x.addGone(b.owner)
			}
			f := new(found)
			x.reader(f, dir, nameStray).block(b.p)
			x.merge(f)
		}
		return nil
	})
}

// strays reads a piece of free space.
func (fs *FS) strays(piece *freePiece, buf []byte) (found strays, err error) {
	s := &fs.sb
	n, err := fs.read(buf[:piece.size+s.dirBlock-s.blockSize], fs.offset(piece.ag, piece.block))
	if err != nil {
		return found, fmt.Errorf("free space of group %d: %w", piece.ag, err)
	}
	p := buf[:n]
	for at := int64(0); at < piece.size && at+s.blockSize <= int64(n); at += s.blockSize {
		block := p[at:]
		agbno := piece.block + uint64(at/s.blockSize)
		switch {
		case block[0] == 'I' && block[1] == 'N':
			if ino := s.inodeNumber(piece.ag, uint32(agbno<<s.inopblog)); fs.strayInode(ino, inode(block[:s.inodeSize])) {
				found.inodes = append(found.inodes, ino)
			}
		case s.crc() && int64(len(block)) >= s.dirBlock && isDirBlock(block):
			block = block[:s.dirBlock]
			place := uint64(fs.offset(piece.ag, agbno)) / basic
			owner := be.Uint64(block[40:])
			if _, _, ok := s.splitInode(owner); ok && be.Uint64(block[8:]) == place && [16]byte(block[24:40]) == s.uuid && crcGood(block, 4) {
				found.blocks = append(found.blocks, strayBlock{owner, append([]byte(nil), block...)})
			}
		}
	}
	return found, nil
}
