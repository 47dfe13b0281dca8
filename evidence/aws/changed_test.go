package aws

import (
	"bytes"
	"errors"
	"io"
	"os"
	"slices"
	"strings"
	"testing"

	"snapcase/evidence"
	"snapcase/evidence/acquire"
	"snapcase/evidence/aws/awstest"
	"snapcase/imaging"
)

const olderSnapshot = "snap-0fedcba9876543210"

// checkChanges compares what changed with the indexes of blocks.
func checkChanges(t *testing.T, c *Changes, want []int32) {
	t.Helper()
	var got []int32
	for off := int64(0); ; {
		start, end := c.Next(off)
		if start >= c.size {
			break
		}
		for i := start / c.block; i*c.block < end; i++ {
			got = append(got, int32(i)) //nolint:gosec // of a test
		}
		off = end
	}
	if !slices.Equal(got, want) || c.Count() != int64(len(want)) {
		t.Errorf("changed: %v, want %v", got, want)
	}
}

// older adds an older state: other noise where the index is a multiple of three.
func (c *cloud) older(listed []int32) *awstest.Snapshot {
	data := patched{c.noise, &awstest.Noise{Seed: 8, Size: c.noise.Size, Listed: listed}, listed}
	s := &awstest.Snapshot{ID: olderSnapshot, VolumeID: c.snap.VolumeID, Owner: "111122223333", Region: testRegion, State: "completed", Progress: "100%", GiB: c.snap.GiB, Data: data, Listed: listed}
	c.ebs.Snapshots[olderSnapshot] = s
	return s
}

// patched is the blocks of one volume, every third one of another.
type patched struct {
	base, other *awstest.Noise
	listed      []int32
}

func (p patched) ReadAt(b []byte, off int64) (int, error) {
	if i := int32(off / awstest.BlockSize); i%3 == 0 && slices.Contains(p.listed, i) { //nolint:gosec // of a test
		return p.other.ReadAt(b, off)
	}
	return (&awstest.Noise{Seed: p.base.Seed, Size: p.base.Size, Listed: p.listed}).ReadAt(b, off)
}

// TestChangedSince lists what changed through pages of two, empty ones between
// them, and acquires no other block.
func TestChangedSince(t *testing.T) {
	listed := append(span(3, 40), 300, 301)
	c := newCloud(t, 1, listed)
	c.older(append(span(0, 30), 301))
	c.ebs.Page, c.ebs.Empty = 100, true
	s := c.open(t)
	got, err := s.ChangedSince(t.Context(), olderSnapshot)
	must(t, err)
	want := []int32{0, 1, 2} // they are zeros now
	for i := int32(3); i < 40; i++ {
		if i%3 == 0 || i >= 30 {
			want = append(want, i)
		}
	}
	want = append(want, 300)
	checkChanges(t, got, want)
	if o := s.Origin(); o.Since != olderSnapshot || o.Changed != int64(len(want)) || !o.SinceTaken.Set {
		t.Errorf("%+v", o)
	}
	folder := t.TempDir()
	j := job(s, folder, &lines{})
	j.Remote.Changed = &acquire.Changed{Since: olderSnapshot, Next: got.Next}
	a, err := acquire.Run(t.Context(), j)
	if !errors.Is(err, evidence.ErrGaps) || !strings.Contains(err.Error(), "as asked, not acquired") {
		t.Fatal(err)
	}
	absent := int64(0)
	f, err := os.Open(evidence.Folder(folder).Map("EX-001"))
	must(t, err)
	defer f.Close()
	image, err := os.ReadFile(evidence.Folder(folder).Image("EX-001"))
	must(t, err)
	must(t, evidence.ReadMap(f, a.Bytes, func(l evidence.MapLine) {
		b := make([]byte, l.Length)
		_, err := c.noise.ReadAt(b, l.Offset)
		if err != nil && !errors.Is(err, io.EOF) {
			t.Fatal(err)
		}
		for i := l.Offset / awstest.BlockSize; i*awstest.BlockSize < l.Offset+l.Length; i++ {
			if l.Changed != slices.Contains(want, int32(i)) { //nolint:gosec // of a test
				t.Errorf("block %d: %+v", i, l)
			}
			if l.State == evidence.MapNotAcquired && c.ebs.Got[int32(i)] > 0 { //nolint:gosec // of a test
				t.Errorf("block %d was read and is %+v", i, l)
			}
		}
		if l.State == evidence.MapNotAcquired {
			absent += l.Length
			clear(b)
		}
		if !bytes.Equal(b, image[l.Offset:l.Offset+l.Length]) {
			t.Errorf("the image is not what %+v says", l)
		}
	}))
	if absent != a.NotAcquired || absent == 0 || a.DataBytes+a.HoleBytes+a.NotAcquired != a.Bytes {
		t.Errorf("%d bytes are not there by the map: %+v", absent, a)
	}
}

