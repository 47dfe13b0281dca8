package flowlog

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"net/netip"
	"strconv"
	"strings"
	"testing"

	"snapcase/imaging"
)

// FuzzRead: no input may panic, numbers go up by one, places are those of
// lines, and what a record says is what its line says under its schema.
func FuzzRead(f *testing.F) {
	head := defaultFormat + "\n"
	for _, text := range []string{
		"", "\n", head, head + v2Lines[0], v2Lines[2] + "\n" + v2Lines[3] + "\r\n",
		head + strings.Join(v2Lines, "\n") + "\n" + v5Format + "\n" + strings.Join(v5Lines, "\r\n") + "\n",
		"\xef\xbb\xbf" + head + with(3, "::1%z") + "\n" + with(9, "-1") + "\n" + with(2, "\x00") + "\n",
		v2Lines[0] + head + v2Lines[1] + "\n", "srcaddr srcaddr\n1.2.3.4 1.2.3.4\n",
		"2014-12-14T04:06:50.000Z " + v2Lines[0] + "\n", "tcp_flags x\n2 y\n3", string(pack(f, head, v2Lines[0]+"\n")),
		string(pack(f, head+v2Lines[0])[:50]), "bytes start\n18446744073709551616 1\n9223372036854775807 253402300800\n",
	} {
		f.Add([]byte(text), "")
	}
	f.Add([]byte("10.0.0.1 5\n"), "${srcaddr} bytes")
	f.Fuzz(func(t *testing.T, data []byte, format string) {
		if _, err := givenSchema(format); err != nil {
			format = ""
		}
		text := data
		if bytes.HasPrefix(data, []byte{0x1f, 0x8b}) {
			z, err := gzip.NewReader(bytes.NewReader(data))
			if err != nil {
				text = nil
			} else if text, err = io.ReadAll(io.LimitReader(z, 8<<20)); err == nil && len(text) == 8<<20 {
				t.Skip("a bomb")
			}
		}
		// Two unpackers may give different amounts of a damaged stream, so the
		// text is only trusted as far as it goes.
		n, last := int64(0), int64(0)
		for r, err := range ReadFormat(bytes.NewReader(data), format) {
			var bad *BadRecord
			if err != nil && !errors.As(err, &bad) {
				t.Fatal(err)
			}
			num, line, at := r.N, r.Line, r.Offset
			if bad != nil {
				num, line, at = bad.N, bad.Line, bad.Offset
			}
			if num != 0 {
				if n++; num != n {
					t.Fatalf("number %d follows %d", num, n-1)
				}
			}
			if line < last || at < 0 {
				t.Fatalf("line %d at %d behind line %d", line, at, last)
			}
			last = line
			if bad == nil && r.Offset+r.Length <= int64(len(text)) {
				checkLine(t, r, string(text[r.Offset:r.Offset+r.Length]))
			}
		}
	})
}

// checkLine: every value of the record stands in its line, and the line has
// nothing that the record lacks.
func checkLine(t *testing.T, r Record, line string) {
	t.Helper()
	words := map[string]int{}
	total := 0
	for _, w := range strings.FieldsFunc(line, func(c rune) bool { return c == ' ' || c == '\t' }) {
		if w != "-" {
			words[normal(w)]++
			total++
		}
	}
	take := func(v string) {
		if v == "" {
			return
		}
		if words[normal(v)]--; words[normal(v)] < 0 {
			t.Fatalf("%q is not in %q", v, line)
		}
		total--
	}
	for _, n := range []int64{r.Version, r.SrcPort, r.DstPort, r.Protocol, r.Packets, r.Bytes, r.TCPFlags} {
		if n != Null {
			take(strconv.FormatInt(n, 10))
		}
	}
	for _, a := range []netip.Addr{r.Src, r.Dst, r.PktSrc, r.PktDst} {
		if a.IsValid() {
			take(a.String())
		}
	}
	for _, at := range []imaging.Time{r.Start, r.End} {
		if at.Set {
			take(strconv.FormatInt(at.Sec, 10))
		}
	}
	for _, s := range []string{r.Account, r.Interface, r.Action, r.Status, r.VPC, r.Subnet, r.Instance, r.Region, r.Direction} {
		take(s)
	}
	for _, o := range r.Other {
		take(o.Value)
	}
	if total != 0 {
		t.Fatalf("%d values of %q are not in the record", total, line)
	}
}

// normal is one spelling of a word that is a number or an address.
func normal(w string) string {
	if n, err := strconv.ParseInt(w, 10, 64); err == nil && n >= 0 && w[0] != '+' {
		return strconv.FormatInt(n, 10)
	}
	if a, err := netip.ParseAddr(w); err == nil {
		return a.String()
	}
	return w
}
