package netcap

import (
	"fmt"
	"math/bits"
)

// The verdicts.
const (
	Ordinary = "ordinary"
	Unusual  = "unusual"
	Tunnel   = "tunnel"
)

var severity = map[string]int{Ordinary: 0, Unusual: 1, Tunnel: 2}

// What a verdict takes.
const (
	fewDiffering  = 2 // replies may differ
	shareDiffer   = 5 // one in so many replies may differ
	fewOrphans    = 5 // replies with odd payloads may have no request
	fewReuses     = 5 // odd payloads may share an id and a sequence number
	fewDoors      = 2 // packets may have icmpdoor's id
	fewPingbacks  = 2 // packets may have Pingback's sequence numbers
	fewTyped      = 1 // payloads may begin as a command does
	manySizes     = 5 // different sizes are more than a ping of several sizes has
	largePayload  = 1472
	sweepWidth    = 20 // addresses asked with empty payloads
	steadySeconds = 4 * 3600
	steadyPercent = 90
)

// finding collects reasons and the gravest of their verdicts.
type finding struct {
	verdict string
	reasons []string
}

func (f *finding) say(verdict, format string, args ...any) {
	if severity[verdict] > severity[f.verdict] {
		f.verdict = verdict
	}
	f.reasons = append(f.reasons, fmt.Sprintf(format, args...))
}

// verdict judges a pair, where sweep is to how many addresses one of the two
// sent nothing but empty requests.
func (p *pair) verdict(sweep int64) (string, []string) {
	f := finding{verdict: Ordinary}
	t := p.match.tally()
	p.tunnel(&f, &t)
	p.marks.judge(&f)
	p.unusual(&f, &t)
	p.pattern(&f, sweep)
	if f.verdict == Ordinary {
		p.ordinary(&f, &t)
	}
	p.notes(&f, &t)
	return f.verdict, f.reasons
}

func (p *pair) tunnel(f *finding, t *matched) {
	if t.channel() {
		f.say(Tunnel, "%d of %d replies differ from their requests", t.differing, t.compared)
	}
	if t.oddOrphans > fewOrphans && p.marks.oddMany {
		f.say(Tunnel, "%d replies have no request and carry different payloads that no known ping makes", t.oddOrphans)
	}
	if t.reusedBy > fewReuses {
		more := map[bool]string{true: " or more"}[t.reusedMore]
		f.say(Tunnel, "id %d with sequence number %d came %d times one way, with %d%s different payloads", t.reused.id(), t.reused.seq(), t.reusedIn, t.reusedBy, more)
	}
}

// channel says that too many replies differ from their requests.
func (t *matched) channel() bool {
	return t.differing > fewDiffering && t.differing*shareDiffer > t.compared
}

// judge weighs the signs of known channels.
func (m *marks) judge(f *finding) {
	if m.ptunnel > 0 {
		f.say(Tunnel, "%s with d5200880, the mark of ptunnel", payloadsDo(m.ptunnel, "begins", "begin"))
	}
	if m.nachi > 0 {
		f.say(Tunnel, "%s 64 bytes of aa, as the Nachi worm sends", payloadsDo(m.nachi, "is", "are"))
	}
	if m.door > fewDoors && m.notDoor == 0 && m.oddMany {
		f.say(Tunnel, "all %d packets whose payload no known ping makes have the id %d, that of icmpdoor", m.door, doorID)
	}
	if m.pingback > fewPingbacks && !m.notPingback && m.pingbackOdd {
		f.say(Tunnel, "all %d packets have sequence numbers of %d to %d and a payload of %d bytes, as Pingback has", m.pingback, pingbackLow, pingbackHigh, m.pingbackLen)
	}
	switch {
	case m.proof > 0:
		f.say(Tunnel, "%s as the text of a shell", payloadsDo(m.proof, "reads", "read"))
	case m.typed > fewTyped && m.typedMany:
		f.say(Tunnel, "%s as a typed command does", payloadsDo(m.typed, "begins", "begin"))
	}
}

func payloadsDo(n int64, one, many string) string {
	if n == 1 {
		return "1 payload " + one
	}
	return fmt.Sprintf("%d payloads %s", n, many)
}

