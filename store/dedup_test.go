package store

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"snapcase/evidence"
	"snapcase/evidence/cloudtrail"
	"snapcase/imaging"
)

// hostileIDs are ids of every form: canonical UUIDs, UUIDs that are not, text
// with zero bytes, one the beginning of another.
func hostileIDs() []string {
	ids := []string{"a", "a\x00", "a\x00b", "a\x00\x00", "a\xff", "ab", "00000000-0000-0000-0000-000000000000", "4c8d7413-0a72-4029-a4bc-6bd331951f27", "4C8D7413-0A72-4029-A4BC-6BD331951F27", "4c8d7413", strings.Repeat("long", 100)}
	for i := range 20 {
		ids = append(ids, fmt.Sprintf("%08x-00%02x-4029-a4bc-6bd331951f27", uint32(i)*0x9e3779b9, i))
	}
	return ids
}

// TestEventKeys: the keys by which rows are sorted have the order of what they
// stand for.
func TestEventKeys(t *testing.T) {
	var heads []eventHead
	for _, id := range append(hostileIDs(), "") {
		for _, when := range []imaging.Time{{}, {Sec: -1 << 40, Nsec: 3, Set: true}, {Sec: -1 << 40, Nsec: 4, Set: true}, {Sec: -1, Nsec: 999_999_999, Set: true}, {Sec: 0, Set: true}, {Sec: 1 << 40, Nsec: 1, Set: true}, {Sec: 1 << 40, Nsec: 2, Set: true}} {
			for n := range uint32(2) {
				heads = append(heads, eventHead{flags: 5, time: when, file: 1 - n, n: n, id: packID(id)})
			}
		}
	}
	for i := range heads {
		a := &heads[i]
		p := packed{b: a.pack(nil)}
		if got := unpackHead(&p); p.short || len(p.b) > 0 || got.time != a.time || got.place() != a.place() || !bytes.Equal(got.id, a.id) {
			t.Fatalf("%+v came back as %+v", a, got)
		}
		for j := range heads {
			b := &heads[j]
			text := func(h *eventHead) string { return string(appendIDText(nil, h.id)) }
			want := a.time.Compare(b.time)
			if want == 0 {
				want = strings.Compare(text(a), text(b))
			}
			if want == 0 {
				want = int(min(1, max(-1, int64(a.place())-int64(b.place())))) //nolint:gosec // small
			}
			if got := bytes.Compare(a.orderKey(nil), b.orderKey(nil)); got != want {
				t.Fatalf("%+v and %+v: order %d, want %d", a, b, got, want)
			}
			if c := bytes.Compare(a.id, b.id); c != 0 && bytes.Compare(a.idKey(nil), b.idKey(nil)) != c {
				t.Fatalf("%q and %q: their keys have another order", a.id, b.id)
			}
		}
	}
}

// TestEventSides: what few records have survives the way through a file; cut
// bytes are an error.
func TestEventSides(t *testing.T) {
	r := cloudtrail.Record{
		RoleSessionName: "session", InvokedBy: "ec2.amazonaws.com",
		Issued:  []cloudtrail.Issued{{KeyID: "ASIA1", Principal: "AROA:x", ARN: "arn:x"}, {KeyID: "AKIA1", User: "u", Permanent: true}},
		Created: []evidence.Resource{{Type: "AWS::EC2::Instance", Name: "i-1"}},
		Instances: []cloudtrail.Instance{
			{ID: "i-1", PrivateIPs: []string{"10.0.0.1", "10.0.0.2"}, Interfaces: []string{"eni-1"}, Launched: true}, {ID: "i-2", PublicIPs: []string{"198.51.100.1"}},
		},
	}
	p := packed{b: packSide(nil, &r)}
	b := p.bytes()
	got, err := unpackSide(b)
	must(t, err)
	want := eventSide{issued: r.Issued, instances: r.Instances, created: r.Created, roleName: "session", service: "ec2.amazonaws.com"}
	if !reflect.DeepEqual(got, want) || len(p.b) > 0 {
		t.Errorf("%+v", got)
	}
	for n := range len(b) {
		if _, err := unpackSide(b[:n]); err == nil {
			t.Errorf("cut at %d of %d bytes it is taken for whole", n, len(b))
		}
	}
	if b := packSide(nil, &cloudtrail.Record{RoleSessionName: "s"}); !bytes.Equal(b, []byte{0}) {
		t.Errorf("a record without a side: %x", b)
	}
}

