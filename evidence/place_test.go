package evidence

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestPlaceWithoutOffset(t *testing.T) {
	inner := int64(7)
	for off, want := range map[int64]string{-1: `"offset":null`, 0: `"offset":0`, 12: `"offset":12`} {
		b, err := json.Marshal(Place{Exhibit: "EX-001", Offset: off, InnerOffset: &inner, Status: "allocated"})
		if s := string(b); err != nil || !strings.Contains(s, want) || strings.Count(s, `"offset"`) != 1 || !strings.Contains(s, `"inner_offset":7`) {
			t.Errorf("%s, %v", b, err)
		}
	}
}