// unusual looks at what the packets carry.
func (p *pair) unusual(f *finding, t *matched) {
	all := p.packets()
	if odd := p.of(kindUnknown); odd > 0 {
		f.say(Unusual, "a payload that no known ping makes in %d of %d packets%s", odd, all, p.echoed(t))
	}
	if n := p.of(kindClock); n > 0 {
		f.say(Unusual, "the pattern of a ping, and in the place of its time something else, in %d of %d packets", n, all)
	}
	if t.differing > 0 && !t.channel() {
		f.say(Unusual, "replies that differ from their requests: %d of %d", t.differing, t.compared)
	}
	if t.shortened > 0 {
		f.say(Unusual, "replies that carry less than their requests: %d of %d", t.shortened, t.compared)
	}
	if n := p.of(kindUnseen); n > 0 {
		f.say(Unusual, "too little payload captured to tell what it is in %d of %d packets", n, all)
	}
}

// echoed says how odd payloads were answered.
func (p *pair) echoed(t *matched) string {
	odd := p.kinds[0][kindUnknown]
	switch {
	case odd > 0 && p.answered[0]+p.answered[1] == 0:
		return ", without an answer"
	case odd > 0 && t.compared > 0 && t.differing+t.shortened+t.orphans+t.unclear == 0:
		return ", and the replies repeat it"
	case !p.marks.oddMany:
		return ", always the same"
	}
	return ""
}

func (p *pair) packets() int64 { return p.asked[0] + p.asked[1] + p.answered[0] + p.answered[1] }

func (p *pair) of(k kind) int64 { return p.kinds[0][k] + p.kinds[1][k] }

// pattern looks at sizes, directions and times.
func (p *pair) pattern(f *finding, sweep int64) {
	requests, replies := p.asked[0]+p.asked[1], p.answered[0]+p.answered[1]
	if len(p.sizes) > manySizes {
		f.say(Unusual, "the requests have more than %d different payload sizes", manySizes)
	}
	if p.largest > largePayload || p.parts > 0 {
		f.say(Unusual, "payloads of up to %d bytes%s, more than one Ethernet frame takes", p.largest, map[bool]string{true: " and fragments"}[p.parts > 0])
	}
	if requests == 0 {
		f.say(Unusual, "replies only, %d, and no request: one side was captured, or nobody asked", replies)
	}
	if sweep >= sweepWidth && p.allEmpty() {
		f.say(Unusual, "empty requests to %d addresses from one: a sweep", sweep)
	}
	if active, all := p.busy.share(); p.last.Sec-p.first.Sec >= steadySeconds && active*100 >= all*steadyPercent {
		f.say(Unusual, "steady for %d hours: active in %d of %d stretches of %d minutes", (p.last.Sec-p.first.Sec)/3600, active, all, p.busy.width/60)
	}
}

// share is how many of the stretches from the first to the last were active.
func (b *busy) share() (active, all int64) {
	return int64(bits.OnesCount64(b.bits)), int64(bits.Len64(b.bits) - bits.TrailingZeros64(b.bits))
}

// ordinary says why nothing is held against a pair.
func (p *pair) ordinary(f *finding, t *matched) {
	for k, name := range kindNames {
		if n := p.of(kind(k)); n > 0 { //nolint:gosec // below kinds
			if name != "" {
				f.say(Ordinary, "the payload of %s in %d of %d packets", name, n, p.packets())
			}
		}
	}
	if n := p.of(kindEmpty); n > 0 {
		f.say(Ordinary, "no payload in %d of %d packets", n, p.packets())
	}
	switch {
	case p.answered[0]+p.answered[1] == 0:
		f.say(Ordinary, "no request was answered")
	case t.compared > 0:
		f.say(Ordinary, "replies that repeat their requests: %d of %d", t.compared, t.compared)
	}
	if t.orphans > 0 {
		f.say(Ordinary, "replies without a request in the captures: %d", t.orphans)
	}
}

// notes says what the figures do not cover.
func (p *pair) notes(f *finding, t *matched) {
	if p.cut > 0 {
		f.say(Ordinary, "captured in part: %d of %d packets; payloads are compared, and entropy is taken, as far as they were captured", p.cut, p.packets())
	}
	if p.parts > 0 {
		f.say(Ordinary, "in fragments: %d of %d packets; what the later fragments carry is not counted", p.parts, p.packets())
	}
	if t.unclear > 0 {
		f.say(Ordinary, "replies that could not be compared with their requests: %d", t.unclear)
	}
	if p.match.shift > 0 {
		f.say(Ordinary, "too many to keep: replies were compared for one in %d of the ids and sequence numbers", uint64(1)<<p.match.shift)
	}
}
