// Package visible makes text from evidence harmless to show. Its Text is what
// every screen, message and page takes; the only ways to make one are Escape,
// for text that somebody else chose, and Lit, for constants of this program.
//
// Escape follows one table. C0 controls and DEL become control pictures (␛);
// C1 controls, bidi controls, zero-width and other format characters, variation
// selectors, tags, private use, non-characters, look-alike blanks, line and
// paragraph separators and joined emoji become ‹U+XXXX›; a byte that is not
// UTF-8 becomes ‹\xhh›; the third and further combining mark in a row becomes
// ‹U+XXXX›; "‹" and "›" are doubled, control pictures that stand in the text
// itself become ‹U+24XX›. So Unescape gives the bytes back.
//
// The package does not decide widths, does not cut, and is no protection for
// formats of their own (HTML, CSV, shell): those escape again.
package visible

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Text is text that is safe to show. The zero Text is empty.
type Text struct {
	s       string
	changed bool
}

// constant is a string that only an untyped constant converts to by itself.
type constant string

// Lit is a constant of this program as Text.
func Lit(s constant) Text { return Text{s: string(s)} }

// String is the text to show.
func (t Text) String() string { return t.s }

// Changed says whether anything had to be escaped.
func (t Text) Changed() bool { return t.changed }

// Join puts texts together with a constant between them.
func Join(sep constant, all ...Text) Text {
	var b strings.Builder
	changed := false
	for i, t := range all {
		if i > 0 {
			b.WriteString(string(sep))
		}
		b.WriteString(t.s)
		changed = changed || t.changed
	}
	return Text{b.String(), changed}
}

// Sprintf is fmt.Sprintf for Text: the format is a constant of this program,
// Text and numbers are taken as they are, and everything else (strings, errors,
// Stringers) goes through Escape first. Flags and widths of %s and %v count
// runes of the escaped text.
func Sprintf(format constant, args ...any) Text {
	safe, changed := make([]any, len(args)), false
	for i, a := range args {
		switch v := a.(type) {
		case Text:
			safe[i], changed = v.s, changed || v.changed
		case bool, int, int8, int16, int32, int64, uint, uint8, uint16, uint32, uint64, float32, float64:
			safe[i] = v
		case string:
			t := Escape(v)
			safe[i], changed = t.s, changed || t.changed
		default:
			t := Escape(fmt.Sprint(v))
			safe[i], changed = t.s, changed || t.changed
		}
	}
	return Text{fmt.Sprintf(string(format), safe...), changed}
}

// Escape makes s harmless.
func Escape(s string) Text {
	if plain(s) {
		return Text{s: s}
	}
	var b strings.Builder
	b.Grow(len(s) + 16)
	changed, marks := false, 0
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		if r == utf8.RuneError && n == 1 {
			fmt.Fprintf(&b, `‹\x%02x›`, s[i])
			changed, marks = true, 0
			i++
			continue
		}
		if unicode.In(r, unicode.Mn, unicode.Me, unicode.Mc) {
			marks++
		} else {
			marks = 0
		}
		if e := escapeRune(r, marks); e != "" || marks == 1 && i == 0 {
			if e == "" { // a first mark would sit on what stands before the text
				e = fmt.Sprintf("‹U+%04X›", r)
			}
			b.WriteString(e)
			changed = true
		} else {
			b.WriteString(s[i : i+n])
		}
		i += n
	}
	return Text{b.String(), changed}
}

// plain is the fast way for printable ASCII.
func plain(s string) bool {
	for i := range len(s) {
		if s[i] < 0x20 || s[i] > 0x7e {
			return false
		}
	}
	return true
}

func escapeRune(r rune, marks int) string {
	switch {
	case r < 0x20:
		return string(0x2400 + r)
	case r == 0x7f:
		return "\u2421"
	case r < 0x7f:
		return ""
	case r == '‹' || r == '›':
		return string(r) + string(r)
	case marks > 2 || hidden(r):
		return fmt.Sprintf("‹U+%04X›", r)
	}
	return ""
}

// hidden says whether r must not reach a terminal: it is invisible, moves
// others, has no agreed width, or looks like what it is not.
func hidden(r rune) bool {
	switch {
	case r >= 0x80 && r <= 0xa0, r == 0xad, r == 0x34f, r == 0x61c,
		r == 0x115f, r == 0x1160, r == 0x17b4, r == 0x17b5, r == 0x3164, r == 0xffa0, r == 0x2800,
		r >= 0x2000 && r <= 0x200f, r >= 0x2028 && r <= 0x202f, r >= 0x205f && r <= 0x206f,
		r == 0x3000, r == 0x1680, r >= 0x180b && r <= 0x180f,
		r >= 0x2400 && r <= 0x243f,
		r == 0x231a, r == 0x231b, r >= 0x23e9 && r <= 0x23fa, r == 0x25fd, r == 0x25fe,
		r >= 0x2b1b && r <= 0x2b1c, r == 0x2b50, r == 0x2b55,
		r >= 0x1161 && r <= 0x11ff, r >= 0xd7b0 && r <= 0xd7ff,
		r >= 0xfe00 && r <= 0xfe0f, r == 0xfeff, r >= 0xfff0 && r <= 0xfffd,
		r >= 0x1f000 && r <= 0x1faff, r >= 0x1fb00 && r <= 0x1fbff, r >= 0x2600 && r <= 0x27bf,
		r >= 0xe0000 && r <= 0xe0fff:
		return true
	case r&0xfffe == 0xfffe, r >= 0xfdd0 && r <= 0xfdef:
		return true
	}
	return unicode.In(r, unicode.Co, unicode.Cf, unicode.Cs, unicode.Zl, unicode.Zp) || !unicode.IsGraphic(r)
}

// Unescape turns what Escape made back into the bytes it was made from.
func Unescape(t Text) string {
	var b strings.Builder
	s := t.s
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == '\u2421':
			b.WriteByte(0x7f)
		case r >= 0x2400 && r < 0x2420:
			b.WriteByte(byte(r - 0x2400))
		case r == '‹' || r == '›':
			m := opened(s[i+n:], r, &b)
			i += n + m
			continue
		default:
			b.WriteString(s[i : i+n])
		}
		i += n
	}
	return b.String()
}

// opened reads what follows a ‹ or ›: its double, or ‹U+XXXX› or ‹\xhh›; it
// says how many bytes it took.
func opened(rest string, r rune, b *strings.Builder) int {
	if next, n := utf8.DecodeRuneInString(rest); next == r {
		b.WriteRune(r)
		return n
	}
	body, _, ok := strings.Cut(rest, "›")
	if r == '‹' && ok {
		if v, err := strconv.ParseUint(strings.TrimPrefix(body, "U+"), 16, 32); err == nil && strings.HasPrefix(body, "U+") {
			b.WriteRune(rune(v)) //nolint:gosec // it was a rune
			return len(body) + len("›")
		}
		if v, err := strconv.ParseUint(strings.TrimPrefix(body, `\x`), 16, 8); err == nil && strings.HasPrefix(body, `\x`) {
			b.WriteByte(byte(v))
			return len(body) + len("›")
		}
	}
	b.WriteRune(r)
	return 0
}

// Part is a piece of t that the caller cut out of t.String(); what is not a
// piece of it goes through Escape.
func Part(t Text, piece string) Text {
	if strings.Contains(t.s, piece) {
		return Text{piece, t.changed}
	}
	return Escape(piece)
}
