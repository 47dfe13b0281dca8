package custody

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// This file is the JSON of the ledger: RFC 8785 without floats and null.

const (
	maxInteger = 1<<53 - 1
	maxDepth   = 64
)

const hexDigits = "0123456789abcdef"

// appendValue appends the canonical form of v.
func appendValue(b []byte, v any, depth int) ([]byte, error) {
	if depth > maxDepth {
		return nil, fmt.Errorf("nested deeper than %d", maxDepth)
	}
	switch v := v.(type) {
	case string:
		return appendString(b, v)
	case bool:
		return strconv.AppendBool(b, v), nil
	case int:
		return appendInteger(b, int64(v))
	case int64:
		return appendInteger(b, v)
	case []string:
		b = append(b, '[')
		for i, s := range v {
			if i > 0 {
				b = append(b, ',')
			}
			var err error
			if b, err = appendString(b, s); err != nil {
				return nil, err
			}
		}
		return append(b, ']'), nil
	case []any:
		return appendArray(b, v, depth)
	case map[string]any:
		return appendObject(b, v, depth)
	case map[string]string:
		m := make(map[string]any, len(v))
		for k, s := range v {
			m[k] = s
		}
		return appendObject(b, m, depth)
	}
	return nil, fmt.Errorf("a value of type %T cannot stand in the ledger", v)
}

func appendInteger(b []byte, n int64) ([]byte, error) {
	if n > maxInteger || n < -maxInteger {
		return nil, fmt.Errorf("integer %d has more than 53 bits", n)
	}
	return strconv.AppendInt(b, n, 10), nil
}

func appendArray(b []byte, v []any, depth int) ([]byte, error) {
	b = append(b, '[')
	for i, e := range v {
		if i > 0 {
			b = append(b, ',')
		}
		var err error
		if b, err = appendValue(b, e, depth+1); err != nil {
			return nil, err
		}
	}
	return append(b, ']'), nil
}

func appendObject(b []byte, v map[string]any, depth int) ([]byte, error) {
	keys := make([]string, 0, len(v))
	for k := range v {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, compareUTF16)
	b = append(b, '{')
	for i, k := range keys {
		if i > 0 {
			b = append(b, ',')
		}
		var err error
		if b, err = appendString(b, k); err != nil {
			return nil, err
		}
		b = append(b, ':')
		if b, err = appendValue(b, v[k], depth+1); err != nil {
			return nil, fmt.Errorf("%s: %w", k, err)
		}
	}
	return append(b, '}'), nil
}

// compareUTF16 orders keys by their UTF-16 code units, as RFC 8785 asks. It
// differs from the order of bytes only above U+FFFF.
func compareUTF16(a, b string) int {
	if slices.IndexFunc([]byte(a), func(c byte) bool { return c >= 0xee }) < 0 &&
		slices.IndexFunc([]byte(b), func(c byte) bool { return c >= 0xee }) < 0 {
		return cmp.Compare(a, b)
	}
	return slices.Compare(utf16.Encode([]rune(a)), utf16.Encode([]rune(b)))
}

var errNotUTF8 = errors.New("text is not UTF-8")

