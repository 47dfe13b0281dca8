package bundle

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"filippo.io/age"
	"github.com/klauspost/compress/zstd"

	"snapcase/evidence"
	"snapcase/evidence/custody"
)

func TestFolderAndArchive(t *testing.T) {
	m := makeCase(t)
	dir := t.TempDir()
	for _, name := range []string{"bag", "bag.tar.zst"} {
		out := filepath.Join(dir, name)
		res, err := Write(t.Context(), m.plan(out))
		must(t, err)
		r := verifyBag(t, out, m.signers)
		if r.Verdict != custody.Intact || r.Bundle != res.ID || r.Head != res.Head || r.Assurance != "A1" || len(r.Notes) != 0 {
			t.Fatalf("%s: %+v\n%+v", name, res, r)
		}
		if r = verifyBag(t, out, ""); r.Verdict != custody.Untrusted || r.ExitCode() != 5 {
			t.Fatalf("%s: %+v", name, r)
		}
		if _, err := Write(t.Context(), m.plan(out)); !errors.Is(err, os.ErrExist) {
			t.Fatalf("%s was written over: %v", name, err)
		}
	}
	// nothing secret, nothing derived, nothing left over; no hole was filled
	must(t, filepath.WalkDir(filepath.Join(dir, "bag"), func(p string, d fs.DirEntry, err error) error {
		for _, bad := range []string{"case.key", "index.db", ".acquiring", "key"} {
			if d.Name() == bad {
				t.Errorf("%s is in the bag", p)
			}
		}
		return err
	}))
	fi, err := os.Stat(filepath.Join(dir, "bag/data/exhibits/EX-001/image.raw"))
	must(t, err)
	if s, ok := fi.Sys().(*syscall.Stat_t); ok && s.Blocks*512 > 2<<20 {
		t.Errorf("the image takes %d bytes on disk", s.Blocks*512)
	}
	// the export is in the ledger, and the case still holds
	must(t, m.ledger.Close())
	r, err := custody.Verify(t.Context(), m.folder, custody.VerifyOptions{Signers: m.signers, Now: m.plan("").Now})
	if err != nil || r.Verdict != custody.Intact {
		t.Fatalf("%+v %v", r, err)
	}
	n := 0
	for rec, err := range custody.Records(m.folder) {
		must(t, err)
		if rec.Type == "bundle.export" {
			n++
		}
	}
	if n != 2 {
		t.Fatalf("%d exports are recorded", n)
	}
}

// TestSameStateSameBytes exports copies of one state ten times.
func TestSameStateSameBytes(t *testing.T) {
	m := makeCase(t)
	must(t, m.ledger.Close())
	var first []byte
	for i := range 10 {
		c := m
		c.folder = evidence.Folder(filepath.Join(t.TempDir(), filepath.Base(string(m.folder))))
		must(t, os.CopyFS(string(c.folder), os.DirFS(string(m.folder))))
		c.ledger = openLedger(t, c, false)
		out := filepath.Join(t.TempDir(), "b.tar.zst")
		_, err := Write(t.Context(), c.plan(out))
		must(t, err)
		must(t, c.ledger.Close())
		b, err := os.ReadFile(out)
		must(t, err)
		if i == 0 {
			first = b
		} else if !bytes.Equal(b, first) {
			t.Fatalf("export %d differs", i)
		}
	}
}

func TestWithoutAndGaps(t *testing.T) {
	m := makeCase(t)
	addImage(t, m, "EX-003", make([]byte, 8192), []any{map[string]any{"offset": "0", "length": "512", "error": "EIO"}})
	add(t, m, custody.Record{Type: "evidence.acquire.start", Exhibit: "EX-004", Data: map[string]any{"kind": "disk"}})
	put(t, m.folder.Exhibit("EX-004")+"/image.part", []byte("half"))
	out := filepath.Join(t.TempDir(), "bag")
	p := m.plan(out)
	p.Without = []string{"EX-001"}
	res, err := Write(t.Context(), p)
	must(t, err)
	r := verifyBag(t, out, m.signers)
	if res.Gaps != 3 || r.Verdict != custody.Partial || !has(r, "EXHIBIT_WITHHELD") || !has(r, "READ_ERRORS") || !has(r, "COVERAGE_PARTIAL") || len(r.Failures) != 3 || len(r.Notes) != 0 {
		t.Fatalf("%+v\n%+v", res, r)
	}
	if _, err := os.Stat(filepath.Join(out, "data/exhibits/EX-001")); err == nil {
		t.Fatal("the exhibit is in the bag")
	}
	p.Out, p.Without = filepath.Join(t.TempDir(), "bag"), []string{"EX-099"}
	if _, err := Write(t.Context(), p); !errors.Is(err, evidence.ErrUsage) {
		t.Fatal(err)
	}
}

