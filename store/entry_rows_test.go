package store

import (
	"bytes"
	"fmt"
	"testing"

	"snapcase/imaging/filesystem"
)

// rowOf is a row of some entries, and the entries.
func rowOf(n int) (row []byte, want []filesystem.Entry) {
	var p entryPacker
	for i := range n {
		e := filesystem.Entry{
			Ref: filesystem.Ref{Inode: 1<<64 - 1 - uint64(i), Stream: "s\xff"}, Type: filesystem.Type(i % 8), Status: filesystem.Status(i % 3),
			Size: int64(i) << 40, First: -1, Link: "to", Damage: fmt.Sprint("loop: ", i),
		}
		e.Path = fmt.Sprintf("a\xff\x00%d", i)
		p.add(int64(7-i)<<30, []byte(e.Path), packEntry(nil, &e))
		want = append(want, e)
	}
	return p.take(), want
}

// TestEntryRow packs entries to a row and reads them back; what is cut is an
// error and not fewer entries.
func TestEntryRow(t *testing.T) {
	row, want := rowOf(anchorEvery)
	got, err := unpackEntries(129, row, nil)
	must(t, err)
	if len(got) != len(want) {
		t.Fatalf("%d entries, want %d", len(got), len(want))
	}
	ends := map[int]bool{}
	end := 0
	r := readEntryRow(129, row)
	for i, e := range got {
		var f filesystem.Entry
		must(t, unpackEntry(e.rest, &f))
		f.Path = string(e.name)
		kind, status := e.kind()
		if f != want[i] || e.id != 129+int64(i) || e.dir != int64(7-i)<<30 || kind != f.Type || status != f.Status || e.inode() != f.Ref.Inode {
			t.Errorf("entry %d: %+v of %+v, want %+v", i, f, e, want[i])
		}
		if !r.next() || !bytes.Equal(r.e.rest, e.rest) {
			t.Errorf("entry %d is read otherwise one by one", i)
		}
		end = len(row) - len(r.p.b)
		ends[end] = true
	}
	if end != len(row) || r.next() || r.failed() != nil {
		t.Errorf("the row has %d bytes, %d were read: %v", len(row), end, r.failed())
	}
	for n := 1; n < len(row); n++ {
		if _, err := unpackEntries(129, row[:n], nil); (err == nil) != ends[n] {
			t.Fatalf("cut at %d of %d: %v", n, len(row), err)
		}
	}
}

// FuzzEntryRow reads rows as no packer makes them: whatever stands in them, the
// end comes, and what is read lies in the row.
func FuzzEntryRow(f *testing.F) {
	for _, n := range []int{0, 1, 3, anchorEvery} {
		row, _ := rowOf(n)
		f.Add(row)
	}
	f.Add([]byte{0x80})
	f.Add([]byte{0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1})
	f.Fuzz(func(t *testing.T, row []byte) {
		all, err := unpackEntries(1, row, nil)
		n := 0
		for i := range all {
			n += len(all[i].name) + len(all[i].rest)
			all[i].kind()
			all[i].inode()
			var e filesystem.Entry
			if unpackEntry(all[i].rest, &e) == nil && len(all[i].rest) < 3 {
				t.Errorf("an entry of %d bytes is whole", len(all[i].rest))
			}
		}
		if n > len(row) || err == nil && len(row) > 0 && len(all) == 0 {
			t.Errorf("%d bytes of entries in a row of %d: %v", n, len(row), err)
		}
	})
}
