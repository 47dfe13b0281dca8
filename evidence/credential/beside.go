package credential

import (
	"bytes"
	"math"
)

// span is a value in a text: bytes [from, to), and for a secret the 40
// characters it stands for.
type span struct {
	from, to int
	value    []byte
}

// beside finds the secret and the token that belong to the id at text[at:]. A
// secret that is closer to another id is that one's.
func beside(text []byte, at int) (secret span, found, token bool) {
	lo, hi := max(0, at-reach), min(len(text), at+idLen+reach)
	win, id := text[lo:hi], at-lo
	var others []int
	findIDs(win, 0, len(win), func(p int, enc string) {
		if enc == ASCII && p != id {
			others = append(others, p)
		}
	})
	lower := bytes.ToLower(win)
	best, end := math.MaxInt, 0
	for _, s := range secretRuns(win) {
		word := hasWord(lower[end:], s.from-end, "secret")
		end = s.to
		gap, ok := gapOf(win, id, s)
		if !ok || !word && !nextField(win, id, s, gap) {
			continue
		}
		if n := distance(gap, s.from > id); n < best && !closer(win, others, s, n) {
			best, secret, found = n, s, true
		}
	}
	if found {
		secret.from, secret.to = secret.from+lo, secret.to+lo
	}
	for _, s := range tokenRuns(win, lower) {
		if gap, ok := gapOf(win, id, s); ok && len(gap) <= near {
			token = true
		}
	}
	return secret, found, token
}

// closer says whether one of the other ids is closer to s than n.
func closer(win []byte, others []int, s span, n int) bool {
	for _, id := range others {
		if gap, ok := gapOf(win, id, s); ok && distance(gap, s.from > id) < n {
			return true
		}
	}
	return false
}

// gapOf is the text between the id and s; not ok when they are too far apart
// or overlap.
func gapOf(win []byte, id int, s span) (gap []byte, ok bool) {
	switch {
	case s.from >= id+idLen:
		gap = win[id+idLen : s.from]
	case s.to <= id:
		gap = win[s.to:id]
	default:
		return nil, false
	}
	return gap, len(gap) <= near
}

// distance orders secrets of one id: by the borders of lines, objects and
// sections between, then by side (behind the id first), then by bytes.
func distance(gap []byte, behind bool) int {
	borders := 0
	for _, c := range gap {
		switch c {
		case '\n':
			borders++
		case '{', '}', '[', ']':
			borders += 2
		}
	}
	n := borders*2*(near+1) + len(gap)
	if !behind {
		n += near + 1
	}
	return n
}

// nextField says whether s stands in the field directly before or behind the
// id, whatever the field is called, and looks like a random secret.
func nextField(win []byte, id int, s span, gap []byte) bool {
	const longest = 64
	if len(gap) == 0 || len(gap) > longest || !mixed(s.value) {
		return false
	}
	words, in := 0, false
	for _, c := range gap {
		letter := isRun(c) && c != '/' && c != '+' || c == '_' || c == '-' || c == '.'
		if letter && !in {
			words++
		}
		in = letter
		if c < ' ' && c != '\t' && c != '\n' && c != '\r' || c >= 0x7f {
			return false
		}
	}
	return words <= 1 || words <= 4 && s.from > id && bytes.IndexByte(gap, '<') >= 0
}

// mixed says whether b has small letters, capitals and digits.
func mixed(b []byte) bool {
	var kinds int
	for _, c := range b {
		switch {
		case c-'a' < 26:
			kinds |= 1
		case c-'A' < 26:
			kinds |= 2
		case c-'0' < 10:
			kinds |= 4
		}
	}
	return kinds == 7
}

// hasWord says whether word stands within wordReach characters before at.
func hasWord(lower []byte, at int, word string) bool {
	return bytes.Contains(lower[max(0, at-wordReach):at], []byte(word))
}

// secretRuns are the runs of b that have the form of a secret.
func secretRuns(b []byte) []span {
	var all []span
	for i := 0; i < len(b); {
		s, next := runAt(b, i)
		if len(s.value) == secretLen && entropy(s.value) > 4 {
			all = append(all, s)
		}
		i = next
	}
	return all
}

// runAt reads the longest run of secret characters from i, and says where to
// go on. The value holds at most one character more than a secret.
func runAt(b []byte, i int) (s span, next int) {
	if n := escapeBefore(b, i); n > 0 {
		return span{}, i + n
	}
	s.from = i
	for i < len(b) {
		c, n := charAt(b, i)
		if n == 0 {
			break
		}
		if len(s.value) <= secretLen {
			s.value = append(s.value, c)
		}
		i += n
	}
	s.to = i
	return s, max(i, s.from+1)
}

