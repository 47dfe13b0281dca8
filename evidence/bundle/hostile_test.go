package bundle

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"snapcase/evidence/custody"
)

// entry is a member of an archive that a test makes.
type entry struct {
	h    tar.Header
	body []byte
}

func unpack(t testing.TB, archive string) []entry {
	t.Helper()
	b, err := os.ReadFile(archive)
	must(t, err)
	r := tar.NewReader(bytes.NewReader(unzstd(t, b)))
	var all []entry
	for {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return all
		}
		must(t, err)
		body, err := io.ReadAll(r)
		must(t, err)
		all = append(all, entry{*h, body})
	}
}

func packEntries(t testing.TB, all []entry, tail []byte) string {
	t.Helper()
	var b bytes.Buffer
	z, err := zstd.NewWriter(&b)
	must(t, err)
	w := tar.NewWriter(z)
	for _, e := range all {
		h := e.h
		must(t, w.WriteHeader(&h))
		_, err := w.Write(e.body)
		must(t, err)
	}
	must(t, w.Close())
	_, err = z.Write(tail)
	must(t, err)
	must(t, z.Close())
	out := filepath.Join(t.TempDir(), "b.tar.zst")
	must(t, os.WriteFile(out, b.Bytes(), 0o644))
	return out
}

func smallArchive(t testing.TB) (m made, archive string) {
	t.Helper()
	m = makeCase(t)
	archive = filepath.Join(t.TempDir(), "b.tar.zst")
	p := m.plan(archive)
	p.Without = []string{"EX-001"}
	_, err := Write(t.Context(), p)
	must(t, err)
	return m, archive
}

func TestHostileArchives(t *testing.T) {
	m, archive := smallArchive(t)
	good := unpack(t, archive)
	top := "Case_1-20261123T100000Z/"
	file := func(name string) entry {
		return entry{tar.Header{Name: name, Typeflag: tar.TypeReg, Size: 1, Mode: 0o644}, []byte("x")}
	}
	kind := func(name string, k byte, link string) entry {
		return entry{tar.Header{Name: name, Typeflag: k, Linkname: link, Mode: 0o644}, nil}
	}
	for _, c := range []struct {
		what string
		add  []entry
		tail []byte
		code string
	}{
		{"nothing", nil, nil, ""},
		{"zeros at the end", nil, make([]byte, 10240), ""},
		{"absolute", []entry{file("/etc/x")}, nil, "ARCHIVE_UNSAFE_PATH"},
		{"dot dot", []entry{file(top + "data/../../x")}, nil, "ARCHIVE_UNSAFE_PATH"},
		{"leading dot dot", []entry{file("../x")}, nil, "ARCHIVE_UNSAFE_PATH"},
		{"dot", []entry{file(top + "./x")}, nil, "ARCHIVE_UNSAFE_PATH"},
		{"double slash", []entry{file(top + "data//x")}, nil, "ARCHIVE_UNSAFE_PATH"},
		{"backslash", []entry{file(top + `data\x`)}, nil, "ARCHIVE_UNSAFE_PATH"},
		{"drive letter", []entry{file(`C:x`)}, nil, "ARCHIVE_UNSAFE_PATH"},
		{"escape", []entry{file(top + "data/\x1b[31mx")}, nil, "ARCHIVE_UNSAFE_PATH"},
		{"not UTF-8", []entry{file(top + "data/\xff")}, nil, "ARCHIVE_UNSAFE_PATH"},
		{"another top", []entry{file("other/x")}, nil, "ARCHIVE_UNSAFE_PATH"},
		{"no top", []entry{file("x")}, nil, "ARCHIVE_UNSAFE_PATH"},
		{"long name", []entry{file(top + string(bytes.Repeat([]byte("a"), 5000)))}, nil, "ARCHIVE_UNSAFE_PATH"},
		{"symbolic link", []entry{kind(top+"data/l", tar.TypeSymlink, "/etc/passwd")}, nil, "ARCHIVE_LINK"},
		{"hard link", []entry{kind(top+"data/l", tar.TypeLink, top+"bagit.txt")}, nil, "ARCHIVE_LINK"},
		{"device", []entry{kind(top+"data/d", tar.TypeBlock, "")}, nil, "ARCHIVE_LINK"},
		{"pipe", []entry{kind(top+"data/p", tar.TypeFifo, "")}, nil, "ARCHIVE_LINK"},
		{"twice", []entry{file(top + "bagit.txt")}, nil, "ARCHIVE_DUPLICATE"},
		{"twice but for case", []entry{file(top + "BagIt.txt")}, nil, "ARCHIVE_DUPLICATE"},
		{"a file that is a folder", []entry{file(top + "data")}, nil, "ARCHIVE_DUPLICATE"},
		{"below a file", []entry{file(top + "bagit.txt/x")}, nil, "ARCHIVE_DUPLICATE"},
		{"empty folder", []entry{kind(top+"data/e/", tar.TypeDir, "")}, nil, "FILE_UNLISTED"},
		{"unlisted", []entry{file(top + "data/x")}, nil, "FILE_UNLISTED"},
		{"bytes at the end", nil, []byte("hello"), "ARCHIVE_CORRUPT"},
		{"endless zeros", nil, make([]byte, 4<<20), "ARCHIVE_CORRUPT"},
		{"bomb", []entry{{tar.Header{Name: top + "data/bomb", Typeflag: tar.TypeReg, Size: 300 << 20, Mode: 0o644}, bytes.Repeat([]byte("x"), 300<<20)}}, nil, "ARCHIVE_LIMIT"},
	} {
		t.Run(c.what, func(t *testing.T) {
			out := packEntries(t, append(good[:len(good):len(good)], c.add...), c.tail)
			r := verifyBag(t, out, m.signers)
			if c.code == "" {
				if r.Verdict != custody.Partial {
					t.Fatalf("%+v", r)
				}
				return
			}
			if r.Verdict != custody.Broken || !has(r, c.code) {
				t.Fatalf("want %s: %+v", c.code, r)
			}
			outside := t.TempDir()
			scratch := filepath.Join(outside, "a", "b")
			if _, err := Open(t.Context(), out, scratch, nil); err == nil && c.code != "FILE_UNLISTED" {
				t.Fatal("it was opened")
			}
			for _, dir := range []string{outside, filepath.Join(outside, "a")} {
				if left, err := os.ReadDir(dir); err != nil || len(left) > 1 {
					t.Fatalf("%v in %s", left, dir)
				}
			}
		})
	}
}

