package acquire

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"snapcase/evidence"
	"snapcase/evidence/credential"
)

const event = `{"Records":[{"eventVersion":"1.08","eventID":"e1","eventName":"GetCallerIdentity","eventSource":"sts.amazonaws.com"}]}`

// folder makes files by name; odd names too.
func folder(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "logs")
	must(t, os.Mkdir(dir, 0o755))
	for name, text := range files {
		must(t, os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755))
		must(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644))
	}
	return dir
}

func manyFiles() map[string]string {
	return map[string]string{
		"a.json": event, "sub/b.json": event, "sub/deep/er/c.json": event + "\n", "sub/empty.json": "",
		"with space.json": "1", "esc\x1b[31m.json": "2", "\xff\xfe.json": "3", "new\nline.json": "4", "sub/umläut.json": "5",
		"A.json": "differs by case", "_enc/0123456789abcdef0123456789abcdef": "6", "back\\slash": "7", "*": "8", "-rf": "9",
		strings.Repeat("long/", 210) + "x": "10",
	}
}

// checkFolder compares an exhibit with what was there, by original names.
func checkFolder(t *testing.T, j Job, a evidence.Acquisition, want map[string]string) {
	t.Helper()
	names, err := Names(j.Folder, a.Exhibit)
	must(t, err)
	if len(names) != len(want) || a.Files != int64(len(want)) {
		t.Fatalf("%d names, %d files, want %d", len(names), a.Files, len(want))
	}
	var sum int64
	for stored, name := range names {
		path := filepath.Join(j.Folder.Files(a.Exhibit), stored)
		if got := string(read(t, path)); got != want[name] {
			t.Errorf("%q holds %q, want %q", name, got, want[name])
		}
		for i := range len(stored) {
			if c := stored[i]; !strings.ContainsRune("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._/-", rune(c)) {
				t.Errorf("%q is stored as %q", name, stored)
			}
		}
		if !plainName(name) && stored != fmt.Sprintf("_enc/%x", sha256Of(name)[:16]) {
			t.Errorf("%q is stored as %q", name, stored)
		}
		was, err := os.Stat(filepath.Join(j.Source, name))
		if err != nil {
			was, err = os.Stat(j.Source)
		}
		must(t, err)
		is, err := os.Stat(path)
		must(t, err)
		if is.Mode() != 0o444 || !is.ModTime().Equal(was.ModTime()) {
			t.Errorf("%q: mode %v, time %v, want %v", name, is.Mode(), is.ModTime(), was.ModTime())
		}
		sum += is.Size()
	}
	if a.Bytes != sum {
		t.Errorf("%d bytes, want %d", a.Bytes, sum)
	}
	manifest := read(t, filepath.Join(j.Folder.Exhibit(a.Exhibit), manifestName))
	if a.SHA256 != sha256.Sum256(manifest) {
		t.Error("the digest is not that of the manifest")
	}
	if _, err := exec.LookPath("sha256sum"); err == nil {
		c := exec.Command("sha256sum", "-c", "--quiet", "--strict", "../"+manifestName)
		c.Dir = j.Folder.Files(a.Exhibit)
		if out, err := c.CombinedOutput(); err != nil {
			t.Errorf("sha256sum -c: %v: %s", err, out)
		}
	}
}

func sha256Of(s string) []byte {
	sum := sha256.Sum256([]byte(s))
	return sum[:]
}

func TestFolder(t *testing.T) {
	want := manyFiles()
	j, l := newJob(t, folder(t, want))
	must(t, os.Chtimes(filepath.Join(j.Source, "a.json"), time.Unix(1, 5), time.Unix(1234567890, 123456789)))
	j.Kind = evidence.KindCloudTrail
	a, err := Run(t.Context(), j)
	must(t, err)
	checkFolder(t, j, a, want)
	if l.types() != "start end" || l.last(t).Result != "ok" || a.API != apiFolder {
		t.Fatalf("%s %+v", l.types(), a)
	}
	files := l.last(t).Data["files_sha256"].(map[string]any)
	for _, name := range []string{manifestName, namesName, sealName} {
		if files[name] != fmt.Sprintf("%x", sha256Of(string(read(t, filepath.Join(j.Folder.Exhibit(a.Exhibit), name))))) {
			t.Errorf("%s: the record says %v", name, files[name])
		}
	}
	if len(files) != 3 {
		t.Errorf("%v", files)
	}
}

