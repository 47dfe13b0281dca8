package netcap

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"
)

// printable is b as text of printable ASCII: any other byte, and those of
// special behind a backslash as zone files write them (\" \195).
func printable(b []byte, special string) string {
	plain := func(c byte) bool { return c > ' ' && c < 0x7f && strings.IndexByte(special, c) < 0 }
	odd := 0
	for odd < len(b) && plain(b[odd]) {
		odd++
	}
	if odd == len(b) {
		return string(b)
	}
	var s strings.Builder
	for _, c := range b {
		switch {
		case plain(c) || c == ' ':
			s.WriteByte(c)
		case c > ' ' && c < 0x7f:
			s.WriteByte('\\')
			s.WriteByte(c)
		default:
			fmt.Fprintf(&s, "\\%03d", c)
		}
	}
	return s.String()
}

const tlsHandshake = 22

// serverName is the name that a TLS ClientHello asks for, as far as it stands
// in the one record at the start of b; "" where there is none. RFC 8446 4.1.2,
// RFC 6066 3.
func serverName(b []byte) string {
	if len(b) < 9 || b[1] != 3 || b[5] != 1 {
		return ""
	}
	record := b[5:]
	record = record[:min(len(record), int(binary.BigEndian.Uint16(b[3:])))]
	f := fields{b: record}
	f.skip(4 + 2 + 32) // type and length, version, random
	f.skip(f.number(1))
	f.skip(f.number(2))
	f.skip(f.number(1))
	for end := f.number(2); !f.short && end >= 4; {
		kind, n := f.number(2), f.number(2)
		end -= 4 + n
		if kind != 0 {
			f.skip(n)
			continue
		}
		list := fields{b: f.take(n), short: f.short}
		list.number(2)
		for !list.short {
			kind, name := list.number(1), list.take(list.number(2))
			if kind == 0 && !list.short {
				return printable(name, `\`)
			}
		}
		return ""
	}
	return ""
}

// fields reads numbers and bytes in turn; short says that there were too few.
type fields struct {
	b     []byte
	short bool
}

func (f *fields) take(n int) []byte {
	if f.short || n > len(f.b) {
		f.short = true
		return nil
	}
	taken := f.b[:n]
	f.b = f.b[n:]
	return taken
}

func (f *fields) skip(n int) { f.take(n) }

func (f *fields) number(size int) (n int) {
	for _, c := range f.take(size) {
		n = n<<8 | int(c)
	}
	return n
}

// maxMethod is the longest method of HTTP that is looked for.
const maxMethod = 20

// httpHost is the Host field of the HTTP/1 request at the start of b; "" where
// there is none, or its line does not end in b.
func httpHost(b []byte) string {
	method := bytes.IndexByte(b[:min(len(b), maxMethod)], ' ')
	if method < 1 {
		return ""
	}
	for _, c := range b[:method] {
		if c < 'A' || c > 'Z' {
			return ""
		}
	}
	line, rest, ok := bytes.Cut(b, []byte("\n"))
	line = bytes.TrimSuffix(line, []byte("\r"))
	if !ok || !bytes.HasSuffix(line, []byte(" HTTP/1.1")) && !bytes.HasSuffix(line, []byte(" HTTP/1.0")) {
		return ""
	}
	for {
		if line, rest, ok = bytes.Cut(rest, []byte("\n")); !ok || len(line) <= 1 {
			return ""
		}
		name, value, ok := bytes.Cut(line, []byte(":"))
		if ok && bytes.EqualFold(name, []byte("Host")) {
			return printable(bytes.TrimSpace(value), `\`)
		}
	}
}
