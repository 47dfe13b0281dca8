package store

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"snapcase/evidence"
)

// TestLists asks lists for addresses: each list is named once, by its narrowest
// network, and IPv4 in IPv6 is IPv4.
func TestLists(t *testing.T) {
	c := newTestCase(t)
	ctx := t.Context()
	bring(t, c, evidence.KindIntel, map[string]string{"a": "198.51.100.0/24\n198.51.100.7\n198.51.100.0/28\n2001:db8::/32\nevil.example\n198.51.100.7\n", "b": "nonsense\n192.0.2.1\n"})
	q, err := c.ask(ctx)
	must(t, err)
	defer q.end() //nolint:errcheck // read-only
	l, err := q.lists(ctx)
	must(t, err)
	for ip, want := range map[string]string{
		"198.51.100.7":        "198.51.100.7/32 EX-001/a#2",
		"198.51.100.3":        "198.51.100.0/28 EX-001/a#3",
		"198.51.100.99":       "198.51.100.0/24 EX-001/a#1",
		"198.51.101.0":        "",
		"::ffff:198.51.100.7": "198.51.100.7/32 EX-001/a#2",
		"2001:db8:1::1":       "2001:db8::/32 EX-001/a#4",
		"2001:db9::1":         "",
		"192.0.2.1":           "192.0.2.1/32 EX-001/b#2",
		"evil.example":        "",
		"ec2.amazonaws.com":   "",
		"":                    "",
	} {
		names, listed := l.of(ip)
		var got []string
		for _, e := range listed {
			got = append(got, fmt.Sprintf("%s %s", e.Entry, e.Record))
		}
		if strings.Join(got, "|") != want || len(names) != len(listed) {
			t.Errorf("%s: %v %v, want %s", ip, names, got, want)
		}
	}
	if again, err := q.lists(ctx); err != nil || again != l {
		t.Errorf("the lists were read again: %v", err)
	}
	if _, err := ListLabel("a b"); !errors.Is(err, evidence.ErrUsage) {
		t.Error(err)
	}
	f, err := c.ListFigures(ctx, "EX-001")
	if err != nil || f.Addresses != 6 || f.Names != 1 || f.Private != 0 {
		t.Errorf("%+v %v", f, err)
	}
}
