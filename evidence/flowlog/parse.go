package flowlog

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/bits"
	"strings"
	"unicode/utf8"
)

// parser reads lines by the schema that counts at the time.
type parser struct {
	schema  schema
	fields  [][]byte // of the line, the first maxFields+1
	count   int      // of all fields of the line
	from    int      // where the field that split is in begins
	strange bool     // the line has control characters or bytes above ASCII
	stamp   column   // the time that an export puts before a line
	rec     Record
	words   *interner
}

// use makes s the schema. The fields of rec that s does not have are null
// from here on; those that it has are set anew by every line.
func (p *parser) use(s schema) {
	p.schema = s
	p.rec = Record{
		Version: Null, SrcPort: Null, DstPort: Null, Protocol: Null,
		Packets: Null, Bytes: Null, TCPFlags: Null, Other: p.rec.Other[:0],
	}
}

// split cuts a line at its blanks. Eight bytes are looked at together.
func (p *parser) split(text []byte) {
	p.fields, p.count, p.strange, p.from = p.fields[:0], 0, false, 0
	i := 0
	for ; i+8 <= len(text); i += 8 {
		for m := unusual(binary.LittleEndian.Uint64(text[i:])); m != 0; m &= m - 1 {
			p.cut(text, i+bits.TrailingZeros64(m)/8)
		}
	}
	for ; i < len(text); i++ {
		if unusual(uint64(text[i])|(ones*'a')&^0xff) != 0 {
			p.cut(text, i)
		}
	}
	if p.from < len(text) {
		p.add(text[p.from:])
	}
}

const ones = 0x0101010101010101

// unusual has the high bit of every byte of v that is a blank, a control
// character or above ASCII.
func unusual(v uint64) uint64 {
	low := v &^ (ones * 0x80)
	printable := low + ones*(0x80-'!') // the high bit is set from '!' on
	return (^printable | (low + ones) | v) & (ones * 0x80)
}

// cut ends a field before byte i, if that is a blank.
func (p *parser) cut(text []byte, i int) {
	if text[i] != ' ' && text[i] != '\t' {
		p.strange = true
		return
	}
	if i > p.from {
		p.add(text[p.from:i])
	}
	p.from = i + 1
}

func (p *parser) add(f []byte) {
	if p.count++; p.count <= maxFields+1 {
		p.fields = append(p.fields, f)
	}
}

// isHeader says whether the line names fields.
func (p *parser) isHeader() bool {
	names := 0
	for _, f := range p.fields {
		if !nameShaped(f) {
			return false
		}
		if _, ok := lookup(f); ok {
			names++
		}
	}
	return 2*names > p.count
}

// header makes the line the schema. A reason says why it cannot be.
func (p *parser) header() string {
	names := make([]string, len(p.fields))
	for i, f := range p.fields {
		names[i] = string(f)
	}
	s, reason := newSchema(byHeader, names)
	p.use(s)
	if reason != "" {
		return "the header " + reason
	}
	return ""
}

// gluedNames is how many names of fields make a bad line the grave of a
// header.
const gluedNames = 3

// record reads the line into rec, or gives the reason why it is none.
func (p *parser) record(text []byte) string {
	reason := p.convert(text)
	if reason == "" || p.schema.from == lost {
		return reason
	}
	names := 0
	for _, f := range p.fields {
		if _, ok := lookup(f); ok {
			names++
		}
	}
	if names >= gluedNames {
		p.use(schema{from: lost})
		reason += "; it holds names of fields, so the lines below it are not read up to the next header"
	}
	return reason
}

func (p *parser) convert(text []byte) string {
	if p.strange {
		if reason := strangeness(text); reason != "" {
			return reason
		}
	}
	fields := p.fields
	p.rec.Other = p.rec.Other[:0]
	if p.count == len(p.schema.columns)+1 && p.schema.from != lost && isTimestamp(fields[0]) {
		p.rec.Other = append(p.rec.Other, Field{Name: p.stamp.name, Value: p.text(&p.stamp, fields[0])})
		fields = fields[1:]
	} else if p.count != len(p.schema.columns) {
		return p.miscount()
	}
	for i := range fields {
		c := &p.schema.columns[i]
		if reason := p.set(c, fields[i]); reason != "" {
			return fmt.Sprintf("%s %+q %s", c.name, clip(fields[i]), reason)
		}
	}
	if p.schema.from == byDefault {
		return p.notDefault()
	}
	return ""
}

