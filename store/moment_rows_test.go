package store

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// TestMomentsPacked packs moments with times at both ends of what there is, and
// reads them back; what is cut is an error and not fewer moments.
func TestMomentsPacked(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	var p momentPacker
	var want []moment
	for i := range int64(anchorEvery) {
		m := moment{id: 129 + i, ts: r.Int64() - r.Int64(), entry: r.Int64N(1 << 50), macb: byte(i)}
		switch i % 7 {
		case 0:
			m.ts = math.MinInt64
		case 1:
			m.ts = math.MaxInt64
		}
		p.add(m.ts, m.entry, m.macb)
		want = append(want, m)
	}
	b := p.take()
	got, err := unpackMoments(129, b, nil)
	if err != nil || !slices.Equal(got, want) {
		t.Fatalf("%v: got %v, want %v", err, got, want)
	}
	whole := 0
	for n := range b {
		if some, err := unpackMoments(129, b[:n], nil); err == nil {
			whole++
			if !slices.Equal(some, want[:len(some)]) {
				t.Fatalf("cut at %d: %v", n, some)
			}
		}
	}
	if whole != anchorEvery {
		t.Errorf("%d cuts were no error, want those between two moments: %d", whole, anchorEvery)
	}
	if p.n != 0 || len(p.take()) != 0 {
		t.Error("take left something")
	}
}

func TestIDSet(t *testing.T) {
	var all *idSet
	a, b := &idSet{}, &idSet{}
	for i := int64(1); i < 300_000; i += 7 {
		a.add(i)
	}
	for i := int64(1); i < 100_000; i += 5 {
		b.add(i)
	}
	both := a.both(b)
	for i := range int64(400_000) {
		inA, inB := i%7 == 1 && i < 300_000, i%5 == 1 && i < 100_000
		if !all.has(i) || a.has(i) != inA || both.has(i) != (inA && inB) || all.both(a).has(i) != inA {
			t.Fatalf("%d is wrong", i)
		}
	}
}