// TestCopiesOfEveryForm compares what two exhibits with copies and conflicts
// give, under ids of every form, with what the same rules give by hand.
func TestCopiesOfEveryForm(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 4))
	type text struct{ id, name string }
	first := map[text]int{} // how often
	names := map[string]map[string]bool{}
	c := newTestCase(t)
	records := 0
	for range 2 {
		files := map[string]string{}
		for f := range 3 {
			var all []map[string]any
			for range 60 {
				ids := hostileIDs()
				v := text{ids[rnd.IntN(len(ids))], fmt.Sprint("Call", rnd.IntN(2))}
				if !strings.Contains(v.id, "\xff") { // JSON text of this test cannot hold it
					all = append(all, map[string]any{"eventID": v.id, "eventName": v.name, "eventTime": "2026-01-01T00:00:00Z"})
					first[v]++
					records++
					if names[v.id] == nil {
						names[v.id] = map[string]bool{}
					}
					names[v.id][v.name] = true
				}
			}
			files[fmt.Sprintf("%d.json", f)] = trail(t, all...)
		}
		bring(t, c, evidence.KindCloudTrail, files)
	}
	got := map[text]int{}
	for _, e := range collect(t, c.Events(t.Context(), EventQuery{})) {
		v := text{e.EventID, e.Name}
		if got[v] != 0 {
			t.Errorf("%q %s is two events", v.id, v.name)
		}
		got[v] = int(e.Copies)
	}
	if !reflect.DeepEqual(got, first) {
		t.Errorf("%v\nwant %v", got, first)
	}
	sum, distinct := int64(0), int64(0)
	for _, s := range mustStats(t, c) {
		sum, distinct = sum+s.Records, distinct+s.Distinct
		if s.Records != s.Distinct+s.Duplicates {
			t.Errorf("%+v", s)
		}
	}
	if sum != int64(records) || distinct < int64(len(first)) {
		t.Errorf("%d records of %d, %d distinct of %d", sum, records, distinct, len(first))
	}
	var marked, conflicts int
	q, err := c.ask(t.Context())
	must(t, err)
	defer q.end() //nolint:errcheck // read-only
	must(t, q.conn.QueryRowContext(t.Context(), "SELECT count(*) FROM events WHERE flags & ? <> 0", flagConflict).Scan(&marked))
	for _, of := range names {
		if len(of) > 1 {
			conflicts += len(of)
		}
	}
	if marked != conflicts || conflicts == 0 {
		t.Errorf("%d events are marked as having another of their id, want %d", marked, conflicts)
	}
}

// TestManyEventsSpill: an exhibit whose rows do not fit into one buffer of a
// sort gives every event once, in order.
func TestManyEventsSpill(t *testing.T) {
	if testing.Short() {
		t.Skip("many events")
	}
	rnd := rand.New(rand.NewPCG(5, 6))
	const n = 60_000
	c := newTestCase(t)
	bring(t, c, evidence.KindCloudTrail, randomTrail(t, rnd, n, 8, func(i int) string { return fmt.Sprintf("%08x-0000-4000-8000-%012x", rnd.Uint32(), i) }))
	all := collect(t, c.Events(t.Context(), EventQuery{}))
	if len(all) != n {
		t.Errorf("%d events of %d", len(all), n)
	}
	if !slices.IsSortedFunc(all, eventOrder) {
		t.Error("they are not in order")
	}
}