func appendString(b []byte, s string) ([]byte, error) {
	if !utf8.ValidString(s) {
		return nil, errNotUTF8
	}
	b = append(b, '"')
	for i := range len(s) {
		c := s[i]
		switch {
		case c == '"' || c == '\\':
			b = append(b, '\\', c)
		case c >= 0x20:
			b = append(b, c)
		case c == '\b':
			b = append(b, `\b`...)
		case c == '\t':
			b = append(b, `\t`...)
		case c == '\n':
			b = append(b, `\n`...)
		case c == '\f':
			b = append(b, `\f`...)
		case c == '\r':
			b = append(b, `\r`...)
		default:
			b = append(b, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		}
	}
	return append(b, '"'), nil
}

// parser reads the JSON of one line. It is strict where being lenient could
// give two readings, and leaves the canonical form to a comparison with what
// appendValue makes of the result.
type parser struct {
	s string
	i int
}

// parseObject reads s, which must be one object and nothing else.
func parseObject(s string) (map[string]any, error) {
	p := parser{s: s}
	if len(s) == 0 || s[0] != '{' {
		return nil, errors.New("it is no object")
	}
	v, err := p.object(0)
	if err != nil {
		return nil, fmt.Errorf("byte %d: %w", p.i, err)
	}
	if p.i != len(s) {
		return nil, fmt.Errorf("byte %d: more after the object", p.i)
	}
	return v, nil
}

func (p *parser) peek() byte {
	if p.i < len(p.s) {
		return p.s[p.i]
	}
	return 0
}

func (p *parser) value(depth int) (any, error) {
	if depth > maxDepth {
		return nil, fmt.Errorf("nested deeper than %d", maxDepth)
	}
	switch c := p.peek(); {
	case c == '"':
		return p.string()
	case c == '{':
		return p.object(depth)
	case c == '[':
		return p.array(depth)
	case c == '-' || c >= '0' && c <= '9':
		return p.integer()
	case p.word("true"):
		return true, nil
	case p.word("false"):
		return false, nil
	}
	return nil, errors.New("want a string, boolean, integer, array or object")
}

func (p *parser) word(w string) bool {
	if len(p.s)-p.i >= len(w) && p.s[p.i:p.i+len(w)] == w {
		p.i += len(w)
		return true
	}
	return false
}

func (p *parser) object(depth int) (map[string]any, error) {
	m := map[string]any{}
	p.i++
	if p.word("}") {
		return m, nil
	}
	for {
		if p.peek() != '"' {
			return nil, errors.New("want a key")
		}
		k, err := p.string()
		if err != nil {
			return nil, err
		}
		if _, twice := m[k]; twice {
			return nil, fmt.Errorf("key %q twice", k)
		}
		if !p.word(":") {
			return nil, errors.New("want a colon")
		}
		if m[k], err = p.value(depth + 1); err != nil {
			return nil, err
		}
		if p.word("}") {
			return m, nil
		}
		if !p.word(",") {
			return nil, errors.New("want a comma or the end of the object")
		}
	}
}

func (p *parser) array(depth int) ([]any, error) {
	a := []any{}
	p.i++
	if p.word("]") {
		return a, nil
	}
	for {
		v, err := p.value(depth + 1)
		if err != nil {
			return nil, err
		}
		a = append(a, v)
		if p.word("]") {
			return a, nil
		}
		if !p.word(",") {
			return nil, errors.New("want a comma or the end of the array")
		}
	}
}

func (p *parser) integer() (int64, error) {
	start := p.i
	p.word("-")
	for c := p.peek(); c >= '0' && c <= '9'; c = p.peek() {
		p.i++
	}
	text := p.s[start:p.i]
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n > maxInteger || n < -maxInteger || strconv.FormatInt(n, 10) != text {
		return 0, fmt.Errorf("number %q is no integer of at most 53 bits", text)
	}
	if c := p.peek(); c == '.' || c == 'e' || c == 'E' {
		return 0, errors.New("a number with a fraction or exponent")
	}
	return n, nil
}

func (p *parser) string() (string, error) {
	p.i++
	start := p.i
	for p.i < len(p.s) {
		switch c := p.s[p.i]; {
		case c == '"':
			s := p.s[start:p.i]
			p.i++
			if !utf8.ValidString(s) {
				return "", errNotUTF8
			}
			return s, nil
		case c == '\\':
			return p.escaped(start)
		case c < 0x20:
			return "", fmt.Errorf("control character %#02x in a string", c)
		}
		p.i++
	}
	return "", errors.New("a string without end")
}

// escaped reads the rest of a string from its first escape on.
func (p *parser) escaped(start int) (string, error) {
	b := []byte(p.s[start:p.i])
	for p.i < len(p.s) {
		c := p.s[p.i]
		p.i++
		switch {
		case c == '"':
			if !utf8.Valid(b) {
				return "", errNotUTF8
			}
			return string(b), nil
		case c < 0x20:
			return "", fmt.Errorf("control character %#02x in a string", c)
		case c != '\\':
			b = append(b, c)
			continue
		}
		var err error
		if b, err = p.escape(b); err != nil {
			return "", err
		}
	}
	return "", errors.New("a string without end")
}

// escape reads what follows a backslash. Only the escapes that the canonical
// form has are known: \u stands for control characters alone.
func (p *parser) escape(b []byte) ([]byte, error) {
	c := p.peek()
	p.i++
	switch c {
	case '"', '\\':
		return append(b, c), nil
	case 'b':
		return append(b, '\b'), nil
	case 't':
		return append(b, '\t'), nil
	case 'n':
		return append(b, '\n'), nil
	case 'f':
		return append(b, '\f'), nil
	case 'r':
		return append(b, '\r'), nil
	case 'u':
		if len(p.s)-p.i < 4 {
			break
		}
		n, err := strconv.ParseUint(p.s[p.i:p.i+4], 16, 16)
		if err != nil || n >= 0x20 {
			break
		}
		p.i += 4
		return append(b, byte(n)), nil
	}
	return nil, errors.New("an escape that the canonical form does not have")
}
