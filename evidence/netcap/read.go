package netcap

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"iter"

	"snapcase/imaging"
)

// maxCaptured is the most bytes of one frame that a capture can hold: what
// libpcap captures at most of the link types that are decoded here.
const maxCaptured = 262144

// Read yields the frames of one pcap or pcapng file, plain or gzip by
// content. The record is reused: its slices are valid until the next
// iteration. An error is a *BadFrame, and the walk goes on as far as it can,
// or the failure of r, which ends it.
func Read(r io.Reader) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		w := walk{win: openWindow(r), yield: yield}
		w.file()
	}
}

// ReadFrame reads frame n again, numbered from 1 as Read does, and its bytes
// as they were captured. Frames before it are passed over without decoding.
// The record and the bytes may be kept. The error is the *BadFrame of that
// number, the failure of r, or says that the file has no such frame.
func ReadFrame(r io.Reader, n int64) (Record, []byte, error) {
	var rec Record
	var frame []byte
	err := fmt.Errorf("read capture frame %d: the file has no such frame", n)
	if n < 1 {
		return rec, nil, err
	}
	w := walk{win: openWindow(r), only: n}
	w.yield = func(found Record, bad error) bool {
		var b *BadFrame
		if errors.As(bad, &b) {
			if b.N == n && err != nil {
				err = bad
			}
			return true
		}
		rec, frame, err = found, bytes.Clone(w.frame), bad
		return false
	}
	w.file()
	if rec.ICMP != nil {
		rec.ICMP.Payload = bytes.Clone(rec.ICMP.Payload)
	}
	return rec, frame, err
}

// walk goes through one file.
type walk struct {
	win   *window
	yield func(Record, error) bool
	only  int64 // where not 0: yield the frame of this number alone
	n     int64 // the number of the last frame, good or bad
	over  bool  // the caller has enough, or nothing sound can follow
	frame []byte
	dec   decoder
}

// file tells the container by its first bytes.
func (w *walk) file() {
	head := w.win.peek(4)
	switch {
	case len(head) == 0 && w.win.failure() == nil && w.win.cut() == "":
		w.n++
		w.bad(0, "the file is empty")
	case len(head) < 4:
		w.n++
		w.cut(0, "inside the file header")
	case binary.LittleEndian.Uint32(head) == blockSection:
		w.blocks()
	default:
		w.classic()
	}
}

// bad reports a part of the file that gives no frame.
func (w *walk) bad(offset int64, reason string) {
	if !w.over && !w.yield(Record{}, &BadFrame{N: w.n, Offset: offset, Reason: reason}) {
		w.over = true
	}
}

// cut ends the walk over a file that ends where it should not.
func (w *walk) cut(offset int64, where string) {
	failure, why := w.win.failure(), w.win.cut()
	switch {
	case w.over:
	case failure != nil:
		w.yield(Record{}, failure)
	case why == "":
		w.bad(offset, "the file ends "+where)
	default:
		w.bad(offset, why+", "+where)
	}
	w.over = true
}

// end ends the walk where a file may end.
func (w *walk) end() {
	switch failure, why := w.win.failure(), w.win.cut(); {
	case w.over:
	case failure != nil:
		w.yield(Record{}, failure)
	case why != "":
		w.n++
		w.bad(w.win.offset(), why)
	}
	w.over = true
}

// packet is one frame as its container tells of it.
type packet struct {
	offset int64
	time   imaging.Time
	link   uint16
	length int64 // on the wire
	data   []byte
}

// give decodes and yields a frame.
func (w *walk) give(p packet) {
	w.n++
	if w.over || w.only != 0 && w.n != w.only {
		return
	}
	rec := &w.dec.rec
	fault := w.dec.frame(p.link, p.data, p.length)
	rec.N, rec.Offset, rec.Time, rec.Length, rec.Captured = w.n, p.offset, p.time, p.length, int64(len(p.data))
	w.frame = p.data
	if fault != "" {
		w.bad(p.offset, fault)
		return
	}
	if !w.yield(*rec, nil) {
		w.over = true
	}
}
