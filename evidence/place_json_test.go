package evidence

import (
	"encoding/json"
	"reflect"
	"testing"
)

// TestPlaceSecret: a secret that nobody looked for is null, not false, and an
// offset that is not known is null.
func TestPlaceSecret(t *testing.T) {
	where := "EX-001/a#1"
	for _, test := range []struct {
		p    Place
		want string
	}{
		{Place{Exhibit: "EX-001", Address: &where, Offset: 7, Status: "log", Unsought: true}, `{"exhibit":"EX-001","address":"EX-001/a#1","offset":7,"status":"log","secret":null}`},
		{Place{Exhibit: "EX-001", Offset: -1, Status: "memory"}, `{"exhibit":"EX-001","address":null,"offset":null,"status":"memory","secret":false}`},
		{Place{Exhibit: "EX-001", Offset: 0, Status: "slack", Secret: true, Fingerprint: "00"}, `{"exhibit":"EX-001","address":null,"offset":0,"status":"slack","secret":true,"secret_fingerprint":"00"}`},
	} {
		b, err := json.Marshal(test.p)
		if err != nil || string(b) != test.want {
			t.Errorf("%s %v, want %s", b, err, test.want)
		}
		var back Place
		if err := json.Unmarshal(b, &back); err != nil || !reflect.DeepEqual(back, test.p) {
			t.Errorf("%s is read as %+v: %v", b, back, err)
		}
	}
	yes, no, unknown := Place{Secret: true}, Place{}, Place{Unsought: true}
	for _, test := range []struct {
		places []Place
		want   string
	}{
		{nil, "unknown"},
		{[]Place{no}, "no"},
		{[]Place{no, unknown}, "unknown"},
		{[]Place{unknown, no}, "unknown"},
		{[]Place{unknown, yes}, "yes"},
	} {
		if got := SecretBeside(test.places...); got != test.want {
			t.Errorf("%+v: %s, want %s", test.places, got, test.want)
		}
	}
}
