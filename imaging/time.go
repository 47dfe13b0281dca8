package imaging

import (
	"strconv"
	"strings"
	"time"
)

// Time is a moment that evidence records: seconds and nanoseconds since
// 1970-01-01 UTC, and whether the source records one at all. It spans what
// ext4 (1901 to 2446) and NTFS (1601 to 60056) store. Time is comparable.
type Time struct {
	Sec  int64
	Nsec int32 // 0 to 999,999,999
	Set  bool
}

// TimeOf is t as a Time; the zero time.Time gives one that is not set.
func TimeOf(t time.Time) Time {
	if t.IsZero() {
		return Time{}
	}
	return Time{Sec: t.Unix(), Nsec: int32(t.Nanosecond()), Set: true} //nolint:gosec // Nanosecond is below 1e9
}

// Std is t in UTC; the zero time.Time where t is not set.
func (t Time) Std() time.Time {
	if !t.Set {
		return time.Time{}
	}
	return time.Unix(t.Sec, int64(t.Nsec)).UTC()
}

// Compare orders by time; what is not set comes last.
func (t Time) Compare(u Time) int {
	switch {
	case t == u:
		return 0
	case !t.Set:
		return 1
	case !u.Set:
		return -1
	case t.Sec != u.Sec:
		if t.Sec < u.Sec {
			return -1
		}
		return 1
	case t.Nsec < u.Nsec:
		return -1
	}
	return 1
}

// String is RFC 3339 in UTC with the decimals that are needed, at most nine:
// "2019-09-04T23:00:13Z". It is empty where t is not set.
func (t Time) String() string {
	if !t.Set {
		return ""
	}
	return t.Std().Format(time.RFC3339Nano)
}

// MarshalJSON is the string form, or null where t is not set.
func (t Time) MarshalJSON() ([]byte, error) {
	if !t.Set {
		return []byte("null"), nil
	}
	return strconv.AppendQuote(nil, t.String()), nil
}

// UnmarshalJSON reads what MarshalJSON writes.
func (t *Time) UnmarshalJSON(b []byte) error {
	s := strings.Trim(string(b), `"`)
	if s == "null" || s == "" {
		*t = Time{}
		return nil
	}
	v, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		return err
	}
	*t = Time{Sec: v.Unix(), Nsec: int32(v.Nanosecond()), Set: true} //nolint:gosec // Nanosecond is below 1e9
	return nil
}
