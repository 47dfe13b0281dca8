package ewf

import "strings"

// SegmentNames lists those of names that can be segments of the image that name
// is one of: disk.E01, disk.E02, …, disk.E99, disk.EAA, …, disk.EZZ, disk.FAA, …
// and the same in lower case and with S. What they are, their content says.
func SegmentNames(names []string, name string) []string {
	stem, mine, ok := cutName(name)
	if !ok {
		return nil
	}
	var found []string
	for _, n := range names {
		if s, ext, ok := cutName(n); ok && s == stem && together(mine, ext) {
			found = append(found, n)
		}
	}
	return found
}

// extension is three characters: a letter, and two digits or two letters.
type extension struct {
	letter  byte
	numbers bool
}

// together says whether two extensions can be of one set: with numbers the
// letter is the same, behind them it is that or a later one.
func together(a, b extension) bool {
	if isUpper(a.letter) != isUpper(b.letter) {
		return false
	}
	switch {
	case a.numbers && b.numbers:
		return a.letter == b.letter
	case a.numbers:
		return b.letter >= a.letter
	case b.numbers:
		return b.letter <= a.letter
	}
	return true
}

func cutName(name string) (stem string, e extension, ok bool) {
	dot := strings.LastIndexByte(name, '.')
	if dot < 0 || len(name)-dot != 4 {
		return "", e, false
	}
	e.letter = name[dot+1]
	b, c := name[dot+2], name[dot+3]
	e.numbers = isDigit(b) && isDigit(c)
	ok = isLetter(e.letter) && (e.numbers || isLetter(b) && isLetter(c))
	return name[:dot], e, ok
}

func isDigit(c byte) bool  { return c >= '0' && c <= '9' }
func isUpper(c byte) bool  { return c >= 'A' && c <= 'Z' }
func isLetter(c byte) bool { return isUpper(c) || c >= 'a' && c <= 'z' }
