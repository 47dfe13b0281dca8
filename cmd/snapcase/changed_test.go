package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"snapcase/evidence"
	"snapcase/evidence/aws/awstest"
)

const newerID = "snap-0fedcba9876543210"

// later is the disk after some more days: a file was added, one was removed, the
// first half of one was written anew.
func later(t *testing.T, image string) string {
	t.Helper()
	if _, err := exec.LookPath("debugfs"); err != nil {
		t.Skip("needs debugfs")
	}
	dir := t.TempDir()
	out, added := filepath.Join(dir, "later.raw"), filepath.Join(dir, "added")
	do(t, "cp", "--sparse=always", image, out)
	must(t, os.WriteFile(added, bytes.Repeat([]byte("exfiltrated\n"), 100_000), 0o644))
	do(t, "debugfs", "-w", "-R", "write "+added+" added.txt", out)
	do(t, "debugfs", "-w", "-R", "rm /notes.txt", out)
	return out
}

// alsoNewer serves a later state of the volume as a second snapshot.
func alsoNewer(t *testing.T, ebs *awstest.EBS, image string) *awstest.Snapshot {
	t.Helper()
	f, err := os.Open(image)
	must(t, err)
	t.Cleanup(func() { must(t, f.Close()) })
	s := &awstest.Snapshot{ID: newerID, VolumeID: volumeID, Owner: "111122223333", Region: "eu-west-1", State: "completed", Progress: "100%", GiB: 1, Data: f}
	b := make([]byte, awstest.BlockSize)
	for i := range int32(1 << 30 / awstest.BlockSize) {
		_, err := f.ReadAt(b, int64(i)*awstest.BlockSize)
		must(t, err)
		if !bytes.Equal(b, make([]byte, len(b))) {
			s.Listed = append(s.Listed, i)
		}
	}
	ebs.Snapshots[newerID] = s
	return s
}

// mapOf reads map.jsonl of the exhibit and compares it with the disk: its digests,
// and that no line of data or zeros is something else.
func mapOf(t *testing.T, cs, exhibit, image string) (lines []evidence.MapLine, absent int64) {
	t.Helper()
	f, err := os.Open(evidence.Folder(cs).Map(exhibit))
	must(t, err)
	defer f.Close()
	disk, err := os.Open(image)
	must(t, err)
	defer disk.Close()
	must(t, evidence.ReadMap(f, 1<<30, func(l evidence.MapLine) {
		lines = append(lines, l)
		switch l.State {
		case evidence.MapNotAcquired:
			absent += l.Length
		case evidence.MapData:
			b := make([]byte, l.Length)
			_, err := disk.ReadAt(b, l.Offset)
			must(t, err)
			if fmt.Sprintf("%x", sha256.Sum256(b)) != l.SHA256 {
				t.Errorf("%+v is not what the disk has", l)
			}
		case evidence.MapHole:
			b := make([]byte, l.Length)
			_, err := disk.ReadAt(b, l.Offset)
			must(t, err)
			if !bytes.Equal(b, make([]byte, len(b))) {
				t.Errorf("%+v is no hole of the disk", l)
			}
		}
	}))
	return lines, absent
}

// TestChangedSince acquires what changed between two snapshots, and nothing else
// but what the file tree needs.
func TestChangedSince(t *testing.T) {
	old := ext4(t, 220)
	_, ebs := cloud(t, old)
	now := later(t, old)
	alsoNewer(t, ebs, now)
	home, cs := t.TempDir(), filepath.Join(t.TempDir(), "case")
	output(t, home, []int{0}, "new", cs, "--title", "T", "--examiner", "jdoe")
	for _, format := range []string{"raw", "zst"} {
		clear(ebs.Got)
		out := output(t, home, []int{4}, "acquire", cs, newerID, "--changed-since", snapshotID, "--json", "--label", format, "--format", format)
		t.Logf("%s", out)
		var a evidence.Acquisition
		must(t, json.Unmarshal(out, &a))
		_, absent := mapOf(t, cs, a.Exhibit, now)
		if absent == 0 || a.NotAcquired != absent || absent < 180<<20 {
			t.Errorf("%d bytes were not acquired, the map says %d", a.NotAcquired, absent)
		}
		if len(ebs.Got) > 90 {
			t.Errorf("%d blocks were read", len(ebs.Got))
		}
		changedFiles(t, home, cs, a.Exhibit, now)
	}
	verified := output(t, home, []int{4, 5}, "verify", cs, "--json")
	if n := bytes.Count(verified, []byte("COVERAGE_PARTIAL")); n != 2 || !bytes.Contains(verified, []byte("only what changed since "+snapshotID)) {
		t.Errorf("verify: %s", verified)
	}
	stats := output(t, home, []int{4}, "stats", cs)
	for _, w := range []string{"were not acquired, only what changed since", "content of 1 entries was not acquired"} {
		if !bytes.Contains(stats, []byte(w)) {
			t.Errorf("no %q in %s", w, stats)
		}
	}
	report := filepath.Join(t.TempDir(), "report")
	output(t, home, []int{0, 4}, "report", cs, "-o", report)
	page, err := os.ReadFile(filepath.Join(report, "index.html"))
	must(t, err)
	if !bytes.Contains(page, []byte("bytes were not acquired, on purpose")) {
		t.Error("the report does not say that the exhibit is partial")
	}
	if form := output(t, home, []int{0}, "custody", cs, "--form"); !bytes.Contains(form, []byte("bytes were not acquired")) {
		t.Errorf("the form does not say that the exhibit is partial: %s", form)
	}
	bag := filepath.Join(t.TempDir(), "bag")
	output(t, home, []int{0, 4, 5}, "bundle", cs, "-o", bag)
	output(t, home, []int{4, 5}, "verify", bag)
	// A map that was changed is no map.
	path := evidence.Folder(cs).Map("EX-001")
	b, err := os.ReadFile(path)
	must(t, err)
	must(t, os.Chmod(path, 0o600))
	must(t, os.WriteFile(path, bytes.ReplaceAll(b, []byte("not-acquired"), []byte("hole")), 0o600))
	output(t, home, []int{1, 3}, "cat", cs, "EX-001@0+512")
	output(t, home, []int{3}, "verify", cs)
}

