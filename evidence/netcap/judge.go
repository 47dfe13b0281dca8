package netcap

import (
	"cmp"
	"math"
	"net/netip"
	"slices"

	"snapcase/evidence"
	"snapcase/imaging"
)

const (
	maxPairs  = 1 << 15
	maxFrames = 20 // that a pair names
)

// Judge weighs the echo traffic of a case: it takes the frames of all
// captures, in any order, and says of each pair of addresses whether it was a
// ping. It keeps some 110 MiB at most. The zero Judge is ready. It is not safe
// for concurrent use.
type Judge struct {
	pairs map[[2]netip.Addr]*pair
	limit int // units that a pair may keep
	units int // that all pairs keep
	left  int64
}

// FrameRef names a frame: a file by the caller's own number, and the number
// of the frame in it.
type FrameRef struct{ File, N int64 }

func (r FrameRef) compare(s FrameRef) int {
	return cmp.Or(cmp.Compare(r.File, s.File), cmp.Compare(r.N, s.N))
}

// Pair is the verdict on the echo traffic of two addresses. Local is the one
// that is private where the other is not, else the one that asked more, else
// the lower one.
type Pair struct {
	Local, Peer  netip.Addr
	Requests     int64 // both ways
	Replies      int64
	PayloadBytes int64   // both ways, as declared
	Entropy      float64 // bits a byte, of all captured payload bytes; 0 where there are none
	Verdict      string  // ordinary, unusual, tunnel
	Reasons      []string
	First, Last  imaging.Time // not set where no frame has a time
	Frames       []FrameRef   // at most 20, in order; those with odd payloads before others
}

// Answer is p in the shape of the trace verb. The caller names the frames.
func (p *Pair) Answer() evidence.ICMPPair {
	return evidence.ICMPPair{
		Local: p.Local.String(), Peer: p.Peer.String(), Requests: p.Requests, Replies: p.Replies, PayloadBytes: p.PayloadBytes,
		Entropy: p.Entropy, Verdict: p.Verdict, Reasons: p.Reasons, First: p.First, Last: p.Last,
	}
}

// pair is what is kept of two addresses. All of it is the same in whatever
// order the frames come.
type pair struct {
	asked, answered [2]int64 // requests and replies, by the side that asked
	kinds           [2][kinds]int64
	payloadBytes    int64
	bytes           *[256]uint32
	first, last     imaging.Time
	busy            busy
	odd, plain      []FrameRef
	sizes           []int64 // different payload lengths of requests, at most manySizes+1
	largest         int64
	cut, parts      int64 // packets captured in part; first fragments
	match           matcher
	marks           marks
}

// marks counts the signs of known channels.
type marks struct {
	ptunnel, nachi       int64
	door, notDoor        int64 // odd payloads under icmpdoor's id, and under others
	pingback             int64
	notPingback          bool
	pingbackLen          int64
	proof, typed         int64 // payloads that read as a shell
	oddSum, typedSum     [16]byte
	oddMany, typedMany   bool // more than one such payload
	oddSeen, pingbackOdd bool
}

// echo says whether r is an echo packet, and a request. Its id and sequence
// number may not have been captured.
func (r *Record) echo() (request, ok bool) {
	if r.ICMP == nil || !r.Src.IsValid() || !r.Dst.IsValid() {
		return false, false
	}
	if r.Protocol == "icmpv6" {
		return r.ICMP.Type == 128, r.ICMP.Type == 128 || r.ICMP.Type == 129
	}
	return r.ICMP.Type == 8, r.ICMP.Type == 8 || r.ICMP.Type == 0
}

