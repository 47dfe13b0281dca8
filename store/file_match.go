package store

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"snapcase/evidence"
)

// fold makes texts equal that differ in case only, in any script. Bytes that
// are not UTF-8 stay as they are.
func fold(s string) string {
	plain := true
	for i := 0; i < len(s) && plain; i++ {
		plain = s[i] < utf8.RuneSelf && (s[i] < 'A' || s[i] > 'Z')
	}
	if plain {
		return s
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		if r == utf8.RuneError && n == 1 {
			b = append(b, s[i])
		} else {
			b = utf8.AppendRune(b, foldRune(r))
		}
		i += n
	}
	return string(b)
}

// foldRune is the one of the forms of a letter that stands for all: the lower
// case of ASCII, the least otherwise.
func foldRune(r rune) rune {
	least := r
	for f := unicode.SimpleFold(r); f != r; f = unicode.SimpleFold(f) {
		least = min(least, f)
	}
	if 'A' <= least && least <= 'Z' {
		least += 'a' - 'A'
	}
	return least
}

// glob is a pattern for a whole path: * and ? and [..] match bytes other than
// a slash, [..] with ranges and ! or ^ for "not", a backslash takes the next
// byte as it is, and ** matches anything, slashes included; "**/" also nothing.
// ? and the members of [..] are characters, or single bytes where the path is
// not UTF-8.
type glob struct {
	parts   []globPart
	literal string // what every match begins with
	last    string // the last part of every match, "" when that is not fixed
}

type globPart struct {
	kind globKind
	text string    // literal
	set  [][2]rune // class
	not  bool      // class
}

type globKind uint8

const (
	globText globKind = iota
	globOne
	globClass
	globStar
	globDeep     // **
	globDeepPart // **/
)

func parseGlob(pattern string) (*glob, error) {
	g := &glob{}
	p := pattern
	if !strings.HasPrefix(p, "/") && !strings.HasPrefix(p, "*") {
		p = "/" + p
	}
	var text []byte
	flush := func() {
		if len(text) > 0 {
			g.parts = append(g.parts, globPart{text: string(text)})
			text = nil
		}
	}
	part := func(k globPart, n int) {
		flush()
		g.parts = append(g.parts, k)
		p = p[n:]
	}
	start := true // of a part of the path
	for len(p) > 0 {
		at := start
		start = p[0] == '/'
		switch {
		case at && strings.HasPrefix(p, "**/"):
			part(globPart{kind: globDeepPart}, 3)
			start = true
		case strings.HasPrefix(p, "**"):
			part(globPart{kind: globDeep}, len(p)-len(strings.TrimLeft(p, "*")))
		case p[0] == '*':
			part(globPart{kind: globStar}, 1)
		case p[0] == '?':
			part(globPart{kind: globOne}, 1)
		case p[0] == '[':
			c, n, err := parseClass(p)
			if err != nil {
				return nil, evidence.WithHint(fmt.Errorf("path %q: %w: %w", pattern, err, evidence.ErrUsage), "write a bracket that is meant as such as \\[")
			}
			part(c, n)
		case p[0] == '\\' && len(p) > 1:
			text = append(text, p[1])
			p = p[2:]
		default:
			text = append(text, p[0])
			p = p[1:]
		}
	}
	flush()
	if len(g.parts) > maxGlobParts {
		return nil, fmt.Errorf("path %q: the pattern has more than %d parts: %w", pattern, maxGlobParts, evidence.ErrUsage)
	}
	g.fixed()
	return g, nil
}

const maxGlobParts = 1000

// fixed finds what every match begins and ends with.
func (g *glob) fixed() {
	if len(g.parts) == 0 {
		return
	}
	if p := g.parts[0]; p.kind == globText {
		g.literal = p.text
	}
	end := g.parts[len(g.parts)-1]
	i := strings.LastIndexByte(end.text, '/')
	if end.kind == globText && i >= 0 {
		g.last = end.text[i+1:]
	} else if end.kind == globText && len(g.parts) > 1 && g.parts[len(g.parts)-2].kind == globDeepPart {
		g.last = end.text
	}
}

func parseClass(p string) (c globPart, n int, err error) {
	c.kind = globClass
	i := 1
	if i < len(p) && (p[i] == '!' || p[i] == '^') {
		c.not = true
		i++
	}
	for first := true; ; first = false {
		if i >= len(p) {
			return c, 0, fmt.Errorf("a bracket is not closed")
		}
		if p[i] == ']' && !first {
			return c, i + 1, nil
		}
		lo, k := classRune(p[i:])
		i += k
		hi := lo
		if i+1 < len(p) && p[i] == '-' && p[i+1] != ']' {
			hi, k = classRune(p[i+1:])
			i += 1 + k
		}
		c.set = append(c.set, [2]rune{lo, hi})
	}
}

func classRune(p string) (r rune, n int) {
	skip := 0
	if p[0] == '\\' && len(p) > 1 {
		skip = 1
	}
	r, n = pathRune(p[skip:])
	return r, n + skip
}

// pathRune is the first character; a byte that is not UTF-8 is one that no
// other character is.
func pathRune(s string) (rune, int) {
	r, n := utf8.DecodeRuneInString(s)
	if r == utf8.RuneError && n == 1 {
		return unicode.MaxRune + 1 + rune(s[0]), 1
	}
	return r, n
}

// match says whether the whole of path matches. It takes time in proportion
// to the length of the path times that of the pattern.
func (g *glob) match(path string) bool {
	m := globMatch{g: g, path: path}
	return m.from(0, 0)
}

// globMatch is one attempt. dead says for a part that has many lengths where
// it was tried in vain: from any later place of that run it can take less only.
type globMatch struct {
	g    *glob
	path string
	dead map[int][2]int
}

func (m *globMatch) from(k, at int) bool {
	for ; k < len(m.g.parts); k++ {
		p := &m.g.parts[k]
		switch p.kind {
		case globText:
			if !strings.HasPrefix(m.path[at:], p.text) {
				return false
			}
			at += len(p.text)
		case globOne, globClass:
			if at == len(m.path) || m.path[at] == '/' {
				return false
			}
			r, n := pathRune(m.path[at:])
			if p.kind == globClass && p.has(r) == p.not {
				return false
			}
			at += n
		case globStar, globDeep, globDeepPart:
			return m.any(k, at)
		}
	}
	return at == len(m.path)
}

// any tries every length of a part that has many.
func (m *globMatch) any(k, at int) bool {
	if d, ok := m.dead[k]; ok && d[0] <= at && at <= d[1] {
		return false
	}
	kind := m.g.parts[k].kind
	i := at
	for ; ; i++ {
		if (kind != globDeepPart || i == at || m.path[i-1] == '/') && m.from(k+1, i) {
			return true
		}
		if i == len(m.path) || kind == globStar && m.path[i] == '/' {
			break
		}
	}
	if m.dead == nil {
		m.dead = map[int][2]int{}
	}
	m.dead[k] = [2]int{at, i}
	return false
}

func (p *globPart) has(r rune) bool {
	for _, s := range p.set {
		if s[0] <= r && r <= s[1] {
			return true
		}
	}
	return false
}