// TestShuffledArchive is packed again by somebody else, in another order.
func TestShuffledArchive(t *testing.T) {
	m, archive := smallArchive(t)
	all := unpack(t, archive)
	for i, j := 0, len(all)-1; i < j; i, j = i+1, j-1 {
		all[i], all[j] = all[j], all[i]
	}
	r := verifyBag(t, packEntries(t, all, nil), m.signers)
	if r.Verdict != custody.Partial || len(r.Failures) != 1 {
		t.Fatalf("%+v", r)
	}
}

// TestArchiveDamage cuts and flips the archive itself: never a wrong "intact".
func TestArchiveDamage(t *testing.T) {
	m, archive := smallArchive(t)
	b, err := os.ReadFile(archive)
	must(t, err)
	out := filepath.Join(t.TempDir(), "b.tar.zst")
	want := verifyBag(t, archive, m.signers)
	for n := 0; n < len(b); n += max(1, len(b)/60) {
		must(t, os.WriteFile(out, b[:n], 0o644))
		if r := verifyBag(t, out, m.signers); r.Verdict != custody.Broken {
			t.Fatalf("cut at %d: %+v", n, r)
		}
	}
	broken := 0
	for bit := 0; bit < len(b)*8; bit += max(1, len(b)*8/400) {
		c := bytes.Clone(b)
		c[bit/8] ^= 1 << (bit % 8)
		must(t, os.WriteFile(out, c, 0o644))
		r := verifyBag(t, out, m.signers)
		if r.Verdict == custody.Broken {
			broken++
		} else if r.Verdict != want.Verdict || r.Bundle != want.Bundle { // a bit that changes nothing of the content
			t.Fatalf("bit %d: %+v", bit, r)
		}
	}
	if broken < 300 {
		t.Fatalf("only %d flips were seen", broken)
	}
}

// TestManyZerosAreNoBomb packs an image that is nearly all holes.
func TestManyZerosAreNoBomb(t *testing.T) {
	m := makeCase(t)
	image := make([]byte, 200<<20)
	copy(image[100<<20:], "data")
	addImage(t, m, "EX-003", image, nil)
	out := filepath.Join(t.TempDir(), "b.tar.zst")
	_, err := Write(t.Context(), m.plan(out))
	must(t, err)
	if r := verifyBag(t, out, m.signers); r.Verdict != custody.Intact {
		t.Fatalf("%+v", r)
	}
	f, err := Open(t.Context(), out, t.TempDir(), nil)
	must(t, err)
	b, err := os.ReadFile(f.Image("EX-003"))
	must(t, err)
	if !bytes.Equal(b, image) {
		t.Fatal("the image came back changed")
	}
}

func FuzzArchive(f *testing.F) {
	m, archive := smallArchive(f)
	b, err := os.ReadFile(archive)
	must(f, err)
	f.Add(unzstd(f, b))
	f.Add([]byte("x"))
	z, err := zstd.NewWriter(nil)
	must(f, err)
	dir := f.TempDir()
	n := 0
	f.Fuzz(func(t *testing.T, tarBytes []byte) {
		n++
		p := filepath.Join(dir, fmt.Sprintf("%d-%d.tar.zst", os.Getpid(), n%4))
		must(t, os.WriteFile(p, z.EncodeAll(tarBytes, nil), 0o644))
		r, err := Verify(t.Context(), p, custody.VerifyOptions{Signers: m.signers, Now: func() time.Time { return sealTime }})
		must(t, err)
		if r.Verdict == custody.Intact {
			t.Fatalf("%+v", r)
		}
		scratch := t.TempDir()
		Open(t.Context(), p, scratch, nil) //nolint:errcheck // it must only not panic nor write outside
		left, err := os.ReadDir(scratch)
		must(t, err)
		if len(left) > 1 {
			t.Fatalf("%v", left)
		}
	})
}