func TestWhatIsSkipped(t *testing.T) {
	want := map[string]string{"a.json": event, "c.json": event}
	j, l := newJob(t, folder(t, want))
	must(t, os.Symlink("/etc/passwd", filepath.Join(j.Source, "link")))
	must(t, os.Symlink("..", filepath.Join(j.Source, "up")))
	must(t, syscall.Mkfifo(filepath.Join(j.Source, "pipe"), 0o644))
	must(t, os.Mkdir(filepath.Join(j.Source, "empty"), 0o755))
	gaps := 3
	if os.Getuid() != 0 {
		must(t, os.WriteFile(filepath.Join(j.Source, "locked"), []byte("x"), 0))
		gaps++
	}
	a, err := Run(t.Context(), j)
	if !errors.Is(err, evidence.ErrGaps) || len(a.ReadErrors) != gaps || a.Kind != evidence.KindCloudTrail {
		t.Fatal(err, a)
	}
	checkFolder(t, j, a, want)
	var types []string
	d := json.NewDecoder(bytes.NewReader(read(t, filepath.Join(j.Folder.Exhibit(a.Exhibit), skippedName))))
	for range gaps + 1 {
		var s skipped
		must(t, d.Decode(&s))
		types = append(types, s.Name+"="+s.Type+s.Target)
	}
	if got := strings.Join(types, " "); !strings.HasPrefix(got, "empty=folder link=symlink/etc/passwd ") || !strings.HasSuffix(got, "pipe=pipe up=symlink..") {
		t.Errorf("skipped: %s", got)
	}
	if r := l.last(t); r.Result != "partial" || r.Data["read_errors_total"] != fmt.Sprint(gaps) {
		t.Errorf("%+v", r)
	}
}

func TestSingleFile(t *testing.T) {
	secret := "[default]\naws_access_key_id = AKIA2OGYBAH6QLWVZT7M\naws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY\n"
	path := write(t, "creds.txt", []byte(secret))
	link := filepath.Join(t.TempDir(), "by another name")
	must(t, os.Symlink(path, link))
	j, _ := newJob(t, link)
	j.Hashes = []string{"md5"}
	a, err := Run(t.Context(), j)
	must(t, err)
	if a.Kind != evidence.KindFile || a.API != apiFile || len(a.Hashes) != 1 {
		t.Fatalf("%+v", a)
	}
	checkFolder(t, j, a, map[string]string{"by another name": secret})
	b := read(t, filepath.Join(j.Folder.Exhibit(a.Exhibit), hitsName))
	n := 0
	for h, err := range credential.ReadHits(bytes.NewReader(b)) {
		must(t, err)
		if n++; h.File != "by another name" || h.Offset != 30 || !h.Secret {
			t.Errorf("%+v", h)
		}
	}
	if n != 1 || bytes.Contains(b, []byte("wJalr")) {
		t.Errorf("%s", b)
	}
}

func TestResumeFolder(t *testing.T) {
	want := map[string]string{}
	for i := range 3000 {
		want[fmt.Sprintf("d%d/f%04d", i%7, i)] = strings.Repeat("x", i)
	}
	j, l := newJob(t, folder(t, want))
	j.Kind = evidence.KindFile
	ctx, stop := context.WithCancel(t.Context())
	steps := 0
	j.Progress = func(evidence.Step) {
		if steps++; steps == 2000 {
			stop()
		}
	}
	if _, err := Run(ctx, j); !evidence.Canceled(err) {
		t.Fatal(err)
	}
	j.Progress = nil
	// One copy is damaged, one source changed, one gone.
	files := j.Folder.Files("EX-001")
	must(t, os.Chmod(filepath.Join(files, "d0/f0007"), 0o644))
	must(t, os.WriteFile(filepath.Join(files, "d0/f0007"), []byte("7654321"), 0o644))
	must(t, os.WriteFile(filepath.Join(j.Source, "d0/f0014"), []byte("now this"), 0o644))
	want["d0/f0014"] = "now this"
	must(t, os.Remove(filepath.Join(j.Source, "d0/f0021")))
	a, err := Run(t.Context(), j)
	if !errors.Is(err, evidence.ErrGaps) || len(a.ReadErrors) != 1 || !strings.Contains(a.ReadErrors[0].Error, "gone") {
		t.Fatal(err, a.ReadErrors)
	}
	must(t, os.WriteFile(filepath.Join(j.Source, "d0/f0021"), nil, 0o644))
	st, err := os.Stat(filepath.Join(files, "d0/f0021"))
	must(t, err)
	must(t, os.Chtimes(filepath.Join(j.Source, "d0/f0021"), st.ModTime(), st.ModTime()))
	checkFolder(t, j, a, want)
	if a.ResumedFrom == 0 || l.types() != "start error start end" {
		t.Fatal(a.ResumedFrom, l.types())
	}
}

