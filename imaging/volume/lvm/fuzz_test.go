package lvm

import (
	"slices"
	"testing"
)

func FuzzParse(f *testing.F) {
	f.Add([]byte(vgText(3, "AB", logical("x1", visible, striped(0, 2, "pv0", 0)))))
	f.Add([]byte(raidGroup(2)))
	f.Add([]byte("a { b = [ \"x\\\"y\", -3, 1.5 ] # c\n d { e = f } }"))
	f.Add([]byte("a={{{{{{{{{{{{{{{{{{{{{"))
	f.Fuzz(func(t *testing.T, p []byte) {
		root, count, err := parse(p, 1000)
		if root == nil || count > 1000 {
			t.Fatalf("%d values, %v", count, err)
		}
		decode(root)
	})
}

// FuzzScan puts a text into a sound physical volume.
func FuzzScan(f *testing.F) {
	f.Add(vgText(3, "AB", logical("x1", visible, striped(0, 2, "pv0", 0))))
	f.Add(raidGroup(2))
	f.Add(vgText(2, "A", logical("m1", visible, "start_extent = 0\nextent_count = 2\ntype = \"mirror\"\nmirrors = [\"pv0\", 1, \"pv0\", 2]\n")))
	f.Add(vgText(2, "A", logical("l1", visible, striped(0, 1, "l2", 0)), logical("l2", visible, striped(0, 4, "pv0", 1))))
	blank := newDisk('A')
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) > areaSize-2*sectorSize {
			return
		}
		a := &disk{memory: slices.Clone(blank.memory), next: blank.next}
		a.write(text)
		exercise(t, a)
	})
}

// FuzzArea writes over the first part of a sound physical volume.
func FuzzArea(f *testing.F) {
	a := newDisk('A')
	a.write(vgText(3, "AB", logical("x1", visible, striped(0, 2, "pv0", 0))))
	f.Add([]byte(a.memory[:areaStart+4096]), uint16(0))
	f.Add([]byte{1, 2, 3}, uint16(areaStart+40))
	f.Fuzz(func(t *testing.T, p []byte, at uint16) {
		d := slices.Clone(a.memory)
		copy(d[at:], p)
		exercise(t, d)
	})
}
