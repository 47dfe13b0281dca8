// Package cloudtrail reads AWS CloudTrail records: formats to values.
//
// # What is followed
//
// The record contents of the CloudTrail user guide
// (https://docs.aws.amazon.com/awscloudtrail/latest/userguide/cloudtrail-event-reference-record-contents.html)
// and what real trails hold beyond it. A file is plain or gzip, by content,
// and in any of these shapes:
//
//	{"Records":[{…},{…}]}                       as delivered to S3
//	[{…},{…}]                                   a bare list
//	{…}                                         one record
//	{…}\n{…}                                    JSON Lines, or one behind another
//	{"Events":[{"CloudTrailEvent":"{…}"}]}      an answer of LookupEvents, or its
//	                                            members one a line
//
// # Damage
//
// A file is read to its end whatever it holds. What gives no record comes as
// a *BadRecord with its place, and the walk goes on: behind a record that is
// too long, too deep, ambiguous or no record at all; behind the line where
// records stand one a line. Inside a list, text that is no JSON makes the
// rest of the file one bad record, because no later place is a sound start.
// Every record, good or bad, has a number, from 1. Any other error is the
// failure of the reader below and ends the walk.
//
// # Limits
//
// A record of 16 MiB, nesting of 1,000, 4 GiB of unpacked text a file; each
// is reported where it is met. Names of regions, services and events are
// never checked against a list.
//
// # What is not done
//
// No joins, no dedup (Hash and Canonical are there for it), no digest
// validation, no SQL. Secrets: AWS hides secret keys in its logs; Raw is given
// as it stands.
package cloudtrail

import (
	"errors"
	"fmt"
	"io"
	"iter"
	"path"
	"strings"
)

// Reader reads files one after another and reuses its memory (about 1 MiB)
// and its strings for the next. It is not safe for concurrent use.
type Reader struct {
	win window
	p   parser
}

// NewReader makes a Reader.
func NewReader() *Reader { return &Reader{p: newParser()} }

// Read yields the records of one file in file order. See Record for how long
// its parts last. An error is a *BadRecord, and the walk goes on, or the
// failure of r, which ends it.
func Read(r io.Reader) iter.Seq2[Record, error] { return NewReader().Read(r) }

// Read is the function Read with the memory of rd.
func (rd *Reader) Read(r io.Reader) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		rd.win.start(r)
		w := walk{win: &rd.win, p: &rd.p, yield: yield}
		w.file()
	}
}

// Companion says, by the name of a file, that it lies beside logs and is not
// one: a digest, the metadata of a digest, the public keys, the trail status.
func Companion(name string) bool {
	base := path.Base(name)
	return strings.HasSuffix(base, ".metadata.json") || base == "public-keys.json" || base == "trail-status.json" ||
		strings.Contains(base, "_CloudTrail-Digest_") && strings.Contains("/"+name, "/CloudTrail-Digest/")
}

// walk goes through one file.
type walk struct {
	win   *window
	p     *parser
	yield func(Record, error) bool
	n     int64 // the number of the last record
	over  bool  // the caller has enough, or nothing sound can follow
}

// file reads values one after another: records, lists of them, objects that
// hold lists.
func (w *walk) file() {
	w.mark()
	for !w.over {
		c, ok := w.win.space()
		switch {
		case !ok:
			w.end()
			return
		case c == '[':
			w.win.pos++
			w.list(true)
		case c == '{':
			w.object(true, true)
		default:
			w.n++
			w.bad(w.win.offset(), "no JSON object")
			w.resync()
		}
	}
}

// mark passes over a byte-order mark.
func (w *walk) mark() {
	for len(w.win.bytes()) < 3 && w.win.more() {
	}
	if b := w.win.bytes(); len(b) >= 3 && string(b[:3]) == "\xef\xbb\xbf" {
		w.win.pos += 3
	}
}

// bad reports a record that could not be read.
func (w *walk) bad(offset int64, reason string) {
	if !w.over && !w.yield(Record{}, &BadRecord{N: w.n, Offset: offset, Reason: reason}) {
		w.over = true
	}
}

// end reports why the text ended early, if it did.
func (w *walk) end() {
	if w.over || w.win.err == nil {
		return
	}
	w.n++
	w.cut(w.win.offset(), "")
}

// cut ends the walk over text that ends where it should not.
func (w *walk) cut(offset int64, where string) {
	switch err := w.win.err; {
	case w.over:
	case w.win.failure() != nil:
		w.yield(Record{}, fmt.Errorf("read cloudtrail records at offset %d: %w", offset, w.win.failure()))
	case err == nil:
		w.bad(offset, "the text ends "+where)
	case errors.Is(err, io.ErrUnexpectedEOF):
		w.bad(offset, "the gzip stream is cut short")
	default:
		w.bad(offset, err.Error())
	}
	w.over = true
}

// resync goes to the next line that begins with a brace: the next record
// where records stand one a line.
func (w *walk) resync() {
	for w.win.line() {
		if c, ok := w.win.peek(); ok && c == '{' {
			return
		}
	}
}

