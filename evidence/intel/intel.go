// Package intel reads lists of hostile addresses and names.
//
// # Formats
//
// The format is told by the file itself.
//
//	203.0.113.7                          plain: an address, a CIDR or a domain a line; what follows a
//	198.51.100.0/24 ; SBL1               blank, ";" or "#" is a remark; a line of hosts(5) that begins
//	0.0.0.0 evil.example                 with 0.0.0.0, 127.0.0.1, :: or ::1 lists the name behind it
//	first_seen,dst_ip,dst_port           CSV (comma, semicolon or tab) whose first line that is no remark
//	2020-01-02,203.0.113.7,443           names a column of columnNames; of a CSV without such a line the
//	                                     first field that is an address counts
//	{"type":"bundle","objects":[…]}      STIX 2: indicators with a pattern of ipv4-addr:value,
//	                                     ipv6-addr:value or domain-name:value that is = or ISSUBSET
//	{"Event":{"Attribute":[…]}}          MISP: ip-src, ip-dst, with or without |port, domain, hostname,
//	                                     domain|ip; of an event, its objects, or a list of events
//
// An address may be defanged (203.0.113[.]7) or have a port (203.0.113.7:443,
// [2001:db8::1]:443). IPv4 in IPv6 (::ffff:203.0.113.7) is IPv4.
//
// # Worked example
//
//	[ipv4-addr:value = '203.0.113.7'] with valid_from 2020-01-01T00:00:00Z
//	→ Entry{N: 1, Prefix: 203.0.113.7/32, From: 2020-01-01T00:00:00Z}
//
// # What is no entry
//
// A network wider than /8, which would list a large part of the Internet; a
// pattern that joins conditions with AND or FOLLOWEDBY, since one of them alone
// says less than the list does; a line that is neither. Each gives a BadEntry
// and reading goes on. Not listed, and no BadEntry either: revoked indicators,
// deleted attributes, STIX objects and MISP attributes of other types.
//
// # What it does not do
//
// URLs, file hashes, ranges (A-B), STIX 1, and relations between objects.
package intel

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/netip"
	"regexp"
	"strings"
	"time"

	"snapcase/imaging"
)

// Entry is one address, network or name that a list holds.
type Entry struct {
	N      int64        // line of a text, or number of the indicator or attribute, from 1
	Prefix netip.Prefix // masked; not valid for a name
	Name   string       // a domain in lower case without its last dot; "" for an address
	From   imaging.Time // since when the list holds it, where it says so
	Until  imaging.Time // how long it says that this is so
}

// BadEntry is something that a list has and that is no entry.
type BadEntry struct {
	N      int64
	Offset int64 // bytes, of a line; 0 in JSON
	Reason string
}

func (b *BadEntry) Error() string { return fmt.Sprintf("entry %d: %s", b.N, b.Reason) }

const (
	mostLine = 64 << 10 // bytes of a line
	mostJSON = 64 << 20 // bytes of a JSON file, which is read whole
	widest   = 8        // bits of the widest network
)

// Read yields the entries of a list in its order. What is no entry comes as a
// *BadEntry, and reading goes on; another error is one of reading, or of JSON
// that does not hold, and ends it.
func Read(r io.Reader) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		in := bufio.NewReaderSize(r, mostLine)
		head, err := in.Peek(512)
		if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, bufio.ErrBufferFull) {
			yield(Entry{}, err)
			return
		}
		head = bytes.TrimLeft(bytes.TrimPrefix(head, []byte("\xef\xbb\xbf")), " \t\r\n")
		if len(head) > 0 && (head[0] == '{' || head[0] == '[' && !defanged(head)) {
			readJSON(in, yield)
			return
		}
		readText(in, yield)
	}
}

// defanged says that a "[" begins an address, as in [2001:db8::1]:443.
func defanged(head []byte) bool {
	return len(head) > 1 && strings.IndexByte("0123456789abcdefABCDEF:", head[1]) >= 0 && bytes.IndexByte(head[:min(len(head), 48)], ']') > 0
}

// parse reads an address, a network or a name.
func parse(s string) (Entry, error) {
	s = strings.Trim(strings.TrimSpace(s), `"'`)
	s = strings.NewReplacer("[.]", ".", "(.)", ".", "[:]", ":").Replace(s)
	if p, err := netip.ParsePrefix(s); err == nil {
		return network(p)
	}
	if a, err := netip.ParseAddr(s); err == nil {
		return network(netip.PrefixFrom(a.WithZone(""), a.BitLen()))
	}
	if a, err := netip.ParseAddrPort(s); err == nil {
		return network(netip.PrefixFrom(a.Addr().WithZone(""), a.Addr().BitLen()))
	}
	name := strings.ToLower(strings.TrimSuffix(s, "."))
	if len(name) <= 253 && domain.MatchString(name) {
		return Entry{Name: name}, nil
	}
	return Entry{}, errors.New("neither an address, a network nor a domain")
}

var domain = regexp.MustCompile(`^([a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?\.)+[a-z][a-z0-9-]{0,61}[a-z0-9]$`)

func network(p netip.Prefix) (Entry, error) {
	if a := p.Addr(); a.Is4In6() && p.Bits() >= 96 {
		p = netip.PrefixFrom(a.Unmap(), p.Bits()-96)
	}
	if p.Bits() < widest {
		return Entry{}, fmt.Errorf("network %s is wider than /%d", p, widest)
	}
	return Entry{Prefix: p.Masked()}, nil
}

// parseTime reads a date of a list: RFC 3339, or as CSV feeds write it, in UTC.
func parseTime(s string) imaging.Time {
	s = strings.Trim(strings.TrimSpace(s), `"'`)
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02 15:04:05", "2006-01-02T15:04:05", "2006-01-02 15:04:05 UTC", "2006-01-02"} {
		if t, err := time.Parse(layout, s); err == nil && t.Year() >= 1970 && t.Year() < 2200 {
			return imaging.TimeOf(t.UTC())
		}
	}
	return imaging.Time{}
}