// Add takes a frame of a file that the caller numbers. Frames that are no echo
// are passed over.
func (j *Judge) Add(r *Record, file int64) {
	request, ok := r.echo()
	if !ok {
		return
	}
	key, side := [2]netip.Addr{r.Src, r.Dst}, 0 // the side that asked
	if r.Dst.Less(r.Src) {
		key, side = [2]netip.Addr{r.Dst, r.Src}, 1
	}
	if !request && r.Src != r.Dst {
		side = 1 - side
	}
	p := j.pairs[key]
	if p == nil {
		if len(j.pairs) == maxPairs {
			j.left++
			return
		}
		if j.pairs == nil {
			j.pairs, j.limit = map[[2]netip.Addr]*pair{}, pairUnits
		}
		p = &pair{}
		j.pairs[key] = p
	}
	d := p.add(r, FrameRef{file, r.N}, side, request)
	if r.ICMP.Echo {
		j.units += p.match.add(newSlotKey(side, r.ICMP.ID, r.ICMP.Seq), request, d, j.limit)
	}
	if p.match.units > j.limit {
		j.units -= p.match.shrink(j.limit)
	}
	for j.units > allUnits {
		j.limit /= 2
		for _, p := range j.pairs {
			j.units -= p.match.shrink(j.limit)
		}
	}
}

// Left is the number of echo packets that were not judged: they came after
// 32,768 pairs of addresses and belong to further ones.
func (j *Judge) Left() int64 { return j.left }

// add takes a frame and gives the digest of its payload.
func (p *pair) add(r *Record, ref FrameRef, side int, request bool) digest {
	i := r.ICMP
	way := 1
	if request {
		way = 0
		p.asked[side]++
		p.size(i.PayloadBytes)
	} else {
		p.answered[side]++
	}
	k := kindOf(i.Payload, i.PayloadBytes, r.Time)
	d := digestOf(i, k.odd())
	p.kinds[way][k]++
	p.payloadBytes += i.PayloadBytes
	p.largest = max(p.largest, i.PayloadBytes)
	p.count(i.Payload)
	if int64(len(i.Payload)) < i.PayloadBytes {
		p.cut++
	}
	if i.Fragment {
		p.parts++
	}
	if r.Time.Set {
		if !p.first.Set || r.Time.Compare(p.first) < 0 {
			p.first = r.Time
		}
		if !p.last.Set || r.Time.Compare(p.last) > 0 {
			p.last = r.Time
		}
		p.busy.add(r.Time.Sec)
	}
	if marked := i.Echo && p.marks.add(i, &d); marked || k.odd() {
		p.odd = keepFirst(p.odd, ref)
	} else {
		p.plain = keepFirst(p.plain, ref)
	}
	return d
}

// keepFirst puts a frame among the first maxFrames.
func keepFirst(refs []FrameRef, r FrameRef) []FrameRef {
	i, found := slices.BinarySearchFunc(refs, r, FrameRef.compare)
	if found || i == maxFrames {
		return refs
	}
	if len(refs) == maxFrames {
		refs = refs[:maxFrames-1]
	}
	return slices.Insert(refs, i, r)
}

func (p *pair) size(n int64) {
	if len(p.sizes) <= manySizes && !slices.Contains(p.sizes, n) {
		p.sizes = append(p.sizes, n)
	}
}

// count adds payload bytes to the counts for the entropy. Where one is full,
// all are halved, which leaves their shares.
func (p *pair) count(b []byte) {
	if len(b) == 0 {
		return
	}
	if p.bytes == nil {
		p.bytes = new([256]uint32)
	}
	for _, c := range b {
		if p.bytes[c] == math.MaxUint32 {
			for i := range p.bytes {
				p.bytes[i] /= 2
			}
		}
		p.bytes[c]++
	}
}

func (p *pair) entropy() (bits float64) {
	if p.bytes == nil {
		return 0
	}
	var all float64
	for _, n := range p.bytes {
		all += float64(n)
	}
	for _, n := range p.bytes {
		if n > 0 {
			share := float64(n) / all
			bits -= share * math.Log2(share)
		}
	}
	return math.Abs(bits) // not -0
}

