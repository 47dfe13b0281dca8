package lvm

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"snapcase/imaging"
)

// TestToolsTakeTheOtherTypes gives lvm2 a text with types that it makes only
// with a device mapper; it checks the text and writes it to the disks.
func TestToolsTakeTheOtherTypes(t *testing.T) {
	l := newTools(t, 2)
	l.run("pvcreate", l.devices...)
	l.run("vgcreate", append([]string{"-s", "1M", "vg0"}, l.devices...)...)
	path := filepath.Join(l.dir, "text")
	l.run("vgcfgbackup", "-f", path, "vg0")
	p, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	text := string(p)
	end := strings.LastIndex(text, "}")
	n := byte('a')
	add := func(name, status, segment string) string {
		n++
		return fmt.Sprintf("%s {\nid = %q\nstatus = [%s]\nflags = []\nsegment_count = 1\nsegment1 {\nstart_extent = 0\n%s\n}\n}\n", name, id(n), status, segment)
	}
	linear := func(name string, count int, pv string, at int) string {
		return add(name, `"READ", "WRITE"`, fmt.Sprintf("extent_count = %d\ntype = \"striped\"\nstripe_count = 1\nstripes = [%q, %d]", count, pv, at))
	}
	volumes := add("r1", visible, `extent_count = 4
type = "raid1"
device_count = 2
region_size = 4096
raids = ["r1_rmeta_0", "r1_rimage_0", "r1_rmeta_1", "r1_rimage_1"]`) +
		add("mir", visible, `extent_count = 2
type = "mirror"
mirror_count = 2
region_size = 1024
mirrors = ["mir_mimage_0", 0, "mir_mimage_1", 0]`) +
		add("pool", visible, `extent_count = 3
type = "thin-pool"
metadata = "pool_tmeta"
pool = "pool_tdata"
transaction_id = 1
chunk_size = 128
discards = "passdown"
zero_new_blocks = 1`) +
		add("thin1", visible, `extent_count = 9
type = "thin"
thin_pool = "pool"
transaction_id = 0
device_id = 1`) +
		add("snap", visible, "extent_count = 2\ntype = \"striped\"\nstripe_count = 1\nstripes = [\"pv0\", 50]") +
		add("org", visible, "extent_count = 2\ntype = \"striped\"\nstripe_count = 1\nstripes = [\"pv1\", 50]") +
		add("snapshot0", `"READ", "WRITE"`, "extent_count = 2\ntype = \"snapshot\"\nchunk_size = 8\norigin = \"org\"\ncow_store = \"snap\"") +
		linear("r1_rmeta_0", 1, "pv0", 0) + linear("r1_rimage_0", 4, "pv0", 1) + linear("r1_rmeta_1", 1, "pv1", 0) + linear("r1_rimage_1", 4, "pv1", 1) +
		linear("mir_mimage_0", 2, "pv0", 10) + linear("mir_mimage_1", 2, "pv1", 10) + linear("pool_tmeta", 1, "pv0", 20) + linear("pool_tdata", 3, "pv0", 21)
	if err := os.WriteFile(path, []byte(text[:end]+"logical_volumes {\n"+volumes+"}\n}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	l.run("vgcfgrestore", "--force", "-y", "-f", path, "vg0")
	l.fill()
	var pvs []imaging.Source
	for _, path := range l.images {
		pvs = append(pvs, openFile(t, path))
	}
	g := group(t, 0, pvs...)
	for name, leg := range map[string]string{"r1": "r1_rimage_0", "mir": "mir_mimage_0"} {
		v := find(t, g.LVs, name)
		want := l.expect("vg0/" + leg)
		got, err := io.ReadAll(io.NewSectionReader(v.Source, 0, v.Source.Size()))
		if err != nil || string(got) != string(want) {
			t.Errorf("%s: %d bytes, %v", name, len(got), err)
		}
	}
	l.compare(find(t, g.LVs, "org"), pvs, l.expect("vg0/org"))
	l.compare(find(t, g.LVs, "pool_tdata"), pvs, l.expect("vg0/pool_tdata"))
	for name, kind := range map[string]string{"pool": "thin-pool", "thin1": "thin", "snap": "snapshot", "snapshot0": "snapshot"} {
		if v := find(t, g.LVs, name); v.Source != nil || v.Reason == "" || v.Kind != kind {
			t.Errorf("%s: %+v", name, v)
		}
	}
}

// TestToolsPlaceTheirAreas has members with two metadata areas, with none, and
// with the label elsewhere.
func TestToolsPlaceTheirAreas(t *testing.T) {
	l := newTools(t, 3)
	l.run("pvcreate", "--pvmetadatacopies", "2", "--metadatasize", "64k", l.devices[0])
	l.run("pvcreate", "--pvmetadatacopies", "0", l.devices[1])
	l.run("pvcreate", "--labelsector", "3", "--metadatasize", "64k", "--dataalignment", "1m", l.devices[2])
	l.run("vgcreate", append([]string{"-s", "1M", "vg0"}, l.devices...)...)
	create := func(args ...string) {
		l.run("lvcreate", append([]string{"-an", "-Zn", "-Wn", "-y"}, args...)...)
	}
	create("-n", "a", "-L", "9M", "vg0", l.devices[1])
	create("-n", "b", "-i", "3", "-I", "64k", "-L", "9M", "vg0")
	l.fill()
	var pvs []imaging.Source
	for _, path := range l.images {
		pvs = append(pvs, openFile(t, path))
	}
	g := group(t, 0, pvs...)
	if want := strings.TrimSpace(l.run("vgs", "--noheadings", "-o", "vg_seqno", "vg0")); fmt.Sprint(g.Seqno) != want || g.Former {
		t.Errorf("seqno %d, vgs says %s", g.Seqno, want)
	}
	for _, n := range g.Notes {
		if !strings.Contains(n, "source 1: it has no metadata area") {
			t.Errorf("note %q", n)
		}
	}
	start := strings.Fields(l.run("pvs", "--noheadings", "--units", "b", "--nosuffix", "-o", "pe_start"))
	for _, p := range g.PVs {
		if fmt.Sprint(p.Start) != start[p.Source] || p.Damage != "" {
			t.Errorf("%+v, pvs says %v", p, start)
		}
	}
	for _, name := range []string{"a", "b"} {
		l.compare(find(t, g.LVs, name), pvs, l.expect("vg0/"+name))
	}
}

// TestToolsGoRound makes so many changes that the buffer goes round.
func TestToolsGoRound(t *testing.T) {
	l := newTools(t, 1)
	l.run("pvcreate", "--metadatasize", "64k", "--dataalignment", "64k", l.devices[0])
	l.run("vgcreate", "-s", "64k", "vg0", l.devices[0])
	src := openFile(t, l.images[0])
	before := 0
	for i := range 40 {
		l.run("lvcreate", "-an", "-Zn", "-Wn", "-y", "-n", fmt.Sprintf("x%d", i), "-l", "2", "vg0")
		if i%3 == 0 {
			l.run("lvremove", "-y", fmt.Sprintf("vg0/x%d", i))
		}
		g := group(t, 0, src)
		want := strings.TrimSpace(l.run("vgs", "--noheadings", "-o", "vg_seqno", "vg0"))
		if fmt.Sprint(g.Seqno) != want || g.Former || len(g.Notes) > 0 || len(g.LVs) != i-i/3 {
			t.Fatalf("change %d: seqno %d, %d volumes, notes %q, vgs says %s", i, g.Seqno, len(g.LVs), g.Notes, want)
		}
		if len(g.History) < before {
			t.Logf("change %d: the buffer has gone round, %d older texts", i, len(g.History))
		}
		before = len(g.History)
	}
	if before > 30 {
		t.Errorf("the buffer never went round: %d older texts", before)
	}
}
