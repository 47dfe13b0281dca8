package xfs

import (
	"bytes"
	"context"
	"fmt"
	"slices"

	"snapcase/imaging/filesystem"
)

// maxRounds bounds how deep below one another deleted directories are followed.
const maxRounds = 64

// loadPast adds the names that the log has and the directories no longer, and
// the directories that are gone.
func (x *index) loadPast(ctx context.Context) error {
	var last uint64
	var dir uint32
	known := false
	key := func(dir, ino uint64, text []byte) string { return fmt.Sprintf("%x %x %s", dir, ino, text) }
	lost := make(map[string]struct{}) // names whose inode has no chunk
	for _, l := range x.lost {
		n := x.names.at(l.name)
		lost[key(x.dirs[n.dir].ino, l.ino, n.text)] = struct{}{}
	}
	h, err := x.fs.readPast(ctx, func(n oldName) {
		if !known || n.dir != last {
			if dir, known = x.dirOf(n.dir); !known {
				dir, known = x.addGone(n.dir), true
			}
			last = n.dir
		}
		if _, _, ok := x.find(n.ino); !ok {
			k := key(n.dir, n.ino, n.text)
			if _, again := lost[k]; again {
				return
			}
			lost[k] = struct{}{}
		}
		x.addNew(foundName{ino: n.ino, dir: dir, size: uint8(len(n.text)), ftype: n.ftype, flags: nameLog}, n.text)
	})
	if err != nil {
		return err
	}
	x.past = h
	x.fs.pastMutex.Lock()
	x.fs.pastKept = h
	x.fs.pastMutex.Unlock()
	return x.goneDirs(ctx)
}

// newest is how many of an inode's names are compared with one from the log.
const newest = 64

// addNew adds a name unless the inode has it already in that directory. Of an
// inode with very many names not all are compared: what is there twice then is
// left out when the inode is given out.
func (x *index) addNew(e foundName, text []byte) {
	if k, i, ok := x.find(e.ino); ok && x.chunks[k].heads != nil {
		for at, tries := x.chunks[k].heads[i], 0; at != 0 && tries < newest; tries++ {
			n := x.names.at(at - 1)
			if n.dir == e.dir && bytes.Equal(n.text, text) {
				return
			}
			at = n.next
		}
	}
	x.addName(e, text)
}

// addGone adds a directory that is no longer one.
func (x *index) addGone(ino uint64) uint32 {
	n := uint32(len(x.dirs))
	x.dirs = append(x.dirs, dir{ino: ino, flags: dirDeleted})
	x.gone[ino] = n
	return n
}

// goneDirs reads the blocks of deleted directories where their place is known
// from the freed inode or from the log, and goes on with the directories that
// their names lead to.
func (x *index) goneDirs(ctx context.Context) error {
	done := make(map[uint64]struct{})
	m := &blockMap{fs: x.fs, spend: x.spend}
	for range maxRounds {
		if err := x.probeChunks(ctx); err != nil {
			return err
		}
		todo := x.goneInodes(done)
		if len(todo) == 0 {
			return nil
		}
		for _, ino := range todo {
			done[ino] = struct{}{}
			if err := x.goneDir(ino, m); err != nil {
				return err
			}
		}
		if err := x.readNames(ctx); err != nil {
			return err
		}
	}
	return nil
}

// goneInodes lists inodes that are free and were directories according to a
// deleted name or the log.
func (x *index) goneInodes(done map[uint64]struct{}) []uint64 {
	var todo []uint64
	add := func(ino uint64) {
		if _, again := done[ino]; again {
			return
		}
		if k, i, ok := x.find(ino); ok && x.chunks[k].free&(1<<i) != 0 {
			todo = append(todo, ino)
		}
	}
	for k := range x.chunks {
		c := &x.chunks[k]
		for i, head := range c.heads {
			if head == 0 || c.free&(1<<i) == 0 {
				continue
			}
			for at := head; at != 0; at = x.names.at(at - 1).next {
				if n := x.names.at(at - 1); n.flags != 0 && fileKind(n.ftype) == filesystem.TypeDir {
					add(x.fs.sb.inodeNumber(c.ag, c.start+uint32(i)))
					break
				}
			}
		}
	}
	for _, ino := range x.strayDirs {
		add(ino)
	}
	for ino, list := range x.past.inodes {
		for i := range list {
			if list[i].raw.kind() == filesystem.TypeDir {
				add(ino)
				break
			}
		}
	}
	slices.Sort(todo)
	return slices.Compact(todo)
}

// goneDir notes where the blocks of a deleted directory were.
func (x *index) goneDir(ino uint64, m *blockMap) error {
	ag, agino, _ := x.fs.sb.splitInode(ino)
	in := make(inode, x.fs.sb.inodeSize)
	n, err := x.fs.read(in, x.fs.inodePlace(ag, agino))
	k, _, known := x.find(ino)
	if err != nil || n < len(in) || !known {
		return err
	}
	stray := x.chunks[k].origin == chunkNamed && in.kind() == filesystem.TypeDir
	if !freed(in) && !stray {
		return nil
	}
	dir, ok := x.dirOf(ino)
	if !ok {
		dir = x.addGone(ino)
	}
	if x.dirs[dir].flags&dirDeleted == 0 {
		return nil
	}
	if stray {
		return x.strayDir(ino, in, dir, m)
	}
	x.staleShort(in, dir)
	for i := range x.past.inodes[ino] {
		o := &x.past.inodes[ino][i]
		if o.raw.kind() != filesystem.TypeDir || o.raw.kindless() || !o.whole {
			continue
		}
		if err := m.load(ino, o.raw); err != nil {
			return err
		}
		x.addRuns(m.runs, dir)
	}
	if err := m.residual(ino, in); err != nil {
		return err
	}
	x.addRuns(m.runs, dir)
	delete(x.damage, dir) // what is missing of it is no surprise
	return nil
}

// strayDir takes the names of a directory whose inode stands in a freed chunk
// as it was.
func (x *index) strayDir(ino uint64, in inode, dir uint32, m *blockMap) error {
	if in.format() == formatLocal {
		x.short = append(x.short, shortDir{dir, append(inode(nil), in...)})
		return nil
	}
	if err := m.load(ino, in); err != nil {
		return err
	}
	x.addRuns(m.runs, dir)
	delete(x.damage, dir)
	return nil
}

// staleShort takes names from the fork of a freed inode that was a directory
// within its inode: an empty one leaves a header of six bytes and behind it
// what stood there before.
func (x *index) staleShort(in inode, dir uint32) {
	p := in[in.core():]
	if p[0] != 0 || p[1] != 0 {
		return
	}
	if _, _, ok := x.fs.sb.splitInode(uint64(be.Uint32(p[2:]))); !ok {
		return
	}
	f := new(found)
	x.reader(f, dir, 0).shortSlack(p, 6, 4, nameResidual)
	x.merge(f)
}
