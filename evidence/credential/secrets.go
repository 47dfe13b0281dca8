package credential

import (
	"bytes"
	"errors"
	"io"
	"slices"
)

// Margin is how many bytes a secret can lie from what makes it one. Whoever
// shows a part of a text asks Secrets about Margin bytes more on either side.
const Margin = before

// Secrets gives the ranges [from, to) of b that must not be shown: secret keys
// and session tokens, beside an id or behind their own names, and private keys
// in PEM; as ASCII and UTF-16. They are sorted and do not overlap.
// Access key ids, hexadecimal digests, base64 roots and signatures are none.
func Secrets(b []byte) [][2]int {
	all := plainSecrets(b)
	if maybe16(b) {
		for phase := range 2 {
			text := make([]byte, 0, len(b)/2)
			for i := phase; i < len(b); i += 2 {
				hi := byte(0) // of the last character of UTF-16BE
				if i+1 < len(b) {
					hi = b[i+1]
				}
				text = append(text, char16(b[i], hi))
			}
			for _, r := range plainSecrets(text) {
				all = append(all, [2]int{2*r[0] + phase, min(len(b), 2*r[1]+phase)})
			}
		}
	}
	return union(all)
}

// maybe16 says whether b may hold UTF-16 text of interest.
func maybe16(b []byte) bool {
	for _, w := range []string{"c\x00r\x00e\x00t\x00", "C\x00R\x00E\x00T\x00", "o\x00k\x00e\x00n\x00", "O\x00K\x00E\x00N\x00", "I\x00A\x00", "A\x00C\x00C\x00A\x00", "V\x00A\x00T\x00E\x00"} {
		if bytes.Contains(b, []byte(w)) {
			return true
		}
	}
	return false
}

func plainSecrets(b []byte) [][2]int {
	var all [][2]int
	findIDs(b, 0, len(b), func(p int, enc string) {
		if enc != ASCII {
			return
		}
		if s, found, _ := beside(b, p); found {
			all = append(all, [2]int{s.from, s.to})
		}
	})
	for _, w := range []string{"ecret", "ECRET"} {
		eachWord(b, w, func(i int) { all = append(all, namedSecrets(b, i-1)...) })
	}
	for _, w := range append(tokenStarts(), "oken", "OKEN") {
		end := 0
		eachWord(b, w, func(i int) {
			if i < end {
				return // inside a token already
			}
			for _, r := range namedTokens(b, i) {
				all, end = append(all, r), r[1]
			}
		})
	}
	eachWord(b, "PRIVATE KEY", func(i int) {
		if r, ok := pem(b, i); ok {
			all = append(all, r)
		}
	})
	return all
}

func eachWord(b []byte, w string, f func(at int)) {
	for at := 0; ; {
		i := bytes.Index(b[at:], []byte(w))
		if i < 0 {
			return
		}
		f(at + i)
		at += i + len(w)
	}
}

// namedSecrets are the secrets behind a word at i.
func namedSecrets(b []byte, i int) [][2]int {
	i = max(i, 0)
	win := b[i:min(len(b), i+wordReach+6*secretLen)]
	var all [][2]int
	for _, s := range secretRuns(win) {
		if s.from <= wordReach {
			all = append(all, [2]int{i + s.from, i + s.to})
			break
		}
	}
	return all
}

// namedTokens are the session tokens behind a word or a beginning at i, to
// their ends.
func namedTokens(b []byte, i int) [][2]int {
	const longest = 16 << 10
	i = max(i-len("security t"), 0)
	win := b[i:min(len(b), i+longest)]
	head := win[:min(len(win), wordReach+2*tokenLen)]
	all := tokenRuns(head, bytes.ToLower(head))
	if len(all) == 0 {
		return nil
	}
	to := all[0].to
	if to == len(head) {
		for to < len(win) && isTokenByte(win[to]) {
			to++
		}
	}
	return [][2]int{{i + all[0].from, i + to}}
}

// pem is the body of the PEM private key whose first line holds b[i:].
func pem(b []byte, i int) ([2]int, bool) {
	const longest = 32 << 10
	head := b[max(0, i-40):i]
	j := bytes.LastIndex(head, []byte("-----BEGIN "))
	if j < 0 || bytes.IndexByte(head[j:], '\n') >= 0 || !bytes.HasPrefix(b[i+len("PRIVATE KEY"):], []byte("-----")) {
		return [2]int{}, false
	}
	from := i + len("PRIVATE KEY-----")
	to := min(len(b), from+longest)
	if k := bytes.Index(b[from:to], []byte("-----END")); k >= 0 {
		to = from + k
	}
	run := 0
	for _, c := range b[from:min(to, from+512)] {
		if run++; !isRun(c) {
			run = 0
		} else if run == 40 {
			return [2]int{from, to}, true
		}
	}
	return [2]int{}, false
}

// union sorts ranges and makes those that overlap one.
func union(all [][2]int) [][2]int {
	slices.SortFunc(all, func(a, b [2]int) int { return a[0] - b[0] })
	out := all[:0]
	for _, r := range all {
		if n := len(out); n > 0 && r[0] <= out[n-1][1] {
			out[n-1][1] = max(out[n-1][1], r[1])
			continue
		}
		out = append(out, r)
	}
	return out
}

// FindSecret reads r to its end or to the first secret (as Secrets has them),
// and says at which byte that begins. It is for what leaves the case: reports,
// exports, bundles. What cannot be read cannot be let out: a reader that fails
// counts as found, at the byte where it failed.
func FindSecret(r io.Reader) (offset int64, found bool) {
	buf := make([]byte, 256<<10)
	have := 0
	for {
		n, err := io.ReadFull(r, buf[have:])
		have += n
		if all := Secrets(buf[:have]); len(all) > 0 {
			return offset + int64(all[0][0]), true
		}
		switch {
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			return 0, false
		case err != nil:
			return offset + int64(have), true
		}
		const keep = 4 * Margin
		copy(buf, buf[have-keep:have])
		offset += int64(have - keep)
		have = keep
	}
}