func TestDetect(t *testing.T) {
	var gz bytes.Buffer
	z := gzip.NewWriter(&gz)
	_, err := z.Write([]byte(event))
	must(t, errors.Join(err, z.Close()))
	ext := make([]byte, 8192)
	copy(ext[1024+56:], "\x53\xef")
	copy(ext[1024+24:], "\x02")
	mbr := make([]byte, 512)
	copy(mbr[446:], "\x80\x00\x00\x00\x83\x00\x00\x00\x00\x08\x00\x00\x00\x08\x00\x00")
	copy(mbr[510:], "\x55\xaa")
	gpt := make([]byte, 1024)
	copy(gpt[512:], "EFI PART")
	for _, c := range []struct {
		kind evidence.Kind
		text string
	}{
		{evidence.KindDisk, string(ext)},
		{evidence.KindDisk, string(mbr)},
		{evidence.KindDisk, string(gpt)},
		{evidence.KindMemory, "EMiL\x01\x00\x00\x00"},
		{evidence.KindMemory, "AVML\x02\x00\x00\x00"},
		{evidence.KindPcap, "\xd4\xc3\xb2\xa1\x02\x00"},
		{evidence.KindPcap, "\n\r\r\n\x1c\x00\x00\x00"},
		{evidence.KindCloudTrail, event},
		{evidence.KindCloudTrail, gz.String()},
		{evidence.KindCloudTrail, gz.String()[:len(gz.String())-9]},
		{evidence.KindCloudTrail, "\xef\xbb\xbf\n [" + event + "]"},
		{evidence.KindCloudTrail, `{"Records": []}`},
		{evidence.KindCloudTrail, `{"Events":[{"CloudTrailEvent":"{}"}]}`},
		{evidence.KindFlowLog, "version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes start end action log-status\n"},
		{evidence.KindFlowLog, "2 123456789010 eni-1235b8ca123456789 172.31.16.139 172.31.16.21 20641 22 6 20 4249 1418530010 1418530070 ACCEPT OK\n"},
		{evidence.KindFlowLog, "2 123456789010 eni-1235b8ca123456789 - - - - - - - 1431280876 1431280934 - NODATA"},
		{evidence.KindFindings, `[{"ProductArn":"arn","AwsAccountId":"1"}]`},
		{evidence.KindFile, "what the owner said\n"},
		{evidence.KindFile, "\x1f\x8b\x08"},
		{evidence.KindFile, `{"a":1}`},
		{evidence.KindFile, "\x00"},
		{evidence.KindFile, string(make([]byte, 510)) + "\x55\xaa"},
	} {
		if kind, how, err := Detect(write(t, "x", []byte(c.text))); err != nil || kind != c.kind {
			t.Errorf("%.40q: %s (%s), want %s, %v", c.text, kind, how, c.kind, err)
		}
	}
	kind, how, err := Detect(folder(t, map[string]string{"1": event, "2": event, "readme": "x", "4": gz.String()}))
	if err != nil || kind != evidence.KindCloudTrail || !strings.Contains(how, "3 of 4") || !strings.Contains(how, "1 file") {
		t.Errorf("%s %s %v", kind, how, err)
	}
}

func FuzzDetect(f *testing.F) {
	f.Add([]byte(event))
	f.Add([]byte("\x1f\x8b\x08\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		path := filepath.Join(t.TempDir(), "x")
		must(t, os.WriteFile(path, append(b, 'x'), 0o644))
		if kind, _, err := Detect(path); err != nil || kind == "" {
			t.Fatal(kind, err)
		}
	})
}

func FuzzJournal(f *testing.F) {
	f.Add([]byte(`{"header":{"v":1,"source":"x","kind":"disk","identity":{"api":"file","size":4194305}}}` + "\n" + `{"block":{"n":0,"length":4194304,"sha256":"` + strings.Repeat("0", 64) + `"}}` + "\n"))
	f.Add([]byte(`{"header":{"v":1,"source":"x","kind":"disk","identity":{"api":"file","size":8388613}}}` + "\n" + `{"block":{"n":0,"length":8388608,"sha256":"` + strings.Repeat("0", 64) + `","zeros":2}}` + "\n" + `{"drop":1}` + "\n"))
	f.Add([]byte(`{"header":{"v":1,"source":"x","kind":"disk","part":1048576,"identity":{"api":"file","size":8388613}}}` + "\n" + `{"block":{"n":0,"length":4194304,"parts":"` + strings.Repeat("A", 171) + `="}}` + "\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		path := filepath.Join(t.TempDir(), journalName)
		must(t, os.WriteFile(path, b, 0o600))
		l, err := openJournal(path)
		must(t, err)
		defer l.close() //nolint:errcheck // a test
		x := &exhibit{log: l}
		part := int64(0)
		if bytes.Contains(b, []byte(`"parts"`)) {
			part = 1 << 20
		}
		k, err := x.keptBlocks(2*blockSize+5, blockSize, part)
		must(t, err)
		defer k.stop()
		if k.end < 0 || k.end > 2*blockSize+5 || k.cutAt > int64(len(b)) {
			t.Fatal(k.end, k.cutAt)
		}
		var next int64
		err = k.all(func(off, length int64, _ evidence.Digest, _ bool) error {
			if off != next || length <= 0 {
				t.Fatal(off, length)
			}
			next += length
			return nil
		})
		if err == nil && next != 2*blockSize+5 {
			t.Fatal(next)
		}
	})
}

func BenchmarkRun(b *testing.B) {
	for name, source := range map[string][]byte{"random": random(256 << 20), "zeros": make([]byte, 256<<20)} {
		b.Run(name, func(b *testing.B) {
			path := write(b, "disk.raw", source)
			b.SetBytes(int64(len(source)))
			for b.Loop() {
				j, _ := newJob(b, path)
				j.Kind = evidence.KindDisk
				_, err := Run(b.Context(), j)
				must(b, err)
				must(b, os.RemoveAll(string(j.Folder)))
			}
		})
	}
}
