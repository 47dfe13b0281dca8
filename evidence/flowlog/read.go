// Package flowlog reads VPC flow logs, as AWS delivers them to S3 and as
// CloudWatch exports them. It follows "Flow log records" of the Amazon VPC
// documentation.
//
// # Format
//
// Text, often gzip: one record a line, fields separated by blanks. The first
// line names the fields; it is the only schema, and a further such line in the
// same file begins a new one. "-" says that a field does not apply. For
// example
//
//	version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes start end action log-status
//	2 123456789012 eni-0628ab4c338acf59b 172.31.38.114 198.51.100.77 0 0 1 40 60000 1790000000 1790000060 ACCEPT OK
//
// is 40 packets of ICMP. A file without a header is read as version 2, when
// its lines have exactly those 14 fields, as exports of CloudWatch do; a time
// before them, as its console adds it, is passed over. Names may be spelled
// with _ for - and as ${name}.
//
// # Damage
//
// A line that does not have the fields of its header, or that has no number or
// address where one belongs, is a *BadRecord with its place, and the walk goes
// on. A stream that is cut gives its whole lines; the rest is one BadRecord.
//
// What it does not do: Parquet; and it does not look at what the numbers mean.
package flowlog

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"iter"
	"math"
	"net/netip"
	"strings"
	"time"

	"github.com/klauspost/compress/gzip"

	"snapcase/imaging"
)

// longestLine is what a line may have, bytes; a longer one is bad.
const longestLine = 1 << 20

// Read yields the records of one file, plain or gzip by content. The record
// is reused: its slices are valid until the next iteration. An error is a
// *BadRecord, and the walk goes on, or the failure of r, which ends it.
func Read(r io.Reader) iter.Seq2[Record, error] { return ReadFormat(r, nil) }

// ReadFormat is Read for files that have no header: their lines have these
// fields. A header in the file counts all the same.
func ReadFormat(r io.Reader, format []string) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		f := &reader{src: source{r: r}, yield: yield, texts: map[string]string{}, addrs: map[string]netip.Addr{}}
		if len(format) > 0 {
			f.schema(format)
		}
		f.run()
	}
}

// ReadAt reads a line again: length bytes from offset of the unpacked text.
func ReadAt(r io.Reader, offset, length int64) ([]byte, error) {
	if offset < 0 || length < 0 || length > longestLine {
		return nil, &imaging.FormatError{Format: "flowlog", Offset: offset, Reason: fmt.Sprintf("no line is %d bytes long", length)}
	}
	in, err := open(r)
	if err == nil {
		_, err = io.CopyN(io.Discard, in, offset)
	}
	b := make([]byte, length)
	if err == nil {
		_, err = io.ReadFull(in, b)
	}
	if err != nil {
		return nil, fmt.Errorf("read flow log line at offset %d: %w", offset, err)
	}
	return b, nil
}

// open unpacks r where it is gzip, and passes over a byte-order mark.
func open(r io.Reader) (*bufio.Reader, error) {
	in := bufio.NewReaderSize(r, longestLine)
	if head, err := in.Peek(2); err == nil && head[0] == 0x1f && head[1] == 0x8b {
		z, err := gzip.NewReader(in)
		if err != nil {
			return in, err
		}
		in = bufio.NewReaderSize(z, longestLine)
	}
	return in, nil
}

// source remembers how reading failed, to tell it from damage of the format.
type source struct {
	r   io.Reader
	err error
}

func (s *source) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		s.err = err
	}
	return n, err
}

// reader reads one file.
type reader struct {
	src    source
	in     *bufio.Reader
	yield  func(Record, error) bool
	fields []field  // of the header in force; nil before the first
	names  []string // as the header spells them
	rec    Record
	n      int64
	line   int64
	offset int64
	texts  map[string]string
	addrs  map[string]netip.Addr
}

// cached is how many strings and addresses are kept to share memory.
const cached = 1 << 16