// miscount is the reason of a line with another number of fields.
func (p *parser) miscount() string {
	n, want := p.count, len(p.schema.columns)
	switch p.schema.from {
	case lost:
		return "the header above could not be read"
	case byHeader:
		return fmt.Sprintf("%d fields where the header has %d", n, want)
	case byFormat:
		return fmt.Sprintf("%d fields where the given format has %d", n, want)
	default:
		return fmt.Sprintf("%d fields and no header; the default format has %d", n, want)
	}
}

// notDefault says why a line without a header is no line of the default
// format, though it has as many fields.
func (p *parser) notDefault() string {
	const no = "no header, and not the default format: "
	r := &p.rec
	switch {
	case r.Version != 2:
		return no + "the version is not 2"
	case r.Action != "" && r.Action != "ACCEPT" && r.Action != "REJECT":
		return fmt.Sprintf("%saction %+q", no, clip([]byte(r.Action)))
	case r.Status != "OK" && r.Status != "NODATA" && r.Status != "SKIPDATA":
		return fmt.Sprintf("%sstatus %+q", no, clip([]byte(r.Status)))
	}
	return ""
}

// set puts a value into its place in rec.
func (p *parser) set(c *column, b []byte) string {
	r := &p.rec
	switch c.to {
	case version:
		return setNumber(&r.Version, b, math.MaxInt64)
	case account:
		r.Account = p.text(c, b)
	case networkInterface:
		r.Interface = p.text(c, b)
	case src:
		return p.setAddr(&r.Src, b)
	case dst:
		return p.setAddr(&r.Dst, b)
	case srcPort:
		return setNumber(&r.SrcPort, b, maxPort)
	case dstPort:
		return setNumber(&r.DstPort, b, maxPort)
	case protocol:
		return setNumber(&r.Protocol, b, maxByte)
	case packets:
		return setNumber(&r.Packets, b, math.MaxInt64)
	case octets:
		return setNumber(&r.Bytes, b, math.MaxInt64)
	case start:
		return setTime(&r.Start, b)
	case end:
		return setTime(&r.End, b)
	case action:
		r.Action = word(p.text(c, b), "ACCEPT", "REJECT")
	case status:
		r.Status = word(p.text(c, b), "OK", "NODATA", "SKIPDATA")
	case vpc:
		r.VPC = p.text(c, b)
	case subnet:
		r.Subnet = p.text(c, b)
	case instance:
		r.Instance = p.text(c, b)
	case tcpFlags:
		return setNumber(&r.TCPFlags, b, maxByte)
	case pktSrc:
		return p.setAddr(&r.PktSrc, b)
	case pktDst:
		return p.setAddr(&r.PktDst, b)
	case region:
		r.Region = p.text(c, b)
	case direction:
		r.Direction = word(p.text(c, b), "ingress", "egress")
	default:
		if !null(b) {
			r.Other = append(r.Other, Field{Name: c.name, Value: p.text(c, b)})
		}
	}
	return ""
}

// text is the value as a string that shares memory with its like.
func (p *parser) text(c *column, b []byte) string {
	if null(b) {
		return ""
	}
	if c.last != string(b) {
		c.last = p.words.get(b)
	}
	return c.last
}

// word is s as its field spells it, where s is one of the field's words in
// other letters; else s.
func word(s string, words ...string) string {
	for _, w := range words {
		if len(s) == len(w) && strings.EqualFold(s, w) {
			return w
		}
	}
	return s
}

// surelyWhole says that the last value of the line cannot be the beginning of
// a longer one.
func (p *parser) surelyWhole() bool {
	switch string(p.fields[len(p.fields)-1]) {
	case "-", "OK", "NODATA", "SKIPDATA", "ACCEPT", "REJECT", "ingress", "egress", "IPv4", "IPv6":
		return true
	}
	return false
}

// strangeness is why a line with unusual bytes is no record, if it is none.
func strangeness(text []byte) string {
	for _, c := range text {
		if c < ' ' && c != '\t' || c == 0x7f {
			return fmt.Sprintf("control character 0x%02x in the line", c)
		}
	}
	if !utf8.Valid(text) {
		return "bytes that are no UTF-8 in the line"
	}
	return ""
}

// clip shortens a value for a reason.
func clip(b []byte) []byte {
	const most = 40
	if len(b) <= most {
		return b
	}
	return append(append([]byte{}, b[:most]...), "..."...)
}
