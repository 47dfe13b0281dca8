package ntfs

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"unicode/utf16"

	"snapcase/imaging"
	"snapcase/imaging/filesystem"
	"snapcase/imaging/filesystem/fstest"
)

// changes reads the journal; lost are the errors.
func changes(t testing.TB, src imaging.Source) (all []filesystem.Change, lost []string) {
	t.Helper()
	fs, err := Open(src)
	if err != nil {
		t.Fatal(err)
	}
	for c, err := range fs.Changes(context.Background()) {
		if err != nil {
			lost = append(lost, err.Error())
			continue
		}
		all = append(all, c)
	}
	return all, lost
}

// TestChanges reads what testdata/make_usn.sh wrote.
func TestChanges(t *testing.T) {
	all, lost := changes(t, fstest.File(t, "testdata/usn.img.gz"))
	if len(lost) > 0 {
		t.Error(lost)
	}
	var got []string
	for _, c := range all {
		if c.Damage != "" {
			t.Error(c.Damage)
		}
		if c.Reason&0x8001 == 0 {
			got = append(got, fmt.Sprintf("%s %d:%d %s/%s %s", c.Time.String()[17:], c.Ref.Inode, c.Ref.Generation, c.Dir, c.Name, c.Reason))
		}
	}
	want := []string{
		"01Z 65:1 /dir FILE_CREATE", "02Z 65:1 /dir FILE_CREATE|CLOSE", "03Z 66:1 /dir/sub FILE_CREATE|CLOSE",
		"04Z 67:1 /tools FILE_CREATE|CLOSE",
		"05Z 68:1 /dir/old name.txt FILE_CREATE", "06Z 68:1 /dir/old name.txt DATA_EXTEND|FILE_CREATE|CLOSE",
		"07Z 68:1 /dir/old name.txt RENAME_OLD_NAME", "08Z 68:1 /dir/new name.txt RENAME_NEW_NAME", "09Z 68:1 /dir/new name.txt RENAME_NEW_NAME|CLOSE",
		"10Z 69:2 /dir/sub/gone but there.txt DATA_EXTEND|FILE_CREATE|CLOSE",
		"11Z 70:1 /dir/naïve 日本 😀.exe DATA_EXTEND|FILE_CREATE|CLOSE", "12Z 70:1 /dir/naïve 日本 😀.exe RENAME_OLD_NAME", "13Z 70:1 /dir/evil.exe RENAME_NEW_NAME|CLOSE",
		"14Z 71:1 /tools/nc.exe FILE_CREATE", "15Z 71:1 /tools/nc.exe DATA_EXTEND|FILE_CREATE|CLOSE",
		"36Z 71:1 /tools/nc.exe FILE_DELETE|CLOSE", "37Z 67:1 /tools FILE_DELETE|CLOSE", "38Z 70:1 /dir/evil.exe FILE_DELETE|CLOSE",
		"39Z 69:2 /dir/sub/gone but there.txt FILE_DELETE|CLOSE",
	}
	if !slices.Equal(got, want) {
		t.Errorf("%s", strings.Join(got, "\n"))
	}
	if len(all) != len(want)+200 {
		t.Errorf("%d records", len(all))
	}
}

// TestGoneNames demands an entry for each file whose record was used again, and
// none more: that of the file that is there has its record.
func TestGoneNames(t *testing.T) {
	fs, err := Open(fstest.File(t, "testdata/usn.img.gz"))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for e, err := range fs.Walk(context.Background()) {
		if err != nil {
			t.Fatal(err)
		}
		if e.From == usnFrom {
			got = append(got, fmt.Sprintf("%d:%d in %d %s %s born %s deleted %s", e.Ref.Inode, e.Ref.Generation, e.Parent, e.Type, e.Path, e.Born, e.Deleted))
			if _, err := fs.Open(e.Ref); !errors.Is(err, ErrReused) {
				t.Errorf("%s opens: %v", e.Path, err)
			}
			if e.Status != filesystem.Deleted || !strings.HasPrefix(e.Damage, "reallocated") {
				t.Errorf("%+v", e)
			}
		}
	}
	want := []string{
		"67:1 in 5 dir /tools born 2021-01-01T00:00:04Z deleted 2021-01-01T00:03:37Z",
		"70:1 in 65 file /dir/evil.exe born 2021-01-01T00:00:11Z deleted 2021-01-01T00:03:38Z",
		"71:1 in 67 file /tools/nc.exe born 2021-01-01T00:00:14Z deleted 2021-01-01T00:03:36Z",
	}
	if !slices.Equal(got, want) {
		t.Errorf("%s", strings.Join(got, "\n"))
	}
}