// list reads the elements of a list behind its bracket. At the top they may
// themselves hold lists of records.
func (w *walk) list(top bool) {
	for first := true; !w.over; first = false {
		c, ok := w.win.space()
		if ok && c == ',' && !first {
			w.win.pos++
			c, ok = w.win.space()
		} else if ok && c != ']' && !first {
			w.rest("no comma between records")
			return
		}
		switch {
		case !ok:
			w.n++
			w.cut(w.win.offset(), "inside a list of records")
		case c == ']':
			w.win.pos++
			return
		case c == '{':
			w.object(top, false)
		default:
			w.stray()
		}
	}
}

// rest makes what follows in the file one bad record.
func (w *walk) rest(reason string) {
	w.n++
	w.bad(w.win.offset(), reason+"; the rest of the file is not read")
	w.over = true
}

// stray passes over an element that is no object.
func (w *walk) stray() {
	at := w.win.offset()
	w.n++
	if !w.win.pass() {
		w.cut(at, "inside a list of records")
		return
	}
	if w.win.offset() == at {
		w.n--
		w.rest("no JSON")
		return
	}
	w.bad(at, "no JSON object")
}

// object reads one object: a record, or with lists one that holds records.
// At the top of a file, damage goes to the next line.
func (w *walk) object(lists, top bool) {
	at := w.win.offset()
	end, what, err := w.p.object(w.win.bytes(), lists, w.win.done)
	for errors.Is(err, errMore) && w.win.more() {
		end, what, err = w.p.object(w.win.bytes(), lists, w.win.done)
	}
	switch {
	case err == nil && what == isRecord:
		w.record(at, end)
	case err == nil && what == isList:
		w.win.pos += end
		w.members()
	case err == nil && what == isCompanion && top && w.n == 0:
		w.win.pos += end
	case err == nil:
		w.n++
		w.win.pos += end
		w.bad(at, noRecord)
	case errors.Is(err, errMore) && !w.win.done:
		w.passOver(at, fmt.Sprintf("longer than %d bytes", maxRecord))
	case errors.Is(err, errMore):
		w.n++
		w.cut(at, "inside a record")
	case !broken(err):
		w.passOver(at, err.Error())
	case top:
		w.n++
		w.bad(at, err.Error())
		w.resync()
	default:
		w.rest(err.Error())
	}
}

// record yields the record that was parsed.
func (w *walk) record(at int64, length int) {
	w.n++
	rec := &w.p.rec
	rec.N, rec.Offset, rec.Length = w.n, at, int64(length)
	if !w.yield(*rec, nil) {
		w.over = true
	}
	w.win.pos += length
}

// passOver reports a record whose end can be found without parsing it.
func (w *walk) passOver(at int64, reason string) {
	w.n++
	w.bad(at, reason)
	if !w.over && !w.win.pass() {
		w.n++
		w.cut(at, "inside a record")
	}
}

// members goes on in an object at a list of records, to the end of the
// object. Other members, such as NextToken, are passed over.
func (w *walk) members() {
	for range 2 { // the colon and the bracket, which the parser saw
		w.win.space()
		w.win.pos++
	}
	w.list(false)
	for !w.over {
		c, ok := w.win.space()
		switch {
		case !ok:
			w.n++
			w.cut(w.win.offset(), "inside the object around the records")
		case c == '}':
			w.win.pos++
			return
		case c == ',':
			w.win.pos++
			w.memberAfter()
		default:
			w.rest("no JSON behind the records")
		}
	}
}

// memberAfter reads one more member of the object around the records.
func (w *walk) memberAfter() {
	name, ok := w.name()
	if !ok {
		return
	}
	c, ok := w.win.space()
	switch {
	case ok && c == '[' && (name == "Records" || name == "Events"):
		w.win.pos++
		w.list(false)
	case !ok || !w.win.pass():
		w.n++
		w.cut(w.win.offset(), "inside the object around the records")
	case fieldOf([]byte(name)) < fEventTime && fieldOf([]byte(name)) != fOther:
		w.n++
		w.bad(w.win.offset(), "an object with both records and the field "+name)
	}
}

// maxName is the longest name of a member around the records.
const maxName = 1 << 10

// name reads "name": in the object around the records.
func (w *walk) name() (string, bool) {
	if c, ok := w.win.space(); !ok || c != '"' {
		w.rest("no JSON behind the records")
		return "", false
	}
	w.win.pos++
	var name []byte
	for {
		c, ok := w.win.peek()
		if !ok || len(name) > maxName {
			w.rest("no JSON behind the records")
			return "", false
		}
		w.win.pos++
		if c == '"' {
			break
		}
		name = append(name, c)
	}
	if c, ok := w.win.space(); !ok || c != ':' {
		w.rest("no JSON behind the records")
		return "", false
	}
	w.win.pos++
	return string(name), true
}
