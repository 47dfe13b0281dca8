package cloudtrail

import "hash/maphash"

// interner gives repeated strings one copy. It is a fixed table in which a
// newer string takes the place of an older one, so hostile logs cannot make
// it grow.
type interner struct {
	seed  maphash.Seed
	table []string
}

const internSlots = 1 << 13

// internMax is the longest string that is kept; longer ones seldom repeat.
const internMax = 512

func newInterner() *interner {
	return &interner{seed: maphash.MakeSeed(), table: make([]string, internSlots)}
}

func (in *interner) get(b []byte) string {
	if len(b) == 0 {
		return ""
	}
	if len(b) > internMax {
		return string(b)
	}
	slot := &in.table[maphash.Bytes(in.seed, b)%internSlots]
	if *slot != string(b) {
		*slot = string(b)
	}
	return *slot
}

// nameSet is a set of pairs of strings, small almost always. Up to a few it
// is searched in order.
type nameSet struct {
	few  [][2]string
	many map[[2]string]bool
}

const fewNames = 24

func (s *nameSet) reset() { s.few, s.many = s.few[:0], nil }

// add says whether the pair is new.
func (s *nameSet) add(kind, name string) bool {
	pair := [2]string{kind, name}
	if s.many != nil {
		known := s.many[pair]
		s.many[pair] = true
		return !known
	}
	for i := range s.few {
		if s.few[i][1] == name && s.few[i][0] == kind {
			return false
		}
	}
	if s.few = append(s.few, pair); len(s.few) == fewNames {
		s.many = make(map[[2]string]bool, 4*fewNames)
		for _, f := range s.few {
			s.many[f] = true
		}
	}
	return true
}