// usnImage is a copy of the fixture with the place of the first record.
func usnImage(t testing.TB) (whole []byte, first int) {
	src := fstest.File(t, "testdata/usn.img.gz")
	whole = make([]byte, src.Size())
	if _, err := src.ReadAt(whole, 0); err != nil && !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	fs, err := Open(src)
	if err != nil {
		t.Fatal(err)
	}
	s := fs.newScanner(context.Background())
	if _, err := s.directories(); err != nil {
		t.Fatal(err)
	}
	all, err := s.journals()
	if err != nil || len(all) != 1 || !all[0].live {
		t.Fatalf("%d journals, %v", len(all), err)
	}
	e := all[0].damage(1<<20, "")
	var at *imaging.FormatError
	errors.As(e, &at)
	return whole, int(at.Offset)
}

// TestDamagedJournal writes over records: what is lost is told with its place,
// all others are read.
func TestDamagedJournal(t *testing.T) {
	whole, first := usnImage(t)
	sound, _ := changes(t, fstest.Bytes(whole))
	for _, c := range []struct {
		name  string
		write func(p []byte)
		less  int
		lost  string
	}{
		{"length", func(p []byte) { p[0] = 0xff }, 1, "72 bytes at byte 1048576"},
		{"version", func(p []byte) { p[4] = 9 }, 1, "72 bytes at byte 1048576"},
		{"name", func(p []byte) { p[58] = 200 }, 1, "72 bytes at byte 1048576"},
		{"two", func(p []byte) { copy(p[40:], slices.Repeat([]byte{0xaa}, 60)) }, 2, "no record"},
		{"noise", func(p []byte) { copy(p, slices.Repeat([]byte{0xa5, 1}, 512)) }, 13, "no record"},
		{"number", func(p []byte) { p[24]++ }, 0, ""},
	} {
		b := slices.Clone(whole)
		c.write(b[first:])
		got, lost := changes(t, fstest.Bytes(b))
		if len(got) != len(sound)-c.less {
			t.Errorf("%s: %d of %d records", c.name, len(got), len(sound))
		}
		switch {
		case c.lost == "":
			if len(lost) > 0 || got[0].Damage == "" {
				t.Errorf("%s: %q, %q", c.name, lost, got[0].Damage)
			}
		case len(lost) != 1 || !strings.Contains(lost[0], c.lost) || !strings.Contains(lost[0], fmt.Sprint(first)):
			t.Errorf("%s: %q", c.name, lost)
		}
	}
}

// TestDeletedJournal frees the record of the journal, as a command that hides
// traces does, and writes over a part of it.
func TestDeletedJournal(t *testing.T) {
	whole, first := usnImage(t)
	sound, _ := changes(t, fstest.Bytes(whole))
	fs, err := Open(fstest.Bytes(whole))
	if err != nil {
		t.Fatal(err)
	}
	whole[fs.mftPlace(64*1024)+22] &^= 1
	copy(whole[first:], slices.Repeat([]byte{0xa5, 1}, 512))
	got, lost := changes(t, fstest.Bytes(whole))
	if len(got) != len(sound)-13 || len(lost) != 0 {
		t.Errorf("%d of %d records, %q", len(got), len(sound), lost)
	}
}

// usnJournal makes records of version 2 or 3 with random fields for the stream
// that begins at byte at.
func usnJournal(r *rand.Rand, at int64, n, version int) []byte {
	var out []byte
	for i := range n {
		name := make([]rune, 1+r.IntN(40))
		for j := range name {
			name[j] = []rune("abcdefghijklmnopqrstuvwxyz .-äß日本ж")[r.IntN(34)]
		}
		text := utf16.Encode(name)
		refs := 16 * (version - 1)
		size := (44 + refs + 2*len(text) + 7) &^ 7
		if len(out)%usnPage+size > usnPage {
			out = append(out, make([]byte, usnPage-len(out)%usnPage)...)
		}
		p := make([]byte, size)
		binary.LittleEndian.PutUint32(p, uint32(size))
		p[4] = byte(version)
		binary.LittleEndian.PutUint64(p[8:], uint64(64+r.IntN(100))|uint64(1+r.IntN(9))<<48)
		binary.LittleEndian.PutUint64(p[8+refs/2:], uint64(64+r.IntN(100))|uint64(1+r.IntN(9))<<48)
		q := p[8+refs:]
		binary.LittleEndian.PutUint64(q, uint64(at)+uint64(len(out)))
		binary.LittleEndian.PutUint64(q[8:], 132539328000000000+uint64(i)*1234567)
		binary.LittleEndian.PutUint32(q[16:], 1<<r.IntN(25)&^0x88|1<<r.IntN(3)|uint32(r.IntN(2))<<31)
		binary.LittleEndian.PutUint32(q[20:], uint32(r.IntN(5)))
		binary.LittleEndian.PutUint32(q[24:], r.Uint32())
		binary.LittleEndian.PutUint32(q[28:], 0x20|uint32(r.IntN(2))<<4)
		binary.LittleEndian.PutUint16(q[32:], uint16(2*len(text)))
		binary.LittleEndian.PutUint16(q[34:], uint16(44+refs))
		for j, c := range text {
			binary.LittleEndian.PutUint16(q[36+2*j:], c)
		}
		out = append(out, p...)
	}
	return out
}