// changedFiles checks what the exhibit knows of its files: all of their names, and
// the content of those that changed alone.
func changedFiles(t *testing.T, home, cs, exhibit, image string) {
	t.Helper()
	var all []evidence.FileEntry
	d := json.NewDecoder(bytes.NewReader(output(t, home, []int{4}, "files", cs, "--exhibit", exhibit, "--json")))
	for {
		var f evidence.FileEntry
		if err := d.Decode(&f); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, f)
	}
	at := func(path string) evidence.FileEntry {
		i := slices.IndexFunc(all, func(f evidence.FileEntry) bool { return f.Path == path })
		if i < 0 {
			t.Fatalf("no %s among %d files", path, len(all))
		}
		return all[i]
	}
	noise, added := at("/noise.bin"), at("/added.txt")
	if at("/notes.txt").Status != "deleted" || added.Damage != nil || noise.Damage == nil || !strings.Contains(*noise.Damage, "not acquired: only what changed since "+snapshotID) {
		t.Errorf("noise.bin %+v, added.txt %+v", noise, added)
	}
	changed := output(t, home, []int{4}, "files", cs, "--exhibit", exhibit, "--json", "--changed", "--hash")
	if !bytes.Contains(changed, []byte(`"/added.txt"`)) || !bytes.Contains(changed, []byte(`"changed_since":{"snapshot":"`+snapshotID+`","block":true`)) {
		t.Errorf("changed: %s", changed)
	}
	if got := output(t, home, []int{0}, "cat", cs, added.Address); !bytes.Equal(got, bytes.Repeat([]byte("exfiltrated\n"), 100_000)) {
		t.Error("the content of added.txt is another")
	}
	c := command(t, home, "cat", cs, noise.Address)
	var errs bytes.Buffer
	c.Stderr = &errs
	got, err := c.Output()
	if err == nil || c.ProcessState.ExitCode() == 0 || len(got) >= 220<<20 || !strings.Contains(errs.String(), "are not here: not acquired: only what changed since "+snapshotID) {
		t.Errorf("cat of what was not acquired: %v, %d bytes: %s", err, len(got), errs.String())
	}
	lines, _ := mapOf(t, cs, exhibit, image)
	i := slices.IndexFunc(lines, func(l evidence.MapLine) bool { return l.State == evidence.MapNotAcquired })
	c = command(t, home, "cat", cs, evidence.Bytes{Exhibit: exhibit, Offset: lines[i].Offset - 16, Length: 32}.String())
	errs.Reset()
	c.Stderr = &errs
	if got, err := c.Output(); err == nil || len(got) != 16 || !strings.Contains(errs.String(), "from offset") {
		t.Errorf("cat across the border: %v, %d bytes: %s", err, len(got), errs.String())
	}
}

// TestChangedRefused says why two snapshots cannot be compared.
func TestChangedRefused(t *testing.T) {
	image := filepath.Join(t.TempDir(), "disk.raw")
	f, err := os.Create(image)
	must(t, err)
	must(t, f.Truncate(1<<30))
	must(t, f.Close())
	_, ebs := cloud(t, image)
	newer := alsoNewer(t, ebs, image)
	newer.VolumeID = "vol-0ffffffffffffffff"
	home, cs := t.TempDir(), filepath.Join(t.TempDir(), "case")
	output(t, home, []int{0}, "new", cs, "--title", "T", "--examiner", "jdoe")
	refused := func(code int, want string, args ...string) {
		t.Helper()
		c := command(t, home, append([]string{"acquire", cs}, args...)...)
		var errs bytes.Buffer
		c.Stderr = &errs
		if err := c.Run(); err == nil || c.ProcessState.ExitCode() != code || !strings.Contains(errs.String(), want) || !strings.Contains(errs.String(), "hint:") {
			t.Errorf("%v: %v: %s", args, err, errs.String())
		}
	}
	refused(1, newerID+" is of vol-0ffffffffffffffff and "+snapshotID+" of "+volumeID, newerID, "--changed-since", snapshotID)
	newer.VolumeID = "vol-ffffffff" // a copy: only the API of blocks knows
	refused(1, newerID+" and "+snapshotID+" are not snapshots of one volume", newerID, "--changed-since", snapshotID)
	refused(1, "snap-00000000000000000 is not known in eu-west-1", newerID, "--changed-since", "snap-00000000000000000")
	refused(2, "compared with itself", newerID, "--changed-since", newerID)
	output(t, home, []int{2}, "acquire", cs, image, "--changed-since", snapshotID)
}
