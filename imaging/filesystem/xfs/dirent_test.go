package xfs

import (
	"encoding/binary"
	"fmt"
	"reflect"
	"testing"
)

// dirBlock builds a directory block the way the kernel does.
type dirBlock struct {
	s *superblock
	p []byte
	n int // where the next entry goes
}

func newDirBlock(s *superblock) *dirBlock {
	b := &dirBlock{s: s, p: make([]byte, 4096), n: s.dataHeader()}
	magic := uint32(magicData4)
	if s.crc() {
		magic = magicData5
	}
	binary.BigEndian.PutUint32(b.p, magic)
	b.free(b.n, 4096)
	return b
}

func (b *dirBlock) free(from, to int) {
	binary.BigEndian.PutUint16(b.p[from:], freeTag)
	binary.BigEndian.PutUint16(b.p[from+2:], uint16(to-from))
	binary.BigEndian.PutUint16(b.p[to-2:], uint16(from))
}

// add appends an entry and gives its place and length.
func (b *dirBlock) add(ino uint64, name string, ftype uint8) (at, n int) {
	at, n = b.n, b.s.direntLen(len(name))
	e := b.p[at : at+n]
	clear(e)
	binary.BigEndian.PutUint64(e, ino)
	e[8] = uint8(len(name))
	copy(e[9:], name)
	if b.s.hasType() {
		e[9+len(name)] = ftype
	}
	binary.BigEndian.PutUint16(e[n-2:], uint16(at))
	b.n += n
	b.free(b.n, 4096)
	return at, n
}

// read gives what the reader finds, live and deleted.
func (b *dirBlock) read(t *testing.T) (live, dead []string) {
	t.Helper()
	r := &direntReader{sb: b.s, emit: func(d dirent) {
		text := fmt.Sprintf("%s=%d", d.text, d.ino)
		if d.flags != 0 {
			dead = append(dead, text)
		} else {
			live = append(live, text)
		}
	}}
	if damage := r.block(b.p); damage != "" {
		t.Errorf("damage %q", damage)
	}
	return live, dead
}

// TestFreeRuns removes entries one beside the other in every order.
func TestFreeRuns(t *testing.T) {
	for _, version := range []int{4, 5} {
		s := testSuper(t, version)
		order := [][]int{{1, 2, 3}, {3, 2, 1}, {2, 1, 3}, {1, 3, 2}, {3, 1, 2}, {2, 3, 1}}
		for _, o := range order {
			b := newDirBlock(s)
			type place struct{ from, to int }
			var runs []place
			at := map[int]place{}
			for i, name := range []string{"first", "second-name", "3", "the-fourth-of-them", "last"} {
				from, n := b.add(uint64(200+i), name, 1)
				at[i] = place{from, from + n}
			}
			for _, i := range o { // as the kernel joins runs
				own := at[i]
				for k := 0; k < len(runs); {
					if runs[k].to == own.from || runs[k].from == own.to {
						own.from, own.to = min(own.from, runs[k].from), max(own.to, runs[k].to)
						runs = append(runs[:k], runs[k+1:]...)
						k = 0
						continue
					}
					k++
				}
				runs = append(runs, own)
				b.free(own.from, own.to)
			}
			live, dead := b.read(t)
			if want := []string{"first=200", "last=204"}; !reflect.DeepEqual(live, want) {
				t.Errorf("v%d %v: live %q, want %q", version, o, live, want)
			}
			if want := []string{"second-name=201", "3=202", "the-fourth-of-them=203"}; !reflect.DeepEqual(dead, want) {
				t.Errorf("v%d %v: deleted %q, want %q", version, o, dead, want)
			}
		}
	}
}

// TestDamagedBlock breaks the chain of entries: those behind it are found by
// the place that each says.
func TestDamagedBlock(t *testing.T) {
	b := newDirBlock(testSuper(t, 5))
	b.add(200, "before", 1)
	at, _ := b.add(201, "broken", 1)
	b.add(202, "behind", 1)
	b.p[at+8] = 250
	var names []string
	r := &direntReader{sb: b.s, emit: func(d dirent) { names = append(names, fmt.Sprintf("%s %d", d.text, d.flags&nameSalvaged)) }}
	if damage := r.block(b.p); damage == "" {
		t.Error("no damage")
	}
	if want := []string{"before 0", fmt.Sprintf("behind %d", nameSalvaged)}; !reflect.DeepEqual(names, want) {
		t.Errorf("names %q, want %q", names, want)
	}
}
