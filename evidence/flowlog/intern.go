package flowlog

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
const internMax = 256

func newInterner() *interner {
	return &interner{seed: maphash.MakeSeed(), table: make([]string, internSlots)}
}

func (in *interner) get(b []byte) string {
	if len(b) > internMax {
		return string(b)
	}
	slot := &in.table[maphash.Bytes(in.seed, b)%internSlots]
	if *slot != string(b) {
		*slot = string(b)
	}
	return *slot
}