func (f *reader) bad(n int64, format string, args ...any) bool {
	return f.yield(Record{}, &BadRecord{N: n, Line: f.line, Offset: f.offset, Reason: fmt.Sprintf(format, args...)})
}

// run reads to the end.
func (f *reader) run() {
	var err error
	if f.in, err = open(&f.src); err != nil {
		f.fail(err)
		return
	}
	for {
		text, err := f.in.ReadSlice('\n')
		size := int64(len(text))
		long := errors.Is(err, bufio.ErrBufferFull)
		for errors.Is(err, bufio.ErrBufferFull) {
			var more []byte
			more, err = f.in.ReadSlice('\n')
			size += int64(len(more))
		}
		if err != nil && !errors.Is(err, io.EOF) {
			f.line++
			f.fail(err)
			return
		}
		if size > 0 {
			f.line++
			if long {
				f.n++
				if !f.bad(f.n, "the line has %d bytes, more than %d", size, longestLine) {
					return
				}
			} else if !f.take(text) {
				return
			}
			f.offset += size
		}
		if err != nil {
			return
		}
	}
}

// fail ends the walk: with the failure of the source, or with what is wrong
// with the packing.
func (f *reader) fail(err error) {
	if f.src.err != nil {
		f.yield(Record{}, fmt.Errorf("read flow log: %w", f.src.err))
		return
	}
	f.bad(0, "the rest cannot be unpacked: %v", err)
}

// take reads one line.
func (f *reader) take(text []byte) bool {
	start := 0
	if f.offset == 0 && bytes.HasPrefix(text, []byte("\ufeff")) {
		start = 3
	}
	body := bytes.TrimRight(text[start:], "\r\n")
	if len(bytes.TrimSpace(body)) == 0 {
		return true
	}
	if isHeader(body) {
		f.schema(strings.Fields(string(body)))
		return true
	}
	f.n++
	if reason := f.parse(body); reason != "" {
		return f.bad(f.n, "%s", reason)
	}
	f.rec.N, f.rec.Line, f.rec.Offset, f.rec.Length = f.n, f.line, f.offset+int64(start), int64(len(body))
	return f.yield(f.rec, nil)
}

// isHeader says whether a line names fields: only words of small letters, and
// two at least that AWS uses.
func isHeader(b []byte) bool {
	if c := b[0]; c != '$' && (c < 'a' || c > 'z') {
		return false
	}
	known := 0
	for _, w := range strings.Fields(string(b)) {
		name := plain(w)
		for i := range len(name) {
			if c := name[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
				return false
			}
		}
		if _, ok := fieldNames[name]; ok {
			known++
		}
	}
	return known >= 2
}

// plain is the name of a field in AWS's own spelling.
func plain(name string) string {
	name = strings.TrimSuffix(strings.TrimPrefix(name, "${"), "}")
	return strings.ReplaceAll(name, "_", "-")
}

// schema takes the names of the fields.
func (f *reader) schema(names []string) {
	f.fields, f.names = nil, nil
	for _, n := range names {
		n = plain(n)
		f.fields, f.names = append(f.fields, fieldNames[n]), append(f.names, n)
	}
}

// parse fills rec from a line; the reason says why it is none.
func (f *reader) parse(b []byte) (reason string) {
	fields := f.fields
	if fields == nil {
		fields = version2
		if n := len(bytes.Fields(b)); n == len(version2)+1 {
			head, rest, _ := bytes.Cut(b, []byte(" "))
			if _, err := time.Parse(time.RFC3339Nano, string(head)); err == nil {
				b = rest
			}
		} else if n != len(version2) {
			return fmt.Sprintf("there is no header line, and %d fields are not the %d of version 2", n, len(version2))
		}
	}
	f.rec = Record{Version: Null, SrcPort: Null, DstPort: Null, Protocol: Null, Packets: Null, Bytes: Null, TCPFlags: Null, Other: f.rec.Other[:0]}
	i := 0
	for at := 0; at < len(b); {
		if b[at] == ' ' || b[at] == '\t' {
			at++
			continue
		}
		end := at
		for end < len(b) && b[end] != ' ' && b[end] != '\t' {
			end++
		}
		if i == len(fields) {
			return fmt.Sprintf("the line has more than the %d fields of its header", len(fields))
		}
		if v := b[at:end]; len(v) != 1 || v[0] != '-' {
			if reason = f.set(fields[i], i, v); reason != "" {
				return reason
			}
		}
		i++
		at = end
	}
	if i < len(fields) {
		return fmt.Sprintf("the line has %d of the %d fields of its header", i, len(fields))
	}
	return ""
}

