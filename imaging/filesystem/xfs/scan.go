package xfs

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"snapcase/imaging/filesystem"
	"snapcase/imaging/filesystem/inorder"
)

// index is what one walk keeps in memory.
type index struct {
	chunkTable
	dirs      []dir // by inode up to found, then those that are gone
	found     int
	runs      []dirRun
	scattered []scatteredBlock
	short     []shortDir
	names     nameTable
	space     *freeSpace
	lost      []lostName
	unlinked  map[uint64]struct{}
	damage    map[uint32]string // of directories, by number
	spend     *budget
	past      *history
	strayDirs []uint64            // directories in chunks that were freed
	swept     []uint64            // inodes found in free space
	probed    map[uint64]struct{} // where chunks were looked for
	gone      map[uint64]uint32   // deleted directories that the scan did not find, by inode
}

// dir is a directory, live or deleted.
type dir struct {
	ino    uint64
	dotdot uint64
	first  uint32 // its name that leads to the root, plus one
	flags  uint8
}

const (
	dirDeleted  = 1 << iota // the inode is free
	dirRooted               // its names lead to the root
	dirResolved             // paths know it
	dirBroken               // its path starts at itself: a loop or too deep
	dirClimbing             // on the way up now
)

// dirRun is consecutive blocks of a directory, whole directory blocks.
type dirRun struct {
	phys uint64
	at   uint64 // block of the directory
	n    uint32 // blocks, not directory blocks
	dir  uint32
}

// scatteredBlock is a directory block whose parts lie apart.
type scatteredBlock struct {
	at   uint64
	phys []uint64
	dir  uint32
}

type shortDir struct {
	dir uint32
	raw inode
}

// rawDir is a directory inode found in a chunk.
type rawDir struct {
	ino uint64
	raw inode
}

func (fs *FS) newIndex() *index {
	return &index{
		chunkTable: chunkTable{fs: fs}, unlinked: make(map[uint64]struct{}), damage: make(map[uint32]string),
		space: fs.newFreeSpace(), spend: fs.newBudget(), gone: make(map[uint64]uint32),
		probed: make(map[uint64]struct{}),
	}
}

// scan reads all chunks of inodes and collects the directories.
func (x *index) scan(ctx context.Context) error {
	list := x.stretches()
	bufs := make([][]byte, inorder.Workers())
	m := &blockMap{fs: x.fs, spend: x.spend}
	err := inorder.Do(ctx, len(list), func(w, i int) ([]rawDir, error) {
		p, have, err := x.readStretch(&list[i], &bufs[w])
		if err != nil {
			return nil, err
		}
		var dirs []rawDir
		x.inodes(&list[i], p[:have], func(ino uint64, _ *chunk, _ int, in inode) {
			if in.magic() && in.kind() == filesystem.TypeDir {
				dirs = append(dirs, rawDir{ino, append(inode(nil), in...)})
			}
		})
		return dirs, nil
	}, func(_ int, dirs []rawDir) error {
		for _, d := range dirs {
			if err := x.addDir(d, m); err != nil {
				return err
			}
		}
		return nil
	})
	x.found = len(x.dirs)
	return err
}

// readStretch reads a stretch into buf, which grows as needed, and says how
// many bytes of it the image has.
func (x *index) readStretch(s *stretch, buf *[]byte) (p []byte, have int, err error) {
	if cap(*buf) < s.size {
		*buf = make([]byte, max(s.size, min(2*cap(*buf), stretchBytes)))
	}
	p = (*buf)[:s.size]
	have, err = x.fs.read(p, s.off)
	return p, have, err
}

// inodes calls use for every inode of the stretch that p has.
func (x *index) inodes(s *stretch, p []byte, use func(ino uint64, c *chunk, i int, in inode)) {
	size := x.fs.sb.inodeSize
	for k := s.first; k < s.first+s.n; k++ {
		c := &x.chunks[k]
		base := int(x.fs.inodePlace(c.ag, c.start) - s.off)
		for i := range chunkInodes {
			at := base + i*size
			if c.holes&(1<<i) != 0 || at+size > len(p) {
				continue
			}
			use(x.fs.sb.inodeNumber(c.ag, c.start+uint32(i)), c, i, inode(p[at:at+size:at+size]))
		}
	}
}

// addDir notes where the blocks of a directory are.
func (x *index) addDir(r rawDir, m *blockMap) error {
	n := uint32(len(x.dirs))
	x.dirs = append(x.dirs, dir{ino: r.ino})
	if r.raw.format() == formatLocal {
		x.short = append(x.short, shortDir{n, r.raw})
		return nil
	}
	if err := m.load(r.ino, r.raw); err != nil {
		return err
	}
	if m.damage != "" {
		x.noteDir(n, "%s", m.damage)
	}
	x.addRuns(m.runs, n)
	return nil
}

// dataSpace is how many bytes of a directory's content hold entries; behind
// them lie its indexes.
const dataSpace = 32 << 30

// addRuns cuts the runs of a directory into directory blocks.
func (x *index) addRuns(runs []run, n uint32) {
	per := uint64(x.fs.sb.dirBlock / x.fs.sb.blockSize)
	limit := uint64(dataSpace / x.fs.sb.blockSize)
	image := uint64(x.fs.imageBlocks())
	var part scatteredBlock
	for _, r := range runs {
		at, phys, left := r.at, r.block(), uint64(r.n)
		if at >= limit || r.unwritten() {
			continue
		}
		left = min(left, limit-at)
		if phys >= image || left > image-phys {
			x.noteDir(n, "truncated: block %d of the directory (%d of the volume) lies outside the image", at, phys)
			left = image - min(phys, image)
		}
		if len(x.runs)+len(x.scattered) > int(image)*maxClaims+64 {
			x.noteDir(n, "partial: directories have more pieces than the image has blocks; the rest of this one is left out")
			return
		}
		for left > 0 {
			if len(part.phys) > 0 && at != part.at+uint64(len(part.phys)) {
				x.noteDir(n, "partial: block %d of the directory is incomplete", part.at)
				part.phys = nil
			}
			if len(part.phys) == 0 && at%per == 0 && left >= per {
				whole := left - left%per
				x.runs = append(x.runs, dirRun{phys: phys, at: at, n: uint32(whole), dir: n})
				at, phys, left = at+whole, phys+whole, left-whole
				continue
			}
			if len(part.phys) == 0 {
				part = scatteredBlock{at: at, dir: n}
			}
			part.phys = append(part.phys, phys)
			at, phys, left = at+1, phys+1, left-1
			if at%per == 0 {
				if part.at%per == 0 {
					x.scattered = append(x.scattered, part)
				} else {
					x.noteDir(n, "partial: block %d of the directory is incomplete", part.at)
				}
				part.phys = nil
			}
		}
	}
	if len(part.phys) > 0 {
		x.noteDir(n, "partial: block %d of the directory is incomplete", part.at)
	}
}

func (x *index) noteDir(n uint32, format string, args ...any) {
	if x.damage[n] == "" {
		x.damage[n] = fmt.Sprintf(format, args...)
	}
}

// dirOf gives the number of the directory with an inode number.
func (x *index) dirOf(ino uint64) (uint32, bool) {
	n, ok := slices.BinarySearchFunc(x.dirs[:x.found], ino, func(d dir, ino uint64) int { return cmp.Compare(d.ino, ino) })
	if !ok {
		n, ok := x.gone[ino]
		return n, ok
	}
	return uint32(n), true
}

// errEnough ends a walk whose consumer has left.
var errEnough = errors.New("the consumer left")
