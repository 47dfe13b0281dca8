package zst_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"strings"
	"testing"

	"snapcase/imaging/image/container"
	"snapcase/imaging/image/container/containertest"
	"snapcase/imaging/image/zst"

	"github.com/klauspost/compress/zstd"
)

var le = binary.LittleEndian

func pack(t testing.TB, b []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w, err := zst.NewWriter(&out)
	if err != nil {
		t.Fatal(err)
	}
	for at := 0; at < len(b); at += 70_001 {
		if _, err := w.Write(b[at:min(at+70_001, len(b))]); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// other writes small frames as another program might: without checksums in the
// table or without them in the frames.
func other(t testing.TB, b []byte, frame int, inTable, inFrame bool) []byte {
	t.Helper()
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderCRC(true))
	if err != nil {
		t.Fatal(err)
	}
	bare, err := zstd.NewWriter(nil, zstd.WithEncoderCRC(inFrame))
	if err != nil {
		t.Fatal(err)
	}
	var out, table []byte
	n := uint32(0)
	for at := 0; at < len(b); at += frame {
		p := b[at:min(at+frame, len(b))]
		z, sum := bare.EncodeAll(p, nil), enc.EncodeAll(p, nil)
		out = append(out, z...)
		table = le.AppendUint32(le.AppendUint32(table, uint32(len(z))), uint32(len(p)))
		if inTable {
			table = append(table, sum[len(sum)-4:]...) // the library's own XXH64
		}
		n++
	}
	out = le.AppendUint32(le.AppendUint32(out, 0x184d2a5e), uint32(len(table)+9))
	out = le.AppendUint32(append(out, table...), n)
	flags := byte(0)
	if inTable {
		flags = 0x80
	}
	return append(out, flags, 0xb1, 0xea, 0x92, 0x8f)
}

func open(t *testing.T, b []byte) *container.Image {
	t.Helper()
	img, err := zst.Open(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	return img
}

func TestRead(t *testing.T) {
	disk := containertest.Disk(3<<20 + 512)
	for _, b := range [][]byte{
		pack(t, disk), other(t, disk, 4096, true, false), other(t, disk, 1000, false, true), other(t, disk, 3<<20, false, false),
	} {
		img := open(t, b)
		containertest.Same(t, img, disk)
		if len(img.Gaps()) > 0 || len(img.Damage) > 0 {
			t.Errorf("gaps %v, damage %q", img.Gaps(), img.Damage)
		}
	}
	if !bytes.Equal(pack(t, disk), pack(t, disk)) {
		t.Error("the same disk gives two files")
	}
}

// With a checksum in frame or table no turned bit goes unseen.
func TestBroken(t *testing.T) {
	disk := containertest.Disk(200 << 10)
	for _, whole := range [][]byte{other(t, disk, 8192, true, false), other(t, disk, 8192, false, true)} {
		opened := 0
		containertest.Broken(whole, func(what string, f []byte) {
			img, err := zst.Open(bytes.NewReader(f))
			containertest.Exercise(t, img, err)
			if err != nil {
				return
			}
			opened++
			if _, right := containertest.Damaged(t, img, disk); !right && len(img.Damage) == 0 && (img.Size() == int64(len(disk)) || len(img.Gaps()) == 0) {
				t.Errorf("%s: bytes are wrong and nothing says so", what)
			}
		})
		if opened < 500 {
			t.Errorf("only %d opened", opened)
		}
	}
}

func TestNotSeekable(t *testing.T) {
	enc, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	b := enc.EncodeAll([]byte("abc"), nil)
	var no *container.UnsupportedError
	if _, err := zst.Is(b, b); !errors.As(err, &no) || !strings.Contains(err.Error(), "seek table") {
		t.Errorf("%v", err)
	}
}

type full struct{ room int }

func (f *full) Write(p []byte) (int, error) {
	if f.room -= len(p); f.room < 0 {
		return 0, io.ErrShortWrite
	}
	return len(p), nil
}

func TestWriterFails(t *testing.T) {
	disk := containertest.Disk(5 << 20)
	w, err := zst.NewWriter(&full{1000})
	if err != nil {
		t.Fatal(err)
	}
	_, err = w.Write(disk)
	if !errors.Is(err, io.ErrShortWrite) || !errors.Is(w.Close(), io.ErrShortWrite) {
		t.Errorf("%v, then %v", err, w.Close())
	}
	var out bytes.Buffer
	if w, err = zst.NewWriter(&out); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(disk); err == nil || w.Close() == nil {
		t.Error("a closed writer takes more")
	}
}

func FuzzOpen(f *testing.F) {
	disk := make([]byte, 20<<10)
	copy(disk[9000:], "some text")
	f.Add(other(f, disk, 4096, true, true))
	f.Add(other(f, disk, 1000, false, false))
	f.Add(pack(f, disk))
	f.Fuzz(func(t *testing.T, b []byte) {
		img, err := zst.Open(bytes.NewReader(b))
		containertest.Exercise(t, img, err)
	})
}

func BenchmarkRead(b *testing.B) {
	disk := containertest.Disk(32 << 20)
	img, err := zst.Open(bytes.NewReader(pack(b, disk)))
	if err != nil {
		b.Fatal(err)
	}
	p := make([]byte, 4<<20)
	b.SetBytes(int64(len(disk)))
	for b.Loop() {
		for at := int64(0); at < img.Size(); at += int64(len(p)) {
			if _, err := img.ReadAt(p, at); err != nil {
				b.Fatal(err)
			}
		}
	}
}

func BenchmarkWrite(b *testing.B) {
	disk := containertest.Disk(32 << 20)
	b.SetBytes(int64(len(disk)))
	for b.Loop() {
		w, err := zst.NewWriter(io.Discard)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := w.Write(disk); err != nil {
			b.Fatal(err)
		}
		if err := w.Close(); err != nil {
			b.Fatal(err)
		}
	}
}