// set takes one value.
func (f *reader) set(k field, i int, v []byte) string {
	r := &f.rec
	var ok bool
	switch k {
	case fVersion, fSrcPort, fDstPort, fProtocol, fPackets, fBytes, fTCPFlags, fStart, fEnd:
		var n int64
		if n, ok = integer(v); ok {
			*f.numberField(k) = n
			switch k {
			case fStart:
				r.Start = imaging.Time{Sec: n, Set: true}
			case fEnd:
				r.End = imaging.Time{Sec: n, Set: true}
			default:
			}
		}
	case fSrc, fDst, fPktSrc, fPktDst:
		var a netip.Addr
		if a, ok = f.address(v); ok {
			*f.addressField(k) = a
		}
	case fOther:
		ok = true
		r.Other = append(r.Other, Field{Name: f.names[i], Value: f.text(v)})
	default:
		ok = true
		*f.textField(k) = f.text(v)
	}
	if !ok {
		name := k.String()
		return fmt.Sprintf("%s is %.40q", name, v)
	}
	return ""
}

func (f *reader) numberField(k field) *int64 {
	r := &f.rec
	switch k {
	case fVersion:
		return &r.Version
	case fSrcPort:
		return &r.SrcPort
	case fDstPort:
		return &r.DstPort
	case fProtocol:
		return &r.Protocol
	case fPackets:
		return &r.Packets
	case fBytes:
		return &r.Bytes
	case fTCPFlags:
		return &r.TCPFlags
	default:
	}
	return new(int64)
}

func (f *reader) addressField(k field) *netip.Addr {
	r := &f.rec
	switch k {
	case fSrc:
		return &r.Src
	case fDst:
		return &r.Dst
	case fPktSrc:
		return &r.PktSrc
	default:
	}
	return &r.PktDst
}

func (f *reader) textField(k field) *string {
	r := &f.rec
	switch k {
	case fAccount:
		return &r.Account
	case fInterface:
		return &r.Interface
	case fAction:
		return &r.Action
	case fStatus:
		return &r.Status
	case fVPC:
		return &r.VPC
	case fSubnet:
		return &r.Subnet
	case fInstance:
		return &r.Instance
	case fRegion:
		return &r.Region
	default:
	}
	return &r.Direction
}

// integer reads a number that is not negative and fits; Unix times beyond the
// year 9999 do not.
func integer(b []byte) (n int64, ok bool) {
	if len(b) == 0 || len(b) > 19 {
		return 0, false
	}
	var u uint64
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, false
		}
		u = u*10 + uint64(c-'0')
	}
	return int64(u), u <= math.MaxInt64 //nolint:gosec // asked
}

// text is v as a string that shares memory with equal ones.
func (f *reader) text(v []byte) string {
	if s, ok := f.texts[string(v)]; ok {
		return s
	}
	if len(f.texts) >= cached {
		clear(f.texts)
	}
	s := string(v)
	f.texts[s] = s
	return s
}

func (f *reader) address(v []byte) (netip.Addr, bool) {
	if a, ok := f.addrs[string(v)]; ok {
		return a, true
	}
	s := string(v)
	a, err := netip.ParseAddr(s)
	if err != nil || a.Zone() != "" {
		return netip.Addr{}, false
	}
	if len(f.addrs) >= cached {
		clear(f.addrs)
	}
	f.addrs[s] = a
	return a, true
}
