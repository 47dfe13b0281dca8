package disk

import (
	"bytes"
	"testing"

	"snapcase/imaging/filesystem/fstest"
)

// FuzzDetect throws bytes at the signatures. They are written over the start,
// the middle and the end of a small image.
func FuzzDetect(f *testing.F) {
	for _, list := range [][]plain{containers(), fileSystems()} {
		for _, s := range list {
			for _, at := range s.at {
				if at < 128<<10 {
					b := make([]byte, at+512)
					put(b, int(at), s.magic)
					f.Add(b, uint32(300<<10))
				}
			}
		}
	}
	for at, magic := range map[int]string{0: "XFSB", 3: "NTFS    ", 1024: "H+", 32769: "CD001", 16384: "\x01\x01", 1040: "\x7f\x13", 65536: "\x01\x16\x19\x70"} {
		b := make([]byte, at+512)
		put(b, at, magic)
		f.Add(b, uint32(1<<20))
	}
	f.Fuzz(func(t *testing.T, b []byte, size uint32) {
		img := make([]byte, size%(2<<20))
		copy(img, b)
		copy(img[len(img)-min(len(b), len(img)):], b)
		v := &Volume{Source: fstest.Bytes(img)}
		v.Size = int64(len(img))
		v.detect(nil)
		if v.FSType != "" && v.FS == nil && v.Err == nil && byNature(v.FSType) == "" {
			t.Errorf("nothing says why %s is not read", v.FSType)
		}
	})
}

// TestPlain holds every plain format at each of its places.
func TestPlain(t *testing.T) {
	for _, list := range [][]plain{containers(), fileSystems()} {
		for _, f := range list {
			for _, at := range f.at {
				b := make([]byte, 3*mib)
				put(b, int(at), f.magic)
				var u [16]byte
				copy(u[:], "0123456789abcdef")
				want := Signature{Type: f.kind, Offset: at, container: f.container}
				if f.uuid != 0 {
					put(b, int(at+f.uuid), string(u[:]))
					want.UUID = "30313233-3435-3637-3839-616263646566"
				}
				if f.label != 0 {
					put(b, int(at+f.label), "label  ")
					want.Label = "label"
				}
				p := newProbe(fstest.Bytes(b))
				got, ok := f.find(p)
				got.Version = ""
				if !ok || got != want {
					t.Errorf("%s at %d: %+v, want %+v", f.kind, at, got, want)
				}
				if !bytes.Contains(b, []byte(f.magic)) {
					t.Errorf("%s: the magic was overwritten", f.kind)
				}
			}
		}
	}
}
