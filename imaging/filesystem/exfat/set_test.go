package exfat

import (
	"context"
	"io"
	"math/rand/v2"
	"testing"
)

// TestSet compares with a plain list of booleans.
func TestSet(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	for range 20 {
		g := &geometry{clusters: 1 + r.Uint32N(5*pageBits)}
		s, plain := g.newSet(), make([]bool, g.clusters+2)
		for range 40 {
			c := 2 + r.Uint32N(g.clusters)
			n := 1 + r.Uint32N(g.clusters-(c-2))
			if r.IntN(2) == 0 {
				n = min(n, 100)
			}
			want := uint32(0)
			for want < n && !plain[c+want] {
				plain[c+want] = true
				want++
			}
			if got := s.claim(c, n); got != want {
				t.Fatalf("claim %d from %d: %d, want %d", n, c, got, want)
			}
		}
		s.total()
		for range 40 {
			c := 2 + r.Uint32N(g.clusters)
			n := r.Uint32N(g.clusters-(c-2)) + 1
			if r.IntN(2) == 0 {
				n = min(n, 100)
			}
			want := uint32(0)
			for i := range n {
				if plain[c+i] != s.has(c+i) {
					t.Fatalf("cluster %d is %v", c+i, s.has(c+i))
				}
				if plain[c+i] {
					want++
				}
			}
			if got := s.count(c, n); got != want {
				t.Fatalf("count %d from %d: %d, want %d", n, c, got, want)
			}
		}
	}
}

// huge is a volume of 2 TiB in clusters of 512 bytes, of which only the start
// is not zeros.
type huge struct{ head []byte }

func (h huge) Size() int64 { return 2 << 40 }

func (h huge) ReadAt(p []byte, off int64) (int, error) {
	clear(p)
	if off < int64(len(h.head)) {
		copy(p, h.head[off:])
	}
	if rest := h.Size() - off; int64(len(p)) > rest {
		return int(max(0, rest)), io.EOF
	}
	return len(p), nil
}

// TestHuge demands that a volume with as many clusters as there can be, and
// with files that claim all of them, costs little.
func TestHuge(t *testing.T) {
	m := newMade()
	const clusters = 0xf0000000
	le.PutUint64(m.b[72:], 2<<40/512)
	le.PutUint32(m.b[84:], 1<<25)
	le.PutUint32(m.b[88:], 1<<25+32)
	le.PutUint32(m.b[92:], clusters)
	heap := make([]byte, 200*512)
	copy(heap, m.b[madeHeap:])
	m.b = m.b[:madeHeap]
	for _, f := range []file{
		{name: "all", first: 100, size: (clusters - 98) * 512, valid: 512, flat: true},
		{name: "too", first: 101, size: (clusters - 99) * 512, flat: true},
	} {
		copy(heap[512+m.next:], f.records())
		m.next += len(f.records())
	}
	le.PutUint64(heap[512+32+24:], clusters/8)
	b := huge{m.b}
	f, err := Open(far{b, (1<<25 + 32) * 512, heap})
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for e, err := range f.Walk(context.Background()) {
		if err != nil {
			t.Fatal(err)
		}
		if n++; e.Path != "/" && e.Damage == "" {
			t.Errorf("%q: no damage", e.Path)
		}
	}
	if n != 3 {
		t.Errorf("%d entries", n)
	}
}

// far lays bytes over a source.
type far struct {
	huge
	at int64
	b  []byte
}

func (f far) ReadAt(p []byte, off int64) (int, error) {
	n, err := f.huge.ReadAt(p, off)
	if end := off + int64(n); off < f.at+int64(len(f.b)) && end > f.at {
		from := max(off, f.at)
		copy(p[from-off:n], f.b[from-f.at:])
	}
	return n, err
}