// TestChangedResumes goes on where credentials ran out, and comes to the image of
// a run without that.
func TestChangedResumes(t *testing.T) {
	c := newCloud(t, 1, span(0, 300))
	c.older(span(0, 280))
	run := func(folder string) (evidence.Acquisition, error) {
		s := c.open(t)
		changed, err := s.ChangedSince(t.Context(), olderSnapshot)
		must(t, err)
		j := job(s, folder, &lines{})
		j.Remote.Changed = &acquire.Changed{Since: olderSnapshot, Next: changed.Next}
		return acquire.Run(t.Context(), j)
	}
	whole, broken := t.TempDir(), t.TempDir()
	want, err := run(whole)
	if !errors.Is(err, evidence.ErrGaps) {
		t.Fatal(err)
	}
	c.Break(awstest.Fault{Service: "ebs", Action: "GetSnapshotBlock", Kind: awstest.Expired, First: 70, Last: 1 << 30})
	if _, err := run(broken); !errors.Is(err, imaging.ErrGone) {
		t.Fatal(err)
	}
	c.Mend()
	got, err := run(broken)
	if !errors.Is(err, evidence.ErrGaps) || got.ResumedFrom == 0 || got.SHA256 != want.SHA256 || got.NotAcquired != want.NotAcquired || got.DataBytes != want.DataBytes {
		t.Fatalf("%v %+v, want %+v", err, got, want)
	}
	a, err := os.ReadFile(evidence.Folder(whole).Map("EX-001"))
	must(t, err)
	b, err := os.ReadFile(evidence.Folder(broken).Map("EX-001"))
	must(t, err)
	if !bytes.Equal(a, b) {
		t.Error("the maps differ")
	}
}

// TestChangedOdd has services and snapshots that do not agree.
func TestChangedOdd(t *testing.T) {
	c := newCloud(t, 1, span(0, 30))
	older := c.older(span(0, 10))
	s := c.open(t)
	for _, tt := range []struct {
		name string
		hurt func()
		want string
	}{
		{"block size", func() { older.Block = 1 << 20 }, "has blocks of 524288 bytes and " + olderSnapshot + " of 1048576"},
		{"another volume", func() { older.Block, older.VolumeID = 0, "vol-0ffffffffffffffff" }, "what changed between two volumes cannot be listed"},
		{"a copy", func() { older.VolumeID = "vol-ffffffff" }, "are not snapshots of one volume"},
		{"pending", func() { older.State = "pending" }, "is not complete yet"},
		{"another account", func() { older.State, older.VolumeID, older.Owner = "completed", c.snap.VolumeID, "999988887777" }, "is not known in " + testRegion},
		{"a list that changed", func() { older.Owner, c.snap.Listed = "111122223333", span(1, 30) }, "do not agree on whether it is there"},
	} {
		tt.hurt()
		_, err := s.ChangedSince(t.Context(), olderSnapshot)
		if err == nil || !strings.Contains(err.Error(), tt.want) || hintOf(err) == "" {
			t.Errorf("%s: %v; hint %q", tt.name, err, hintOf(err))
		}
	}
	if _, err := s.ChangedSince(t.Context(), "snap-1"); !errors.Is(err, evidence.ErrUsage) {
		t.Error(err)
	}
	if errors.Is(s.Err(), imaging.ErrGone) {
		t.Error("the snapshot itself is fine")
	}
}