// escapeBefore is the length of an escape at i whose letters are no part of
// what follows: \n, \r, \t, \b, \f, \u000a.
func escapeBefore(b []byte, i int) int {
	if b[i] != '\\' || i+1 >= len(b) {
		return 0
	}
	switch b[i+1] {
	case 'n', 'r', 't', 'b', 'f':
		return 2
	case 'u':
		if _, n := charAt(b, i); n == 0 && i+6 <= len(b) {
			return 6
		}
	}
	return 0
}

// charAt reads one character of a secret at i: itself, or / and + in an escape
// of JSON, URLs or HTML. n is the bytes it takes, 0 when there is none.
func charAt(b []byte, i int) (c byte, n int) {
	if c = b[i]; isRun(c) {
		return c, 1
	}
	rest := b[i:min(len(b), i+6)]
	switch c {
	case '\\':
		if bytes.HasPrefix(rest, []byte(`\/`)) {
			return '/', 2
		}
		return oneOf(rest, `\u002b`, `\u002f`)
	case '%':
		return oneOf(rest, `%2b`, `%2f`)
	case '&':
		if c, n = oneOf(rest, `&#43;`, `&#47;`); n > 0 {
			return c, n
		}
		return oneOf(rest, `&#x2b;`, `&#x2f;`)
	}
	return 0, 0
}

func oneOf(b []byte, plus, slash string) (byte, int) {
	if len(b) < len(plus) {
		return 0, 0
	}
	switch b = b[:len(plus)]; {
	case bytes.EqualFold(b, []byte(plus)):
		return '+', len(plus)
	case bytes.EqualFold(b, []byte(slash)):
		return '/', len(slash)
	}
	return 0, 0
}

func isRun(c byte) bool {
	return c-'a' < 26 || c-'A' < 26 || c-'0' < 10 || c == '/' || c == '+'
}

// tokenRuns are the runs of b that are session tokens: they begin as those of
// AWS do, or follow a word that names one and look random.
func tokenRuns(b, lower []byte) []span {
	var all []span
	for i := 0; i < len(b); {
		j := i
		for j < len(b) && isTokenByte(b[j]) {
			j++
		}
		if j-i >= tokenLen {
			from := i
			// In token=IQo… the name and its sign belong to the run.
			if k := bytes.IndexByte(b[i:min(j, i+wordReach)], '='); k >= 0 {
				from = i + k + 1
			}
			if k := startOfToken(b[i:j]); k >= 0 {
				from = i + k
			} else if !namesToken(lower[max(0, from-wordReach):from]) || !mixed(b[from:j]) {
				from = j
			}
			if j-from >= tokenLen {
				all = append(all, span{from: from, to: j})
			}
		}
		i = max(j, i+1)
	}
	return all
}

func isTokenByte(c byte) bool { return isRun(c) || c == '=' || c == '-' || c == '_' || c == '%' }

// tokenStarts are the first bytes of session tokens, in base64: versions of a
// header and the words "origin" or "aws".
func tokenStarts() []string {
	return []string{"IQoJb3JpZ2lu", "FwoGZXIvYXdz", "FQoGZXIvYXdz", "AQoDYXdz"}
}

// startOfToken is where in a run a token begins as those of AWS do; -1 for
// nowhere.
func startOfToken(run []byte) int {
	for _, s := range tokenStarts() {
		if i := bytes.Index(run, []byte(s)); i >= 0 {
			return i
		}
	}
	return -1
}

// namesToken says whether the text before a value calls it a session token.
// Other tokens, of pages for instance, are no secrets.
func namesToken(lower []byte) bool {
	i := bytes.LastIndex(lower, []byte("token"))
	if i < 0 {
		return false
	}
	before := bytes.TrimRight(lower[:i], " _-")
	return bytes.HasSuffix(before, []byte("session")) || bytes.HasSuffix(before, []byte("security"))
}

// entropy is Shannon's, in bits a character, of b's own characters.
func entropy(b []byte) float64 {
	var count [256]int
	for _, c := range b {
		count[c]++
	}
	var h float64
	for _, n := range count {
		if n > 0 {
			p := float64(n) / float64(len(b))
			h -= p * math.Log2(p)
		}
	}
	return h
}
