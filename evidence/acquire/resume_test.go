package acquire

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"snapcase/evidence"
)

// TestMain runs an acquisition instead of the tests where it is told to: it is
// the process that TestKill kills.
func TestMain(m *testing.M) {
	if dir := os.Getenv("SNAPCASE_TEST_ACQUIRE"); dir != "" {
		f := evidence.Folder(dir)
		j := Job{Folder: f, Source: os.Getenv("SNAPCASE_TEST_SOURCE"), Ledger: &testLedger{path: f.Ledger()}, CaseKey: key, Now: time.Now, Kind: evidence.Kind(os.Getenv("SNAPCASE_TEST_KIND")), Format: os.Getenv("SNAPCASE_TEST_FORMAT")}
		a, err := Run(context.Background(), j)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		if err := json.NewEncoder(os.Stdout).Encode(a); err != nil {
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func child(t *testing.T, j Job) *exec.Cmd {
	t.Helper()
	exe, err := os.Executable()
	must(t, err)
	c := exec.Command(exe)
	c.Env = append(os.Environ(), "SNAPCASE_TEST_ACQUIRE="+string(j.Folder), "SNAPCASE_TEST_SOURCE="+j.Source, "SNAPCASE_TEST_KIND="+string(j.Kind), "SNAPCASE_TEST_FORMAT="+j.Format)
	return c
}

// TestKill is T15: SIGKILL at random moments, then the same hash, and a ledger
// with exactly one end.
func TestKill(t *testing.T) {
	if testing.Short() {
		t.Skip("needs ten seconds")
	}
	for _, format := range []string{formatRaw, formatZst} {
		t.Run(format, func(t *testing.T) { testKill(t, format) })
	}
}

func testKill(t *testing.T, format string) {
	want := pattern(400<<20, 11)
	j, l := newJob(t, write(t, "disk.raw", want))
	j.Kind, j.Format = evidence.KindDisk, format
	r := rand.New(rand.NewPCG(5, 5))
	began := time.Now()
	must(t, child(t, j).Run())
	took := time.Since(began)
	must(t, os.RemoveAll(string(j.Folder)))
	must(t, os.Mkdir(string(j.Folder), 0o755))
	for range 12 {
		c := child(t, j)
		must(t, c.Start())
		time.Sleep(time.Duration(r.Int64N(int64(took))))
		must(t, c.Process.Kill())
		c.Wait() //nolint:errcheck // it was killed
		if all, err := evidence.ReadExhibits(j.Folder); err != nil || len(all) > 0 && ends(t, l.path) > 0 {
			break // it came to its end
		}
	}
	out, err := child(t, j).Output()
	must(t, err)
	var a evidence.Acquisition
	must(t, json.Unmarshal(out, &a))
	must(t, json.Unmarshal(read(t, j.Folder.Acquisition("EX-001")), &a))
	t.Logf("resumed from %d of %d", a.ResumedFrom, a.Bytes)
	checkSealed(t, j, a, want)
	all, err := evidence.ReadExhibits(j.Folder)
	must(t, err)
	if n := ends(t, l.path); n != len(all) {
		t.Fatalf("%d ends in the ledger of %d exhibits", n, len(all))
	}
}

func ends(t *testing.T, ledger string) int {
	t.Helper()
	b, err := os.ReadFile(ledger)
	if errors.Is(err, os.ErrNotExist) {
		return 0
	}
	must(t, err)
	return bytes.Count(b, []byte(`"type":"evidence.acquire.end"`))
}

// cancelAfter is a source that cancels its reader at an offset.
type cancelAfter struct {
	Input
	at   int64
	stop func()
}

func (s *cancelAfter) ReadAt(p []byte, off int64) (int, error) {
	if off >= s.at {
		s.stop()
	}
	return s.Input.ReadAt(p, off)
}

// interrupted is a job of which n blocks and some more were read.
func interrupted(t *testing.T, want []byte, n int64) (Job, *testLedger) {
	t.Helper()
	j, l := newJob(t, write(t, "disk.raw", want))
	j.Kind = evidence.KindDisk
	ctx, stop := context.WithCancel(t.Context())
	j.Open = func(string) (Input, error) {
		return &cancelAfter{&shortSource{bytes.NewReader(want), int64(len(want))}, n * blockSize, stop}, nil
	}
	a, err := Run(ctx, j)
	if !evidence.Canceled(err) || a.Exhibit != "EX-001" || a.Ended.Set {
		t.Fatal(err, a)
	}
	if l.types() != "start error" || l.last(t).Result != "failed" {
		t.Fatalf("records: %s", l.types())
	}
	j.Open = nil
	return j, l
}

func TestResume(t *testing.T) {
	want := pattern(10*blockSize+99, 12)
	j, l := interrupted(t, want, 7)
	fresh := j
	fresh.Hashes = []string{"md5"}
	if _, err := Run(t.Context(), fresh); !errors.Is(err, evidence.ErrUsage) {
		t.Fatal(err)
	}
	a, err := Run(t.Context(), j)
	must(t, err)
	checkSealed(t, j, a, want)
	if a.ResumedFrom == 0 || a.ResumedFrom%blockSize != 0 {
		t.Errorf("resumed from %d", a.ResumedFrom)
	}
	if l.types() != "start error start end" {
		t.Fatalf("records: %s", l.types())
	}
	checkEnd(t, j, l, a)
	a, err = Run(t.Context(), j)
	must(t, err)
	if a.Exhibit != "EX-002" || a.ResumedFrom != 0 {
		t.Fatalf("once more: %+v", a)
	}
}

// TestResumeDamaged changes what lies on disk before it resumes.
func TestResumeDamaged(t *testing.T) {
	want := pattern(10*blockSize+99, 13)
	for name, damage := range map[string]func(dir string){
		"flipped byte": func(dir string) {
			f, err := os.OpenFile(filepath.Join(dir, partName), os.O_RDWR, 0)
			must(t, err)
			_, err = f.WriteAt([]byte{want[2*blockSize+5] ^ 1}, 2*blockSize+5)
			must(t, errors.Join(err, f.Close()))
		},
		"no copy": func(dir string) { must(t, os.Remove(filepath.Join(dir, partName))) },
		"torn journal": func(dir string) {
			path := filepath.Join(dir, journalName)
			must(t, os.Truncate(path, int64(len(read(t, path))-9)))
		},
		"no blocks in the journal": func(dir string) {
			path := filepath.Join(dir, journalName)
			must(t, os.Truncate(path, int64(bytes.IndexByte(read(t, path), '\n')+1)))
		},
		"whole, not sealed": func(dir string) {
			must(t, os.Rename(filepath.Join(dir, partName), filepath.Join(dir, imageName)))
			must(t, os.Chmod(filepath.Join(dir, imageName), 0o444))
		},
		"other blocks swapped": func(dir string) {
			path := filepath.Join(dir, journalName)
			lines := strings.SplitAfter(string(read(t, path)), "\n")
			lines[1], lines[2] = lines[2], lines[1]
			must(t, os.WriteFile(path, []byte(strings.Join(lines, "")), 0o600))
		},
	} {
		j, _ := interrupted(t, want, 7)
		damage(j.Folder.Exhibit("EX-001"))
		a, err := Run(t.Context(), j)
		if err != nil || a.Exhibit != "EX-001" {
			t.Fatalf("%s: %v, %+v", name, err, a)
		}
		checkSealed(t, j, a, want)
	}
}

func TestResumeReadErrors(t *testing.T) {
	source := pattern(10*blockSize, 14)
	want := bytes.Clone(source)
	clear(want[blockSize+1024 : blockSize+2048])
	j, _ := newJob(t, write(t, "disk.raw", source))
	j.Kind = evidence.KindDisk
	ctx, stop := context.WithCancel(t.Context())
	bad := &badSource{Reader: bytes.NewReader(source), bad: [][2]int64{{blockSize + 1024, blockSize + 2048}, {9 * blockSize, 9*blockSize + 1}}}
	j.Open = func(string) (Input, error) { return &cancelAfter{bad, 7 * blockSize, stop}, nil }
	if _, err := Run(ctx, j); !evidence.Canceled(err) {
		t.Fatal(err)
	}
	bad.bad = nil // what was lost stays lost: it is not read again
	j.Open = func(string) (Input, error) { return bad, nil }
	a, err := Run(t.Context(), j)
	if !errors.Is(err, evidence.ErrGaps) || len(a.ReadErrors) != 1 || a.ResumedFrom < 2*blockSize {
		t.Fatal(err, a)
	}
	checkSealed(t, j, a, want)
}

func TestSourceChanged(t *testing.T) {
	want := pattern(8*blockSize, 15)
	j, _ := interrupted(t, want, 6)
	must(t, os.WriteFile(j.Source, want[:len(want)-1], 0o644))
	_, err := Run(t.Context(), j)
	var h evidence.Hinted
	if err == nil || !errors.As(err, &h) || !strings.Contains(err.Error(), "EX-001 is unfinished") {
		t.Fatal(err)
	}
	j.Label = "again"
	a, err := Run(t.Context(), j)
	must(t, err)
	if a.Exhibit != "EX-002" {
		t.Fatalf("%+v", a)
	}
	checkSealed(t, j, a, want[:len(want)-1])
}

// TestBetweenSealAndLedger fails the ledger's last record, as a crash would.
func TestBetweenSealAndLedger(t *testing.T) {
	want := pattern(2*blockSize+5, 16)
	for _, how := range []string{"run", "recover"} {
		j, l := newJob(t, write(t, "disk.raw", want))
		j.Kind = evidence.KindDisk
		l.fail = "evidence.acquire.end"
		if _, err := Run(t.Context(), j); err == nil {
			t.Fatal("no error")
		}
		l.fail = ""
		if how == "run" {
			a, err := Run(t.Context(), j)
			must(t, err)
			checkSealed(t, j, a, want)
			checkEnd(t, j, l, a)
		} else {
			must(t, Recover(t.Context(), j.Folder, l))
			var a evidence.Acquisition
			must(t, json.Unmarshal(read(t, j.Folder.Acquisition("EX-001")), &a))
			checkEnd(t, j, l, a)
		}
		must(t, Recover(t.Context(), j.Folder, l))
		if ends(t, l.path) != 1 {
			t.Fatalf("%d ends", ends(t, l.path))
		}
	}
	// A crash after the record, before the journal went.
	j, l := newJob(t, write(t, "disk.raw", want))
	j.Kind = evidence.KindDisk
	a, err := Run(t.Context(), j)
	must(t, err)
	must(t, os.WriteFile(filepath.Join(j.Folder.Exhibit(a.Exhibit), journalName), []byte("{}\n"), 0o600))
	must(t, Recover(t.Context(), j.Folder, l))
	if ends(t, l.path) != 1 {
		t.Fatal("a second end")
	}
	must(t, Done(j.Folder, a.Exhibit))
	checkSealed(t, j, a, want)
	// An image that was changed before the record is not vouched for.
	j, l = newJob(t, write(t, "disk.raw", want))
	j.Kind, l.fail = evidence.KindDisk, "evidence.acquire.end"
	if _, err := Run(t.Context(), j); err == nil {
		t.Fatal("no error")
	}
	l.fail = ""
	image := j.Folder.Image("EX-001")
	must(t, os.Chmod(image, 0o644))
	b := bytes.Clone(want)
	b[77] ^= 4
	must(t, os.WriteFile(image, b, 0o644))
	if err := Recover(t.Context(), j.Folder, l); !errors.Is(err, evidence.ErrBroken) || ends(t, l.path) != 0 {
		t.Fatal(err)
	}
}

// TestHeld acquires again what its caller was not done with: it is the same
// exhibit, as long as the source is the same and the same is asked for.
func TestHeld(t *testing.T) {
	want := pattern(2*blockSize+5, 18)
	j, l := newJob(t, write(t, "disk.raw", want))
	j.Kind, j.Hold = evidence.KindDisk, true
	first, err := Run(t.Context(), j)
	must(t, err)
	must(t, Recover(t.Context(), j.Folder, l))
	j.Open = func(string) (Input, error) { return nil, errors.New("the source was opened") }
	again, err := Run(t.Context(), j)
	must(t, err)
	if first.Again || !again.Again || again.Exhibit != first.Exhibit || again.SHA256 != first.SHA256 || ends(t, l.path) != 1 {
		t.Fatalf("%+v", again)
	}
	j.Open = nil
	md5 := j
	md5.Hashes = []string{"md5"}
	other, err := Run(t.Context(), md5)
	must(t, err)
	if other.Exhibit != "EX-002" || other.Again {
		t.Fatalf("other hashes: %+v", other)
	}
	must(t, Done(j.Folder, "EX-001"))
	must(t, Done(j.Folder, "EX-001"))
	if a, err := Run(t.Context(), j); err != nil || a.Exhibit != "EX-003" || a.Again {
		t.Fatalf("after the end: %+v, %v", a, err)
	}
	must(t, os.WriteFile(j.Source, want[1:], 0o644))
	a, err := Run(t.Context(), j)
	must(t, err)
	if a.Exhibit != "EX-004" || a.Again {
		t.Fatalf("another source: %+v", a)
	}
	must(t, Done(j.Folder, a.Exhibit))
	checkSealed(t, j, a, want[1:])
	if err := Done(j.Folder, "EX-009"); err == nil {
		t.Fatal("the end of what never was")
	}
}

// TestTwoAtOnce lets two acquisitions of one source meet, and four of others.
func TestTwoAtOnce(t *testing.T) {
	want := pattern(4*blockSize, 17)
	j, l := newJob(t, write(t, "disk.raw", want))
	j.Kind = evidence.KindDisk
	reading, goOn := make(chan bool), make(chan bool)
	j.Open = func(path string) (Input, error) {
		close(reading)
		<-goOn
		f, err := os.Open(path)
		return &fileInput{f, int64(len(want))}, err
	}
	done := make(chan error, 1)
	go func() {
		_, err := Run(context.Background(), j)
		done <- err
	}()
	<-reading
	second := j
	second.Open = nil
	if _, err := Run(t.Context(), second); !errors.Is(err, errBusy) {
		t.Errorf("second: %v", err)
	}
	if err := Recover(t.Context(), j.Folder, l); err != nil {
		t.Error(err)
	}
	for i := range 4 {
		go func() {
			other := second
			other.Source = write(t, "other", pattern(blockSize+i, uint64(i)))
			_, err := Run(context.Background(), other)
			done <- err
		}()
	}
	for range 4 {
		must(t, <-done)
	}
	close(goOn)
	must(t, <-done)
	all, err := evidence.ReadExhibits(j.Folder)
	must(t, err)
	if len(all) != 5 || all[0].SHA256 != sha256.Sum256(want) {
		t.Fatalf("%+v", all)
	}
}

// TestKeepsWhatItDoesNotKnow: a folder whose journal says nothing is taken
// only when nothing else lies in it. What is sealed is never written over.
func TestKeepsWhatItDoesNotKnow(t *testing.T) {
	want := pattern(blockSize+5, 21)
	for _, name := range []string{"acquisition.json", "image.raw", "manifest-sha256.txt", ""} {
		j, _ := newJob(t, write(t, "disk.raw", want))
		dir := j.Folder.Exhibit("EX-001")
		must(t, os.MkdirAll(dir, 0o755))
		must(t, os.WriteFile(filepath.Join(dir, journalName), []byte("torn"), 0o600))
		next := "EX-001"
		if name != "" {
			must(t, os.WriteFile(filepath.Join(dir, name), []byte("{}"), 0o444))
			next = "EX-002"
		}
		a, err := Run(t.Context(), j)
		must(t, err)
		if a.Exhibit != next {
			t.Errorf("beside %q: %s", name, a.Exhibit)
		}
		if name != "" && string(read(t, filepath.Join(dir, name))) != "{}" {
			t.Errorf("%s was written over", name)
		}
	}
}
