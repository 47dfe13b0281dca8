package intel

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
)

// columnNames are the columns of a CSV that hold what is listed, the first that
// is there; fromNames and untilNames those of its dates.
var (
	columnNames = []string{"ip", "ip_address", "ipaddress", "dst_ip", "ip-dst", "dest_ip", "destination_ip", "src_ip", "ip-src", "source_ip", "ioc_value", "ioc", "indicator", "indicator_value", "value", "cidr", "network", "prefix", "address", "domain", "hostname", "host", "fqdn"}
	fromNames   = []string{"first_seen", "first_seen_utc", "firstseen", "valid_from", "date_added", "added", "date", "timestamp", "created"}
	untilNames  = []string{"valid_until", "expiration", "expires"}
)

// columns is a remark that can be the names of columns, and no sentence.
var columns = regexp.MustCompile(`^"?[A-Za-z0-9_-]{1,32}"?([,;\t] ?"?[A-Za-z0-9_-]{1,32}"?)+$`)

// text is the state of a plain list or a CSV.
type text struct {
	n, off            int64
	begun             bool // a line that is no remark was seen
	comma             byte // of a CSV; 0 for a plain list
	value, from, till int  // columns; -1 where none is named
}

func readText(in *bufio.Reader, yield func(Entry, error) bool) {
	t := text{value: -1, from: -1, till: -1}
	for {
		line, long, err := nextLine(in)
		if err != nil && !errors.Is(err, io.EOF) {
			yield(Entry{}, err)
			return
		}
		if len(line) == 0 && err != nil {
			return
		}
		t.n++
		at := t.off
		t.off += long
		if int64(len(line)) < long-2 {
			if !yield(Entry{}, &BadEntry{t.n, at, fmt.Sprintf("the line has %d bytes, at most %d", long, mostLine)}) {
				return
			}
			continue
		}
		e, is, bad := t.line(strings.TrimRight(string(line), "\r\n"))
		switch {
		case bad != nil:
			if !yield(Entry{}, &BadEntry{t.n, at, bad.Error()}) {
				return
			}
		case is:
			e.N = t.n
			if !yield(e, nil) {
				return
			}
		}
	}
}

// nextLine gives a line, the first mostLine bytes of it, and its length with
// its end.
func nextLine(in *bufio.Reader) (line []byte, long int64, err error) {
	for {
		part, err := in.ReadSlice('\n')
		long += int64(len(part))
		line = append(line, part[:min(len(part), mostLine-len(line))]...)
		if !errors.Is(err, bufio.ErrBufferFull) {
			return line, long, err
		}
	}
}

// line reads one line; is says that it lists something.
func (t *text) line(s string) (e Entry, is bool, err error) {
	if t.n == 1 {
		s = strings.TrimPrefix(s, "\xef\xbb\xbf")
	}
	s = strings.TrimSpace(s)
	if s == "" || strings.HasPrefix(s, "//") || s[0] == ';' {
		return e, false, nil
	}
	if s[0] == '#' { // some feeds put the names of their columns behind it
		if h := strings.TrimLeft(s, "# "); !t.begun && columns.MatchString(h) {
			t.header(h)
		}
		return e, false, nil
	}
	if !t.begun {
		t.begun = true
		if t.comma == 0 && t.header(s) {
			return e, false, nil
		}
		if t.comma == 0 {
			t.comma = separator(s)
		}
	}
	if t.comma == 0 {
		return plain(s)
	}
	return t.row(fields(s, t.comma))
}

// header takes the names of columns; it is false for a line without one that
// is known.
func (t *text) header(s string) bool {
	for _, comma := range []byte{',', ';', '\t'} {
		names := fields(s, comma)
		for i, n := range names {
			names[i] = strings.ToLower(strings.TrimSpace(n))
		}
		column := func(of []string) int {
			for _, n := range of {
				if i := slices.Index(names, n); i >= 0 {
					return i
				}
			}
			return -1
		}
		if v := column(columnNames); v >= 0 && (len(names) > 1 || !strings.Contains(s, " ")) {
			t.comma, t.value, t.from, t.till = comma, v, column(fromNames), column(untilNames)
			return true
		}
	}
	return false
}

// separator is what separates the fields of a CSV without names; 0 for a plain
// list.
func separator(s string) byte {
	for _, comma := range []byte{',', ';', '\t'} {
		if f := fields(s, comma); len(f) > 1 && comma != ';' {
			return comma
		}
	}
	return 0
}

// row reads a line of a CSV.
func (t *text) row(f []string) (e Entry, is bool, err error) {
	at := t.value
	if at < 0 {
		for i, s := range f {
			if e, perr := parse(s); perr == nil && e.Prefix.IsValid() {
				at = i
				break
			}
		}
		if at < 0 {
			return e, false, errors.New("no field is an address or a network")
		}
	}
	if at >= len(f) {
		return e, false, fmt.Errorf("it has %d fields, the listed one is number %d", len(f), at+1)
	}
	if e, err = parse(f[at]); err != nil {
		return e, false, fmt.Errorf("field %d: %w", at+1, err)
	}
	if t.from >= 0 && t.from < len(f) {
		e.From = parseTime(f[t.from])
	}
	if t.till >= 0 && t.till < len(f) {
		e.Until = parseTime(f[t.till])
	}
	return e, true, nil
}

// plain reads a line of a plain list.
func plain(s string) (e Entry, is bool, err error) {
	if i := strings.IndexAny(s, ";#"); i >= 0 {
		s = s[:i]
	}
	words := strings.Fields(s)
	if len(words) == 0 {
		return e, false, nil
	}
	first := words[0]
	if len(words) > 1 && slices.Contains([]string{"0.0.0.0", "127.0.0.1", "::", "::1"}, first) {
		first = words[1]
	}
	if e, err = parse(first); err != nil {
		return e, false, fmt.Errorf("%.80q: %w", first, err)
	}
	return e, true, nil
}

// fields cuts a line of a CSV; a quoted field may hold the separator, and ""
// is a quote in it.
func fields(s string, comma byte) []string {
	var out []string
	var b strings.Builder
	quoted := false
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case quoted && c == '"' && i+1 < len(s) && s[i+1] == '"':
			b.WriteByte('"')
			i++
		case c == '"':
			quoted = !quoted
		case c == comma && !quoted:
			out = append(out, b.String())
			b.Reset()
		default:
			b.WriteByte(c)
		}
	}
	return append(out, b.String())
}