// TestJournalAsSleuthkitReadsIt compares 5,000 records of version 2 with those
// that usnjls gives; it reads the first stream of the file, so they stand in
// the one without a name as well.
func TestJournalAsSleuthkitReadsIt(t *testing.T) {
	for _, tool := range []string{"usnjls", "ntfscp"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("%s is not installed", tool)
		}
	}
	v := makeVolume(t, 16<<20, "-c", "4096")
	empty := t.TempDir() + "/empty"
	must(t, os.WriteFile(empty, nil, 0o600))
	if out, err := exec.Command("ntfscp", "-f", v.image, empty, "$Extend/"+usnFile).CombinedOutput(); err != nil {
		t.Skipf("ntfscp: %v: %s", err, out)
	}
	const head = 3 << 20
	journal := usnJournal(rand.New(rand.NewChaCha8([32]byte{7})), head, 5000, 2)
	if out, err := exec.Command("ntfs-3g", "-o", "show_sys_files,streams_interface=windows", v.image, v.mnt).CombinedOutput(); err != nil {
		t.Skipf("ntfs-3g: %v: %s", err, out)
	}
	for _, name := range []string{"", ":" + usnStream} {
		f, err := os.OpenFile(v.mnt+"/$Extend/"+usnFile+name, os.O_RDWR|os.O_CREATE, 0)
		must(t, err)
		_, err = f.WriteAt(journal, head)
		must(t, errors.Join(err, f.Close()))
	}
	must(t, exec.Command("umount", v.mnt).Run())
	out, err := exec.Command("usnjls", "-m", v.image).Output()
	must(t, err)
	want := strings.Split(strings.TrimSuffix(string(out), "\n"), "\n")
	got, lost := changes(t, openDisk(t, v.image))
	if len(lost) > 0 || len(got) != 5000 || len(want) != 5000 {
		t.Fatalf("%d records, usnjls has %d, lost %q", len(got), len(want), lost)
	}
	for i, c := range got {
		f := strings.SplitN(want[i], "|", 11) // version, length, file, directory, usn, time, reasons, source, security, attributes, name
		usnjls := strings.Join(append(slices.Clone(f[2:5]), f[6], f[7], f[9], f[10]), "|")
		ours := fmt.Sprintf("%d-%d|%d-%d|%d|%d|%d|%d|%s", c.Ref.Inode, c.Generation, c.Parent, c.ParentGeneration, c.USN, uint32(c.Reason), c.Source, c.Attributes, c.Name)
		if ours != usnjls || !strings.HasPrefix(f[5], fmt.Sprint(c.Time.Sec)+".") {
			t.Fatalf("record %d: %s %s, usnjls has %s", i, ours, c.Time, want[i])
		}
	}
}

// FuzzJournal reads a journal of any bytes, behind records of each version.
func FuzzJournal(f *testing.F) {
	whole, first := usnImage(f)
	r := rand.New(rand.NewChaCha8([32]byte{2}))
	f.Add(usnJournal(r, 1<<20, 40, 2), uint16(0), false)
	f.Add(usnJournal(r, 1<<20+200, 40, 3), uint16(200), true)
	f.Add([]byte{0x50, 0, 0, 0, 4, 0, 0, 0}, uint16(4096), false)
	f.Add(slices.Clone(whole[first:first+3000]), uint16(8), true)
	image, err := Open(fstest.Bytes(whole))
	if err != nil {
		f.Fatal(err)
	}
	record := image.mftPlace(64 * 1024)
	f.Fuzz(func(t *testing.T, p []byte, at uint16, deleted bool) {
		b := slices.Clone(whole)
		copy(b[first+int(at):], p)
		if deleted {
			b[record+22] &^= 1
		}
		fs, err := Open(fstest.Bytes(b))
		if err != nil {
			return
		}
		for c, err := range fs.Changes(context.Background()) {
			if err == nil && (c.Name == "" || c.Reason.String() == "" || c.Reason.Word() == "" || c.Dir != "" && c.Dir[0] != '/') {
				t.Fatalf("%+v", c)
			}
		}
		for e, err := range fs.Walk(context.Background()) {
			if err != nil {
				t.Fatal(err)
			}
			if e.Path == "" || e.Path[0] != '/' {
				t.Fatalf("%+v", e)
			}
		}
	})
}