func TestRefusals(t *testing.T) {
	find := func(r io.Reader) (int64, bool) {
		b, _ := io.ReadAll(r)
		i := bytes.Index(b, []byte("SECRET"))
		return int64(i), i >= 0
	}
	for name, c := range map[string]struct {
		change func(m made, p *Plan)
		is     error
		says   string
	}{
		"a secret in a report": {func(m made, _ *Plan) { put(t, filepath.Join(m.reports, "x.csv"), []byte("a,SECRET")) }, nil, "data/reports/x.csv holds what looks like a secret at byte 2"},
		"a secret in the ledger": {func(m made, _ *Plan) {
			add(t, m, custody.Record{Type: "review.note", Data: map[string]any{"text": "SECRET"}})
		}, nil, "custody/ledger.jsonl"},
		"a changed exhibit": {func(m made, _ *Plan) { put(t, m.folder.Image("EX-001"), []byte("x")) }, evidence.ErrBroken, "HASH_DIFFERS_FROM_LEDGER data/exhibits/EX-001/image.raw"},
		"an extra file":     {func(m made, _ *Plan) { put(t, m.folder.Files("EX-002")+"/x", []byte("x")) }, evidence.ErrBroken, "FILE_UNLISTED"},
		"an odd name":       {func(m made, _ *Plan) { put(t, filepath.Join(m.reports, "a b"), []byte("x")) }, nil, "cannot hold that name"},
		"a link":            {func(m made, _ *Plan) { must(t, os.Symlink("/etc/passwd", filepath.Join(m.reports, "l"))) }, nil, "no regular file"},
		"no .age":           {func(_ made, p *Plan) { p.To = []string{"age1x"} }, evidence.ErrUsage, ""},
		"no recipient":      {func(_ made, p *Plan) { p.Out += ".age" }, evidence.ErrUsage, ""},
		"names equal but for case": {func(m made, _ *Plan) {
			put(t, filepath.Join(m.reports, "A"), nil)
			put(t, filepath.Join(m.reports, "a"), nil)
		}, nil, "differ only by case"},
	} {
		t.Run(name, func(t *testing.T) {
			m := makeCase(t)
			dir := t.TempDir()
			p := m.plan(filepath.Join(dir, "b.tar.zst"))
			p.Scan = find
			c.change(m, &p)
			_, err := Write(t.Context(), p)
			if err == nil || c.is != nil && !errors.Is(err, c.is) || !strings.Contains(err.Error(), c.says) {
				t.Fatal(err)
			}
			if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
				t.Fatalf("%v was left, %v", left, err)
			}
		})
	}
}

func TestEncrypted(t *testing.T) {
	id, err := age.GenerateX25519Identity()
	must(t, err)
	m := makeCase(t)
	sshKey, err := os.ReadFile(m.key + ".pub")
	must(t, err)
	out := filepath.Join(t.TempDir(), "b.tar.zst.age")
	p := m.plan(out)
	p.To = []string{id.Recipient().String(), strings.TrimSpace(string(sshKey))}
	_, err = Write(t.Context(), p)
	must(t, err)
	_, err = Verify(t.Context(), out, custody.VerifyOptions{Now: p.Now})
	var h evidence.Hinted
	if !errors.As(err, &h) || !strings.Contains(h.Hint(), "age -d") || !strings.Contains(err.Error(), "DECRYPT_FAILED") {
		t.Fatal(err)
	}
	f, err := os.Open(out)
	must(t, err)
	defer f.Close()
	plain, err := age.Decrypt(f, id)
	must(t, err)
	b, err := io.ReadAll(plain)
	must(t, err)
	opened := filepath.Join(t.TempDir(), "b.tar.zst")
	must(t, os.WriteFile(opened, b, 0o644))
	if r := verifyBag(t, opened, m.signers); r.Verdict != custody.Intact {
		t.Fatalf("%+v", r)
	}
	if _, err := exec.LookPath("age"); err == nil {
		if b2, err := exec.Command("age", "-d", "-i", m.key, out).Output(); err != nil || !bytes.Equal(b, b2) {
			t.Fatalf("age -d with an SSH key: %v", err)
		}
	}
}

// TestStandardTools unpacks with zstd and tar and checks with sha256sum.
func TestStandardTools(t *testing.T) {
	for _, tool := range []string{"tar", "sh", "sha256sum", "zstd"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("needs %s", tool)
		}
	}
	m := makeCase(t)
	dir := t.TempDir()
	_, err := Write(t.Context(), m.plan(filepath.Join(dir, "b.tar.zst")))
	must(t, err)
	c := exec.Command("sh", "-c", "zstd -d < b.tar.zst | tar x && cd Case_1-20261123T100000Z && sha256sum -c --quiet manifest-sha256.txt tagmanifest-sha256.txt && cd data/exhibits/EX-002/files && sha256sum -c --quiet ../manifest-sha256.txt")
	c.Dir = dir
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if r := verifyBag(t, filepath.Join(dir, "Case_1-20261123T100000Z"), m.signers); r.Verdict != custody.Intact {
		t.Fatalf("%+v", r)
	}
}

