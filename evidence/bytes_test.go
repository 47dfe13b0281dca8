package evidence

import (
	"errors"
	"testing"
)

func TestParseBytes(t *testing.T) {
	for text, want := range map[string]Bytes{
		"EX-001@0+512":           {Exhibit: "EX-001", Length: 512},
		"EX-001@0x200+0x10":      {Exhibit: "EX-001", Offset: 512, Length: 16},
		"EX-001/p2@4096+0":       {Exhibit: "EX-001", Volume: "p2", Offset: 4096},
		"EX-001/vg-lv@3@1+2":     {Exhibit: "EX-001", Volume: "vg-lv@3", Offset: 1, Length: 2},
		"EX-001/a+b-c@1+2":       {Exhibit: "EX-001", Volume: "a+b-c", Offset: 1, Length: 2},
		"EX-001/p2/$Unallocated": {Exhibit: "EX-001", Volume: "p2", Unallocated: true},
	} {
		b, err := ParseBytes(text)
		if err != nil || b != want {
			t.Errorf("%s: %+v, %v", text, b, err)
		}
		if again, err := ParseBytes(b.String()); err != nil || again != b {
			t.Errorf("%s: printed as %s", text, b)
		}
	}
	for _, text := range []string{
		"", "EX-001", "EX-001@", "EX-001@1", "EX-001@1+", "EX-001@-1+2", "EX-001@1+-2", "EX-001@+1+2", "EX-1@1+2", "EX-001/@1+2",
		"EX-001@9223372036854775807+1", "EX-001@9223372036854775808+1", "EX-001/p1/131:7/a@1+2", "EX-002/a.json#1", "EX-001//$Unallocated", "EX-001/p1/$unallocated",
	} {
		if b, err := ParseBytes(text); !errors.Is(err, ErrUsage) {
			t.Errorf("%q: %+v, %v", text, b, err)
		}
	}
}

func FuzzParseBytes(f *testing.F) {
	for _, s := range []string{"EX-001@0+512", "EX-001/vg-lv@3@1+2", "EX-001/p2/$Unallocated", "EX-001@0xff+0x1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		b, err := ParseBytes(s)
		if err != nil {
			return
		}
		if b.Offset < 0 || b.Length < 0 || b.Offset+b.Length < 0 {
			t.Fatalf("%q: %+v", s, b)
		}
		if again, err := ParseBytes(b.String()); err != nil || again != b {
			t.Fatalf("%q: %+v is printed as %s: %+v, %v", s, b, b, again, err)
		}
	})
}
