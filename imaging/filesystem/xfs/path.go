package xfs

import (
	"strconv"

	"snapcase/imaging/filesystem"
)

const (
	// maxPath and maxDepth bound a path: a chain of a million directories with
	// long names would make paths of gigabytes. What lies deeper is given
	// below "/$Orphan/#inode" of the directory where the limit was met.
	maxPath  = 32 << 10
	maxDepth = 4096
	// pathCache is how many bytes of directory paths are kept.
	pathCache = 8 << 20
)

// resolve finds the one name by which each directory is reached, and cuts
// loops: a directory in a loop with the lowest number starts a path itself.
func (x *index) resolve() {
	for i := range x.dirs {
		x.dirs[i].first = x.mainName(uint32(i))
	}
	lengths, depths := make([]uint16, len(x.dirs)), make([]uint16, len(x.dirs))
	var stack []uint32
	for i := range x.dirs {
		for x.dirs[i].flags&dirResolved == 0 {
			stack = x.climb(uint32(i), stack[:0])
			for k := len(stack) - 1; k >= 0; k-- {
				x.settle(stack[k], lengths, depths)
			}
		}
	}
}

// mainName gives the number plus one of the name that a directory's path goes
// by: a live one, best in the directory that its ".." names; for a deleted
// directory any.
func (x *index) mainName(d uint32) uint32 {
	dir := &x.dirs[d]
	if dir.ino == x.fs.sb.root {
		return 0
	}
	k, i, ok := x.find(dir.ino)
	if !ok || x.chunks[k].heads == nil {
		return 0
	}
	var best uint32
	score := 0
	for at := x.chunks[k].heads[i]; at != 0; {
		n := x.names.at(at - 1)
		s := 1
		switch {
		case dir.flags&dirDeleted != 0:
			if n.flags == 0 || n.ftype != 0 && fileKind(n.ftype) != filesystem.TypeDir {
				s = 0
			}
		case n.flags == 0:
			s = 3
			if x.dirs[n.dir].ino == dir.dotdot {
				s = 4
			}
		case n.flags&nameSalvaged != 0 && x.dirs[n.dir].ino == dir.dotdot:
			s = 2
		case n.flags&nameSalvaged == 0:
			s = 0
		}
		if s >= score && s > 0 { // the chain runs from the last name to the first
			best, score = at, s
		}
		at = n.next
	}
	return best
}

// climb goes up from a directory to one that is resolved, has no name, or
// closes a loop; then the loop is broken and the way is empty. The way does
// not include what is resolved.
func (x *index) climb(from uint32, way []uint32) []uint32 {
	for at := from; ; {
		d := &x.dirs[at]
		if d.flags&dirResolved != 0 {
			return way
		}
		if d.flags&dirClimbing != 0 {
			x.breakLoop(at, way)
			return way[:0]
		}
		d.flags |= dirClimbing
		way = append(way, at)
		if d.first == 0 {
			return way
		}
		at = x.names.at(d.first - 1).dir
	}
}

func (x *index) breakLoop(at uint32, way []uint32) {
	lowest, in := at, false
	for _, w := range way {
		x.dirs[w].flags &^= dirClimbing
		if in = in || w == at; in {
			lowest = min(lowest, w)
		}
	}
	x.dirs[lowest].flags |= dirResolved | dirBroken
	x.noteDir(lowest, "loop: the directory lies in itself")
}

// settle marks a directory whose parent is resolved.
func (x *index) settle(n uint32, lengths, depths []uint16) {
	d := &x.dirs[n]
	d.flags = d.flags&^dirClimbing | dirResolved
	if d.first == 0 {
		if d.ino == x.fs.sb.root {
			d.flags |= dirRooted
		}
		return
	}
	own := x.names.at(d.first - 1)
	d.flags |= x.dirs[own.dir].flags & dirRooted
	length, depth := int(lengths[own.dir])+1+len(own.text), int(depths[own.dir])+1
	if length > maxPath || depth > maxDepth {
		d.flags |= dirBroken
		x.noteDir(n, "range: the path is too long to be shown and starts again at this directory")
		length, depth = 20, 0
	}
	lengths[n], depths[n] = uint16(length), uint16(depth)
}

// paths builds the paths of directories and keeps some.
type paths struct {
	x     *index
	cache map[uint32]string
	size  int
	way   []uint32
	buf   []byte
}

// dir is the path of a directory without a slash at its end: "" for the root.
func (p *paths) dir(n uint32) string {
	if s, ok := p.cache[n]; ok {
		return s
	}
	p.way = p.way[:0]
	p.buf = p.buf[:0]
	for at := n; ; {
		d := &p.x.dirs[at]
		if s, ok := p.cache[at]; ok {
			p.buf = append(p.buf, s...)
			break
		}
		if d.flags&dirBroken != 0 || d.first == 0 {
			if d.ino != p.x.fs.sb.root {
				p.buf = strconv.AppendUint(append(p.buf, "/$Orphan/#"...), d.ino, 10)
			}
			break
		}
		p.way = append(p.way, at)
		at = p.x.names.at(d.first - 1).dir
	}
	for k := len(p.way) - 1; k >= 0; k-- {
		own := p.x.names.at(p.x.dirs[p.way[k]].first - 1)
		p.buf = append(append(p.buf, '/'), own.text...)
	}
	s := string(p.buf)
	if p.size += len(s) + 48; p.size > pathCache {
		clear(p.cache)
		p.size = 0
	}
	p.cache[n] = s
	return s
}

// of is the path of a name.
func (p *paths) of(n *name) string {
	d := p.dir(n.dir)
	p.buf = append(append(append(p.buf[:0], d...), '/'), n.text...)
	return string(p.buf)
}

func nameless(ino uint64) string { return "/$Orphan/#" + strconv.FormatUint(ino, 10) }