// TestChangedPlaceIsNamed changes the image in a folder and in an archive.
func TestChangedPlaceIsNamed(t *testing.T) {
	m := makeCase(t)
	bag := filepath.Join(t.TempDir(), "bag")
	_, err := Write(t.Context(), m.plan(bag))
	must(t, err)
	archive := filepath.Join(t.TempDir(), "b.tar.zst")
	_, err = Write(t.Context(), m.plan(archive))
	must(t, err)
	const name = "data/exhibits/EX-001/image.raw"
	b, err := os.ReadFile(filepath.Join(bag, name))
	must(t, err)
	for _, at := range []int{0, 5 << 20, len(b) - 1} {
		c := bytes.Clone(b)
		c[at] ^= 4
		must(t, os.WriteFile(filepath.Join(bag, name), c, 0o644))
		all := unpack(t, archive)
		for i := range all {
			if strings.HasSuffix(all[i].h.Name, name) {
				all[i].body = c
			}
		}
		for _, path := range []string{bag, packEntries(t, all, nil)} {
			r := verifyBag(t, path, m.signers)
			if len(r.Failures) != 1 || r.Failures[0].Path != name || !r.Failures[0].Located || r.Failures[0].Offset != int64(at/(4<<20)*(4<<20)) {
				t.Fatalf("byte %d: %+v", at, r)
			}
		}
	}
}

func TestOpen(t *testing.T) {
	m := makeCase(t)
	dir := t.TempDir()
	for _, name := range []string{"bag", "bag.tar.zst"} {
		out, scratch := filepath.Join(dir, name), t.TempDir()
		_, err := Write(t.Context(), m.plan(out))
		must(t, err)
		f, err := Open(t.Context(), out, scratch, nil)
		must(t, err)
		c, err := evidence.ReadCase(f)
		if err != nil || c.Title != "T" {
			t.Fatalf("%+v %v", c, err)
		}
		all, err := evidence.ReadExhibits(f)
		if err != nil || len(all) != 2 {
			t.Fatalf("%v %v", all, err)
		}
		for _, path := range []string{"image.raw", "acquisition.json", "blocks-sha256.txt"} {
			a, err := os.ReadFile(filepath.Join(f.Exhibit("EX-001"), path))
			must(t, err)
			b, err := os.ReadFile(filepath.Join(m.folder.Exhibit("EX-001"), path))
			must(t, err)
			if sha256.Sum256(a) != sha256.Sum256(b) {
				t.Fatalf("%s of %s differs", path, name)
			}
		}
		fi, err := os.Stat(f.Image("EX-001"))
		must(t, err)
		if s, ok := fi.Sys().(*syscall.Stat_t); ok && s.Blocks*512 > 2<<20 {
			t.Errorf("%s: the image takes %d bytes on disk", name, s.Blocks*512)
		}
		n := 0
		for _, err := range custody.Records(f) {
			must(t, err)
			n++
		}
		if n < 6 {
			t.Fatalf("%d records", n)
		}
		again, err := Open(t.Context(), out, scratch, nil)
		if err != nil || again != f {
			t.Fatal(again, err)
		}
	}
	if _, err := Open(t.Context(), string(m.folder), t.TempDir(), nil); err == nil {
		t.Fatal("a case folder was opened as a bundle")
	}
}

// TestBagWithLink is a hostile bag folder: what its links mean is not read.
func TestBagWithLink(t *testing.T) {
	m := makeCase(t)
	out := filepath.Join(t.TempDir(), "bag")
	_, err := Write(t.Context(), m.plan(out))
	must(t, err)
	image := filepath.Join(out, "data/exhibits/EX-001/image.raw")
	must(t, os.Remove(image))
	must(t, os.Symlink("/etc/passwd", image))
	if r := verifyBag(t, out, m.signers); r.Verdict != custody.Broken || !has(r, "FILE_NOT_REGULAR") {
		t.Fatalf("%+v", r)
	}
	if f, err := Open(t.Context(), out, t.TempDir(), nil); !errors.Is(err, evidence.ErrBroken) {
		t.Fatal(f, err)
	}
}

func unzstd(t testing.TB, b []byte) []byte {
	t.Helper()
	z, err := zstd.NewReader(bytes.NewReader(b))
	must(t, err)
	defer z.Close()
	out, err := io.ReadAll(z)
	must(t, err)
	return out
}
