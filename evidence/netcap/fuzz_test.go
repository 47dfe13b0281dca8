package netcap

import (
	"bytes"
	"errors"
	"testing"
)

// FuzzRead: whatever a file holds, every frame and every report has its
// place, numbers rise, and reading frames again gives the same.
func FuzzRead(f *testing.F) {
	ng, _ := sampleNG()
	f.Add(ng)
	f.Add(zip(ng))
	for link, frames := range linkFrames() {
		f.Add(makePcap(le, link%2 == 0, link, frames))
		f.Add(makePcap(be, link%2 == 1, link, frames))
		file := cat(ngSection(be, 1), ngInterface(be, link, 0))
		for i, fr := range frames {
			file = append(file, ngPacket(be, 0, uint64(i), fr.b)...)
		}
		f.Add(file)
	}
	k := newTalk()
	for i := range 4 {
		k.echoed(7, i, noise(i, 80))
		k.send(true, 1234, 1234, []byte("ls /etc/passwd\n"))
	}
	f.Add(makePcap(le, false, linkEthernet, k.frames))
	f.Fuzz(func(t *testing.T, file []byte) {
		var j Judge
		var n, offset, last, echoes int64
		offset = -1
		for r, err := range Read(bytes.NewReader(file)) {
			var bad *BadFrame
			switch {
			case errors.As(err, &bad):
				if bad.N <= n || bad.Offset < 0 || bad.Reason == "" || bytes.Contains([]byte(bad.Reason), []byte("decoding failed")) {
					t.Fatalf("%v after frame %d", bad, n)
				}
				continue
			case err != nil:
				t.Fatal(err)
			}
			if r.N <= n || r.Offset <= offset || r.Captured > maxCaptured {
				t.Fatalf("%+v after frame %d at %d", r, n, offset)
			}
			n, offset, last = r.N, r.Offset, r.N
			if i := r.ICMP; i != nil && int64(len(i.Payload)) > i.PayloadBytes {
				t.Fatalf("more payload than declared: %+v", i)
			}
			r.Packet()
			if _, ok := r.echo(); ok {
				echoes++
			}
			j.Add(&r, 1)
		}
		for _, p := range j.Pairs() {
			echoes -= p.Requests + p.Replies
			if p.Verdict == "" || len(p.Reasons) == 0 || len(p.Frames) == 0 || p.Entropy < 0 || p.Entropy > 8.000001 {
				t.Fatalf("%+v", p)
			}
		}
		if echoes != j.Left() {
			t.Fatalf("%d echo packets are in no pair", echoes)
		}
		if last > 0 {
			if r, b, err := ReadFrame(bytes.NewReader(file), last); err != nil || r.Offset != offset || int64(len(b)) != r.Captured {
				t.Fatalf("frame %d again: %+v, %v", last, r, err)
			}
		}
	})
}

// FuzzFrame: no bytes make the decoder fail, under any link type.
func FuzzFrame(f *testing.F) {
	for link, frames := range linkFrames() {
		for _, fr := range frames {
			f.Add(uint16(link), fr.b, uint32(fr.size()))
		}
	}
	f.Fuzz(func(t *testing.T, link uint16, b []byte, length uint32) {
		var d decoder
		if fault := d.frame(link, b, int64(length)); fault != "" {
			t.Fatal(fault)
		}
		for _, name := range []string{d.rec.SNI, d.rec.Host} {
			printableASCII(t, name)
		}
		if d.rec.DNS != nil {
			printableASCII(t, d.rec.DNS.Name)
			for _, a := range d.rec.DNS.Answers {
				printableASCII(t, a)
			}
		}
	})
}

func printableASCII(t *testing.T, s string) {
	t.Helper()
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			t.Fatalf("%q", s)
		}
	}
}
