package custody

import (
	"slices"
	"strings"
	"testing"
)

func TestHands(t *testing.T) {
	who := func(name string) map[string]any { return map[string]any{"name": name} }
	type step struct{ kind, from, to, before, after string }
	for _, c := range []struct {
		what  string
		steps []step
		want  []string // in the text of each imbalance
	}{
		{"there and back", []step{{TypeRelease, "A", "B", "h", "h"}, {TypeReceive, "A", "B", "h", "h"}, {TypeRelease, "B", "A", "h", "h"}, {TypeReceive, "B", "A", "h", "h"}}, nil},
		{"not received", []step{{TypeRelease, "A", "B", "h", "h"}}, []string{"record 0 releases it to B, and nobody received it"}},
		{"not released", []step{{TypeReceive, "A", "B", "h", "h"}}, []string{"record 0 receives it, and no record released it"}},
		{"in the wrong order", []step{{TypeReceive, "A", "B", "h", "h"}, {TypeRelease, "B", "A", "h", "h"}}, []string{"record 0 receives it, and no record", "record 1 releases it to A, and nobody"}},
		{"released twice", []step{{TypeRelease, "A", "B", "h", "h"}, {TypeRelease, "A", "C", "h", "h"}, {TypeReceive, "A", "C", "h", "h"}}, []string{"record 1 releases it again, and nobody received what record 0"}},
		{"other people", []step{{TypeRelease, "A", "B", "h", "h"}, {TypeReceive, "X", "Y", "h", "h"}, {TypeRelease, "Z", "A", "h", "h"}, {TypeReceive, "", "", "h", "h"}}, []string{"from X; record 0 released it from A", "by Y; record 0 released it to B", "from Z; Y received it in record 1"}},
		{"another hash", []step{{TypeRelease, "A", "B", "h", "h"}, {TypeReceive, "A", "B", "g", "g"}}, []string{"has the hash before g; record 0 released h"}},
		{"changed", []step{{TypeRelease, "A", "B", "h", "h"}, {TypeReceive, "A", "B", "h", "g"}}, []string{"content is not what it was (hash before h, after g)"}},
		{"ended on the way", []step{{TypeRelease, "A", "B", "h", "h"}, {TypeDispose, "", "", "h", "h"}, {TypeReceive, "A", "B", "h", "h"}}, []string{"record 1 disposes of it, and nobody received what record 0", "record 2 comes after record 1"}},
	} {
		t.Run(c.what, func(t *testing.T) {
			var h Hands
			for i, s := range c.steps {
				r := Record{Seq: int64(i), Type: s.kind, Exhibit: "EX-001", Data: map[string]any{"hash_before": s.before, "hash_after": s.after, "match": s.before == s.after}}
				if s.from != "" {
					r.Data["from"], r.Data["to"] = who(s.from), who(s.to)
				}
				h.Take(r)
			}
			all := h.Unbalanced()
			if len(all) != len(c.want) {
				t.Fatalf("%+v", all)
			}
			for _, w := range c.want {
				if !slices.ContainsFunc(all, func(u Imbalance) bool { return strings.Contains(u.What, w) }) {
					t.Errorf("%q is not told: %+v", w, all)
				}
			}
		})
	}
}

func TestPeople(t *testing.T) {
	a := FormPerson{Name: "Bea", ID: "bea@lab"}
	for _, c := range []struct {
		b    FormPerson
		want bool
	}{
		{a, false},
		{FormPerson{}, false},
		{FormPerson{Name: "Bea"}, false},
		{FormPerson{Name: "Bea Lang", ID: "bea@lab"}, false},
		{FormPerson{Name: "Bea", ID: "bea@other"}, true},
		{FormPerson{Name: "Eve"}, true},
	} {
		if differ(a, c.b) != c.want || differ(c.b, a) != c.want {
			t.Errorf("%+v: want %v", c.b, c.want)
		}
	}
}
