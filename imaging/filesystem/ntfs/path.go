package ntfs

// place is where a directory stands in the tree.
type place struct {
	path string // without a slash at its end; "" for the root
	live bool   // all parents up to the root are in use
	lost bool   // the way up does not end in the root
	why  string // damage, when the way up ends
}

// paths finds the places of directories.
type paths struct {
	dirs map[uint64]dir
	kept map[uint64]place
}

const orphanage = "/$Orphan"

// fits says whether the reference to a directory means d: the number of times
// its record was used agrees, or it was freed once since.
func (d dir) fits(seq uint16) bool {
	if d.seq == seq || seq == 0 {
		return true
	}
	next := seq + 1
	if next == 0 {
		next = 1
	}
	return !d.inUse && d.seq == next
}

// of is the place of the directory that a name refers to.
func (p *paths) of(number uint64, seq uint16) place {
	var chain []uint64 // from below
	n := 0
	at := place{live: true}
	for number != recRoot {
		d, ok := p.dirs[number]
		if !ok || !d.fits(seq) || d.name == "" {
			at = place{path: orphanage, lost: true}
			if ok && d.inUse && !d.fits(seq) {
				at.why = "reallocated: the record of its directory was used again"
			}
			break
		}
		if k, ok := p.kept[number]; ok {
			at = k
			break
		}
		if n += len(d.name) + 1; n > maxPath || len(chain) == maxUp {
			at = place{path: orphanage, lost: true, why: "loop: its directories have no end"}
			p.keep(chain[0], at)
			return at
		}
		chain = append(chain, number)
		number, seq = d.parent, d.parentSeq
	}
	if len(at.path)+n > maxPath {
		return place{path: orphanage, lost: true, why: "loop: its directories have no end"}
	}
	for i := len(chain) - 1; i >= 0; i-- {
		d := p.dirs[chain[i]]
		at.path += "/" + d.name
		at.live = at.live && d.inUse
	}
	if len(chain) > 0 {
		p.keep(chain[0], at)
	}
	return at
}

func (p *paths) keep(number uint64, at place) {
	if len(p.kept) >= keptPaths {
		clear(p.kept)
	}
	p.kept[number] = at
}
