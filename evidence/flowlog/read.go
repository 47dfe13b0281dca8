// Package flowlog reads VPC flow logs: text to records.
//
// # What is followed
//
// The flow log record of the VPC user guide
// (https://docs.aws.amazon.com/vpc/latest/userguide/flow-log-records.html):
// one record a line, its fields separated by blanks or tabs, "-" for a value
// that does not apply. A file is plain or gzip, by content; several gzip
// members one behind another are one text. Lines end with LF or CR LF.
//
// # The header is the only schema
//
// A header names the fields, in any order and number:
//
//	version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes start end action log-status
//	2 123456789010 eni-1235b8ca123456789 172.31.16.139 172.31.16.21 20641 22 6 20 4249 1418530010 1418530070 ACCEPT OK
//	2 123456789010 eni-1235b8ca123456789 - - - - - - - 1431280876 1431280934 - NODATA
//
// Names may have "_" for "-". A line is a header when every word of it is
// shaped as a name and more than half of them are names that AWS gives to
// fields. Each header counts from there on, so joined files read well. Fields
// without a place in Record are kept in Other, whether anybody knows them or
// not. A header that names a field twice is bad, and so are the lines below
// it, up to the next header: nothing is read by a guess. The same holds where
// a header is glued to the end of a line whose line end is missing.
//
// Before any header, ReadFormat reads by the LogFormat that it was given and
// Read by the default format of version 2 above. That is recognised strictly:
// 14 fields, version 2, action ACCEPT or REJECT, status OK, NODATA or
// SKIPDATA. A header in the file counts more than the given format.
//
// CloudWatch exports have no header. Where a line has one field too many and
// the first is a time such as 2014-12-14T04:06:50.000Z, which the export task
// puts there, it is kept as the field "timestamp" at the front of Other. The
// times of the record are start and end, never this one.
//
// # Values
//
// Numbers are decimal without a sign; ports reach to 65535, protocol and
// tcp-flags to 255, start and end to the end of the year 9999 in Unix
// seconds. Addresses are IPv4 or IPv6 without a zone. Action, status and
// direction are kept as written. A value that breaks these rules makes its
// line bad, as do another number of fields, a control character (NUL among
// them) and bytes that are no UTF-8.
//
// # Damage
//
// A bad line is a *BadRecord with its place and its reason, has its number
// among the data lines, and the walk goes on. A line of more than 1 MiB is
// passed over and is one bad line. Where the gzip stream is cut or damaged,
// the whole lines before the damage are records and the rest, with the line
// that was cut, is one BadRecord whose N is 0. A plain text that ends without
// a line end may be cut inside its last value: unless that value can only be
// whole ("OK", "ACCEPT", "-"), a BadRecord whose N is 0 follows the record and
// says so. A gzip stream carries its own checksum and needs no such doubt.
// Any other error is the failure of the reader below, or an unusable format,
// and ends the walk.
//
// # What is not done
//
// No Parquet and no UTF-16: such a file is one BadRecord that says so. No JSON
// answers of the CloudWatch API. Copies of one record in two flow logs are not
// told here. Records carry no signature: a log that was replaced as a whole
// looks like any other.
//
// # Limits
//
// A line of 1 MiB, a header of 256 fields, 64 GiB of text out of one gzip
// file; each is reported where it is met.
package flowlog

import (
	"bytes"
	"fmt"
	"io"
	"iter"
)

// Reader reads files one after another and reuses its memory (half a MiB)
// and its strings for the next. It is not safe for concurrent use.
type Reader struct {
	in lines
	p  parser
}

// NewReader makes a Reader.
func NewReader() *Reader {
	return &Reader{p: parser{words: newInterner(), stamp: column{name: "timestamp"}}}
}

// Read yields the records of one file, plain or gzip by content, in file
// order. The record is reused: its slices are valid until the next iteration.
// An error is a *BadRecord, and the walk goes on, or the failure of r, which
// ends it.
func Read(r io.Reader) iter.Seq2[Record, error] { return NewReader().Read(r) }

// ReadFormat is Read for a file without a header: format is its LogFormat,
// field names with or without ${} and blanks or commas between them. A header
// in the file counts more. An empty format is none. A format that names a
// field twice, or holds what is no name, gives one error that wraps ErrFormat.
func ReadFormat(r io.Reader, format string) iter.Seq2[Record, error] {
	return NewReader().ReadFormat(r, format)
}

// Read is the function Read with the memory of rd.
func (rd *Reader) Read(r io.Reader) iter.Seq2[Record, error] { return rd.ReadFormat(r, "") }

// ReadFormat is the function ReadFormat with the memory of rd.
func (rd *Reader) ReadFormat(r io.Reader, format string) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		s, err := givenSchema(format)
		if err != nil {
			yield(Record{}, err)
			return
		}
		rd.p.use(s)
		rd.in.start(r)
		w := walk{in: &rd.in, p: &rd.p, yield: yield}
		w.file()
	}
}

// walk goes through one file.
type walk struct {
	in    *lines
	p     *parser
	yield func(Record, error) bool
	n     int64 // the number of the last data line
	no    int64 // the number of the last line
	over  bool  // the caller has enough
}

func (w *walk) file() {
	for !w.over && w.in.next() {
		w.no++
		w.line(&w.in.line)
	}
	if !w.over {
		w.end()
	}
}

// end reports why the text ended early, if it did.
func (w *walk) end() {
	at := w.in.line.at
	if err := w.in.failure(); err != nil {
		w.yield(Record{}, fmt.Errorf("read flow log at offset %d: %w", at, err))
	} else if w.in.err != nil {
		w.no++
		w.bad(0, at, w.in.err.Error()+"; the rest is not read")
	}
}

var byteOrderMark = []byte("\xef\xbb\xbf")

// line reads one line: nothing, a header or a record.
func (w *walk) line(l *line) {
	if l.long {
		w.n++
		w.bad(w.n, l.at, fmt.Sprintf("a line of %d bytes; at most %d are read", l.size, maxLine))
		return
	}
	if bytes.HasPrefix(l.text, byteOrderMark) { // of a file, or of one that was joined to it
		l.text, l.at = l.text[len(byteOrderMark):], l.at+int64(len(byteOrderMark))
	}
	w.p.split(l.text)
	switch {
	case w.p.count == 0:
	case w.p.isHeader():
		if reason := w.p.header(); reason != "" {
			w.bad(0, l.at, reason)
		}
	default:
		w.record(l)
	}
}

// record yields the record of a line, or why it is none.
func (w *walk) record(l *line) {
	w.n++
	if reason := w.p.record(l.text); reason != "" {
		if l.open {
			reason += "; the text ends in this line"
		}
		w.bad(w.n, l.at, reason)
		return
	}
	rec := &w.p.rec
	rec.N, rec.Line, rec.Offset, rec.Length = w.n, w.no, l.at, int64(len(l.text))
	if !w.yield(*rec, nil) {
		w.over = true
		return
	}
	if l.open && !w.in.src.packed && !w.p.surelyWhole() {
		w.bad(0, l.at, fmt.Sprintf("the text ends without a line end: the last value of record %d may be cut", w.n))
	}
}

// bad reports line w.no.
func (w *walk) bad(n, offset int64, reason string) {
	if !w.yield(Record{}, &BadRecord{N: n, Line: w.no, Offset: offset, Reason: reason}) {
		w.over = true
	}
}
