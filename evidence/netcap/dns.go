package netcap

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"snapcase/evidence"
)

// Record types of DNS whose data is more than bytes here.
const (
	dnsA     = 1
	dnsNS    = 2
	dnsCNAME = 5
	dnsSOA   = 6
	dnsPTR   = 12
	dnsMX    = 15
	dnsTXT   = 16
	dnsAAAA  = 28
	dnsSRV   = 33
	dnsDNAME = 39
)

var dnsTypes = map[uint16]string{
	dnsA: "A", dnsNS: "NS", dnsCNAME: "CNAME", dnsSOA: "SOA", 10: "NULL", dnsPTR: "PTR", 13: "HINFO", dnsMX: "MX",
	dnsTXT: "TXT", 24: "SIG", 25: "KEY", dnsAAAA: "AAAA", 29: "LOC", dnsSRV: "SRV", 35: "NAPTR", dnsDNAME: "DNAME", 41: "OPT",
	43: "DS", 44: "SSHFP", 46: "RRSIG", 47: "NSEC", 48: "DNSKEY", 50: "NSEC3", 51: "NSEC3PARAM", 52: "TLSA",
	64: "SVCB", 65: "HTTPS", 99: "SPF", 250: "TSIG", 251: "IXFR", 252: "AXFR", 255: "ANY", 256: "URI", 257: "CAA",
}

func dnsType(t uint16) string {
	if s, ok := dnsTypes[t]; ok {
		return s
	}
	return "TYPE" + strconv.Itoa(int(t))
}

const dnsClassIN = 1

// parseDNS reads a message: its first question, and the answers as far as
// they are there whole. It is nil where b has no whole question or is no query.
func parseDNS(b []byte) *evidence.DNS {
	if len(b) < 12 {
		return nil
	}
	opcode := b[2] >> 3 & 15
	questions, answers := binary.BigEndian.Uint16(b[4:]), binary.BigEndian.Uint16(b[6:])
	if questions == 0 || opcode != 0 && opcode != 4 {
		return nil
	}
	name, at, ok := dnsName(b, 12)
	if !ok || at+4 > len(b) {
		return nil
	}
	d := &evidence.DNS{Name: name, Type: dnsType(binary.BigEndian.Uint16(b[at:])), Answers: []string{}}
	at += 4
	for range questions - 1 {
		if _, at, ok = dnsName(b, at); !ok || at+4 > len(b) {
			return d
		}
		at += 4
	}
	names := []string{name}
	for range answers {
		var r dnsRecord
		if r, at, ok = dnsAnswer(b, at); !ok {
			break
		}
		if !slices.ContainsFunc(names, func(n string) bool { return strings.EqualFold(n, r.owner) }) {
			d.Answers = append(d.Answers, r.owner+" "+dnsType(r.kind)+" "+r.data)
			continue
		}
		d.Answers = append(d.Answers, r.data)
		if r.kind == dnsCNAME && len(names) < maxChain {
			names = append(names, r.data)
		}
	}
	return d
}

// maxChain is the most names that one question is followed through.
const maxChain = 64

type dnsRecord struct {
	owner string
	kind  uint16
	data  string
}

// dnsAnswer reads the record at an offset of the message and gives the offset
// behind it.
func dnsAnswer(b []byte, at int) (r dnsRecord, next int, ok bool) {
	r.owner, at, ok = dnsName(b, at)
	if !ok || at+10 > len(b) {
		return r, 0, false
	}
	class, n := binary.BigEndian.Uint16(b[at+2:]), int(binary.BigEndian.Uint16(b[at+8:]))
	r.kind = binary.BigEndian.Uint16(b[at:])
	at += 10
	if at+n > len(b) {
		return r, 0, false
	}
	r.data, ok = "", false
	if class == dnsClassIN {
		r.data, ok = dnsData(b[:at+n], at, r.kind)
	}
	if !ok {
		r.data = fmt.Sprintf("\\# %d %s", n, hex.EncodeToString(b[at:at+n]))
	}
	return r, at + n, true
}

// dnsData is the data of a record, from at to the end of b, as zone files
// write it, but for dots at the end of names. It is not ok where the data is
// not of its type, or the type is not known here.
func dnsData(b []byte, at int, kind uint16) (text string, ok bool) {
	data := b[at:]
	switch kind {
	case dnsA:
		if len(data) == 4 {
			return netip.AddrFrom4([4]byte(data)).String(), true
		}
	case dnsAAAA:
		if len(data) == 16 {
			return netip.AddrFrom16([16]byte(data)).String(), true
		}
	case dnsNS, dnsCNAME, dnsPTR, dnsDNAME:
		name, end, ok := dnsName(b, at)
		return name, ok && end == len(b)
	case dnsMX, dnsSRV:
		var s strings.Builder
		for range map[uint16]int{dnsMX: 1, dnsSRV: 3}[kind] {
			if at+2 > len(b) {
				return "", false
			}
			fmt.Fprintf(&s, "%d ", binary.BigEndian.Uint16(b[at:]))
			at += 2
		}
		name, end, ok := dnsName(b, at)
		return s.String() + name, ok && end == len(b)
	case dnsTXT:
		return dnsText(data)
	case dnsSOA:
		return dnsAuthority(b, at)
	}
	return "", false
}

// dnsText is the strings of a TXT record, each in quotes.
func dnsText(data []byte) (string, bool) {
	var s []string
	for len(data) > 0 {
		n := 1 + int(data[0])
		if n > len(data) {
			return "", false
		}
		s = append(s, `"`+printable(data[1:n], `"\`)+`"`)
		data = data[n:]
	}
	return strings.Join(s, " "), len(s) > 0
}

// dnsAuthority is the data of an SOA record.
func dnsAuthority(b []byte, at int) (string, bool) {
	first, at, ok := dnsName(b, at)
	if !ok {
		return "", false
	}
	second, at, ok := dnsName(b, at)
	if !ok || len(b)-at != 20 {
		return "", false
	}
	s := first + " " + second
	for ; at < len(b); at += 4 {
		s += " " + strconv.FormatUint(uint64(binary.BigEndian.Uint32(b[at:])), 10)
	}
	return s, true
}

const maxDNSName = 255 // bytes in the message, RFC 1035

// dnsName reads the name at an offset of the message and gives the offset
// behind it. A pointer must point further back than what it is part of, so
// that every name ends. The root is ".".
func dnsName(b []byte, at int) (name string, next int, ok bool) {
	var s strings.Builder
	next = -1
	for size, limit := 0, at; at < len(b); {
		n := int(b[at])
		switch {
		case n == 0:
			if next < 0 {
				next = at + 1
			}
			if s.Len() == 0 {
				return ".", next, true
			}
			return s.String(), next, true
		case n < 64:
			if size += n + 1; size >= maxDNSName || at+1+n > len(b) {
				return "", 0, false
			}
			if s.Len() > 0 {
				s.WriteByte('.')
			}
			s.WriteString(printable(b[at+1:at+1+n], `.\`))
			at += 1 + n
		case n >= 192 && at+2 <= len(b):
			if next < 0 {
				next = at + 2
			}
			to := int(binary.BigEndian.Uint16(b[at:]) & 0x3fff)
			if to < 12 || to >= limit { // no name begins in the header
				return "", 0, false
			}
			at, limit = to, to
		default:
			return "", 0, false
		}
	}
	return "", 0, false
}
