package lvm

import (
	"fmt"
	"strconv"
	"strings"

	"snapcase/imaging"
)

const (
	maxDepth  = 16      // of sections
	maxValues = 1 << 20 // of one text, sections and items of lists too
)

// section is a named part of the text.
type section struct {
	name   string
	values map[string][]item
	subs   []*section
}

// item is a number or a string.
type item struct {
	text   string
	num    int64
	number bool
}

// parser reads a text from its start. It stops at the first thing that is no
// text and keeps what it has.
type parser struct {
	p    []byte
	i    int
	left int // values that may still be kept
}

// parse gives the tree of the text, of at most that many values, and how many
// it has; with an error it is what stood before.
func parse(p []byte, most int) (root *section, count int, err error) {
	r := parser{p: p, left: most}
	root = &section{}
	err = r.section(root, 0)
	return root, most - r.left, err
}

func (r *parser) fail(format string, args ...any) error {
	return &imaging.FormatError{Format: "lvm", Offset: int64(r.i), Reason: fmt.Sprintf(format, args...)}
}

// blank passes over space and comments.
func (r *parser) blank() {
	for r.i < len(r.p) {
		switch r.p[r.i] {
		case ' ', '\t', '\n', '\r':
			r.i++
		case '#':
			for r.i < len(r.p) && r.p[r.i] != '\n' && r.p[r.i] != 0 {
				r.i++
			}
		default:
			return
		}
	}
}

// peek is the next byte that is not blank, 0 at the end.
func (r *parser) peek() byte {
	r.blank()
	if r.i >= len(r.p) {
		return 0
	}
	return r.p[r.i]
}

func isWord(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("_.+-/@", c) >= 0
}

func (r *parser) word() string {
	start := r.i
	for r.i < len(r.p) && isWord(r.p[r.i]) {
		r.i++
	}
	return string(r.p[start:r.i])
}

// section reads what stands in s up to its end.
func (r *parser) section(s *section, depth int) error {
	for {
		c := r.peek()
		switch {
		case c == 0 && depth == 0:
			return nil
		case c == 0:
			return r.fail("the text ends in section %q", s.name)
		case c == '}' && depth > 0:
			r.i++
			return nil
		case c != '"' && !isWord(c):
			return r.fail("%q is no name", c)
		}
		if err := r.entry(s, depth); err != nil {
			return err
		}
	}
}

// entry reads one value or one section.
func (r *parser) entry(s *section, depth int) error {
	var name string
	var err error
	if r.p[r.i] == '"' {
		name, err = r.quoted()
	} else {
		name = r.word()
	}
	if err != nil {
		return err
	}
	if err := r.more(); err != nil {
		return err
	}
	switch r.peek() {
	case '{':
		r.i++
		if depth >= maxDepth {
			return r.fail("more than %d sections in one another", maxDepth)
		}
		sub := &section{name: name}
		s.subs = append(s.subs, sub)
		return r.section(sub, depth+1)
	case '=':
		r.i++
		v, err := r.value()
		if err != nil {
			return err
		}
		if s.values == nil {
			s.values = make(map[string][]item)
		}
		s.values[name] = v
		return nil
	}
	return r.fail("neither a value nor a section follows %q", name)
}

// more counts what is kept.
func (r *parser) more() error {
	if r.left == 0 {
		return r.fail("too many values")
	}
	r.left--
	return nil
}

// value reads an item or a list of them.
func (r *parser) value() ([]item, error) {
	if r.peek() != '[' {
		v, err := r.item()
		return []item{v}, err
	}
	r.i++
	list := []item{}
	for {
		switch r.peek() {
		case ']':
			r.i++
			return list, nil
		case ',':
			r.i++
			continue
		}
		v, err := r.item()
		if err != nil {
			return nil, err
		}
		if err := r.more(); err != nil {
			return nil, err
		}
		list = append(list, v)
	}
}

func (r *parser) item() (item, error) {
	switch c := r.peek(); {
	case c == '"':
		s, err := r.quoted()
		return item{text: s}, err
	case isWord(c):
		w := r.word()
		if n, err := strconv.ParseInt(w, 10, 64); err == nil {
			return item{num: n, number: true}, nil
		}
		return item{text: w}, nil
	default:
		return item{}, r.fail("%q is no value", c)
	}
}

// quoted reads a string in double quotes, in which \ takes the next byte as it
// is.
func (r *parser) quoted() (string, error) {
	var b []byte
	for i := r.i + 1; i < len(r.p); i++ {
		switch c := r.p[i]; c {
		case '"':
			r.i = i + 1
			return string(b), nil
		case '\\':
			if i++; i < len(r.p) {
				b = append(b, r.p[i])
			}
		case 0:
			return "", r.fail("a string has no end")
		default:
			b = append(b, c)
		}
	}
	return "", r.fail("a string has no end")
}

// sub is the first section of that name, or an empty one.
func (s *section) sub(name string) *section {
	for _, c := range s.subs {
		if c.name == name {
			return c
		}
	}
	return &section{}
}

func (s *section) text(name string) string {
	if v := s.values[name]; len(v) == 1 && !v[0].number {
		return v[0].text
	}
	return ""
}

// num is the number, or -1 where there is none or a negative one.
func (s *section) num(name string) int64 {
	if v := s.values[name]; len(v) == 1 && v[0].number && v[0].num >= 0 {
		return v[0].num
	}
	return -1
}

// words are the strings of a list.
func (s *section) words(names ...string) []string {
	var all []string
	for _, name := range names {
		for _, v := range s.values[name] {
			if !v.number {
				all = append(all, v.text)
			}
		}
	}
	return all
}