// add looks for the marks of channels in a packet and says whether there are
// any that speak for themselves.
func (m *marks) add(i *ICMP, d *digest) (marked bool) {
	if isPtunnel(i.Payload) {
		m.ptunnel++
		marked = true
	}
	if isNachi(i.Payload, i.PayloadBytes) {
		m.nachi++
		marked = true
	}
	switch {
	case !isPingback(i.Seq), m.pingback > 0 && i.PayloadBytes != m.pingbackLen, i.PayloadBytes == 0:
		m.notPingback = true
	default:
		m.pingback++
		m.pingbackLen = i.PayloadBytes
		m.pingbackOdd = m.pingbackOdd || d.odd
	}
	if !d.odd {
		return marked
	}
	if i.ID == doorID {
		m.door++
	} else {
		m.notDoor++
	}
	m.oddMany = m.oddMany || m.oddSeen && m.oddSum != d.sum
	m.oddSeen, m.oddSum = true, d.sum
	proof, typed := readsAsShell(i.Payload)
	if proof {
		m.proof++
	}
	if typed {
		m.typedMany = m.typedMany || m.typed > 0 && m.typedSum != d.sum
		m.typed++
		m.typedSum = d.sum
	}
	return marked || typed
}

// Pairs is the verdict on every pair: tunnels before unusual before ordinary
// traffic, among them those with more payload first.
func (j *Judge) Pairs() []Pair {
	swept := map[netip.Addr]int64{}
	for key, p := range j.pairs {
		for side, addr := range key {
			if p.asked[side] > 0 && p.allEmpty() {
				swept[addr]++
			}
		}
	}
	out := make([]Pair, 0, len(j.pairs))
	for key, p := range j.pairs {
		local := p.local(key)
		v := Pair{
			Local: key[local], Peer: key[1-local], Requests: p.asked[0] + p.asked[1], Replies: p.answered[0] + p.answered[1],
			PayloadBytes: p.payloadBytes, Entropy: p.entropy(), First: p.first, Last: p.last,
		}
		v.Frames = append(slices.Clone(p.odd), p.plain[:min(len(p.plain), maxFrames-len(p.odd))]...)
		slices.SortFunc(v.Frames, FrameRef.compare)
		var sweep int64
		for side, addr := range key {
			if p.asked[side] > 0 {
				sweep = max(sweep, swept[addr])
			}
		}
		v.Verdict, v.Reasons = p.verdict(sweep)
		out = append(out, v)
	}
	slices.SortFunc(out, func(a, b Pair) int {
		return cmp.Or(cmp.Compare(severity[b.Verdict], severity[a.Verdict]), cmp.Compare(b.PayloadBytes, a.PayloadBytes), a.Local.Compare(b.Local), a.Peer.Compare(b.Peer))
	})
	return out
}

// allEmpty says that no request carried anything.
func (p *pair) allEmpty() bool { return p.kinds[0][kindEmpty] == p.asked[0]+p.asked[1] }

// local is the side that Pair calls so.
func (p *pair) local(key [2]netip.Addr) int {
	inside := func(a netip.Addr) bool { return a.IsPrivate() || a.IsLinkLocalUnicast() || a.IsLoopback() }
	if in, out := inside(key[0]), inside(key[1]); in != out {
		return map[bool]int{true: 0, false: 1}[in]
	}
	if p.asked[1]+p.answered[1] > p.asked[0]+p.answered[0] {
		return 1
	}
	return 0
}

// busy is the stretches of time in which a pair was active: 64 of them, of
// ten minutes, or of twice that as often as is needed.
type busy struct {
	width int64 // s
	base  int64 // of bit 0, in widths since 1970
	bits  uint64
}

const busyWidth = 600 // s

func (b *busy) add(sec int64) {
	if b.width == 0 {
		b.width, b.base = busyWidth, floorDiv(sec, busyWidth)
	}
	for {
		at := floorDiv(sec, b.width)
		end := b.base + 63
		for end > b.base && b.bits>>(end-b.base)&1 == 0 {
			end--
		}
		if low, high := min(at, b.base), max(at, end); high-low < 64 {
			b.bits = b.bits<<(b.base-low) | 1<<(at-low)
			b.base = low
			return
		}
		b.double()
	}
}

// double joins stretches two by two.
func (b *busy) double() {
	var bits uint64
	base := floorDiv(b.base, 2)
	for i := int64(0); i < 64; i++ {
		if b.bits>>i&1 != 0 {
			bits |= 1 << (floorDiv(b.base+i, 2) - base)
		}
	}
	b.width, b.base, b.bits = 2*b.width, base, bits
}

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}
