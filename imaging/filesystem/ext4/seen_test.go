package ext4

import (
	"math/rand/v2"
	"slices"
	"testing"

	"snapcase/imaging"
	"snapcase/imaging/filesystem/fstest"
)

// samePast demands that a walk, which looks at inodes while it reads the
// journal, finds the same lives and directories as who reads each copy again.
func samePast(t *testing.T, src imaging.Source) {
	t.Helper()
	x, err := Open(src)
	if err != nil {
		t.Fatal(err)
	}
	want, err := x.past(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	y, err := Open(src)
	if err != nil {
		t.Fatal(err)
	}
	all(t, y)
	got := y.pastKept
	if len(want.lives) == 0 || !slices.Equal(got.lives, want.lives) || !slices.Equal(got.dirs, want.dirs) || got.full != want.full {
		t.Errorf("the walk has %d lives and %d directories, want %d and %d", len(got.lives), len(got.dirs), len(want.lives), len(want.dirs))
	}
}

// TestSightings compares both ways to read the past.
func TestSightings(t *testing.T) {
	for _, k := range logKinds {
		t.Run(k.name, func(t *testing.T) {
			w := newLog(t, k.version, k.incompat)
			w.lose(lostFile)
			w.begin(0)
			samePast(t, fstest.Bytes(w.p))
			w.begin(1)
			samePast(t, fstest.Bytes(w.p))
		})
	}
	t.Run("kernel", func(t *testing.T) {
		needKernel(t)
		for _, options := range []string{"-t ext4 -b 4096", "-t ext4 -b 1024 -J size=4"} {
			v := newVolume(t, 300<<20, options, "")
			v.fill(rand.New(rand.NewPCG(1, 9)))
			v.churn(rand.New(rand.NewPCG(6, 9)))
			v.shutdown(true)
			samePast(t, openDisk(t, v.image))
			v.mount("rw")
			v.unmount()
			samePast(t, openDisk(t, v.image))
		}
	})
}
