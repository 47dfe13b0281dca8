package evidence

import (
	"errors"
	"strings"
	"testing"
)

// FuzzReadMap reads any bytes as a map: what is taken covers the image without a
// gap, whatever it says.
func FuzzReadMap(f *testing.F) {
	f.Add(`{"off":0,"len":512,"state":"data","sha256":"00"}`+"\n"+`{"off":512,"len":512,"state":"not-acquired"}`+"\n", int64(1024))
	f.Add(`{"off":0,"len":9223372036854775807,"state":"hole"}`, int64(9223372036854775807))
	f.Add(`{"off":0,"len":1,"state":"hole"}`+"\n\n", int64(1))
	f.Add("", int64(0))
	f.Add(`{"off":1,"len":1,"state":"hole"}`, int64(2))
	f.Add(`{"off":0,"len":2,"state":"zeros"}`, int64(2))
	f.Add(strings.Repeat(" ", 70_000)+`{"off":0,"len":2,"state":"hole"}`, int64(2))
	f.Fuzz(func(t *testing.T, text string, size int64) {
		var at int64
		err := ReadMap(strings.NewReader(text), size, func(l MapLine) {
			if l.Offset != at || l.Length <= 0 || at+l.Length < at {
				t.Fatalf("%+v behind %d", l, at)
			}
			at += l.Length
		})
		if err == nil && at != max(0, size) && size > 0 {
			t.Fatalf("%d of %d bytes", at, size)
		}
		if err != nil && !errors.Is(err, ErrBroken) {
			t.Fatal(err)
		}
	})
}

func TestReadMap(t *testing.T) {
	for _, text := range []string{
		`{"off":0,"len":10,"state":"data"}`,
		`{"off":0,"len":10,"state":"data"}` + "\n" + `{"off":11,"len":9,"state":"hole"}`,
		`{"off":0,"len":21,"state":"data"}`,
		`{"off":0,"len":20,"state":"absent"}`,
		`{"off":0,"len":-20,"state":"hole"}`,
		`{"off":0,"len":20,"state":"hole"` + "\n",
	} {
		if err := ReadMap(strings.NewReader(text), 20, func(MapLine) {}); !errors.Is(err, ErrBroken) {
			t.Errorf("%s: %v", text, err)
		}
	}
}
