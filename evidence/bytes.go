package evidence

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Bytes names bytes of an image that need no entry to own them:
//
//	EX-001@1048576+512        512 bytes of the image from byte 1048576
//	EX-001/p2@4096+512        of a volume, from its start
//	EX-001/p2/$Unallocated    what nothing in use owns in a volume, in order
//
// Offsets and lengths are decimal, or hexadecimal behind 0x.
type Bytes struct {
	Exhibit     string
	Volume      string // "" for the image itself
	Offset      int64
	Length      int64
	Unallocated bool // then Offset and Length are 0
}

// unallocatedName is the last part of the name of unallocated bytes.
const unallocatedName = "$Unallocated"

func (b Bytes) String() string {
	s := b.Exhibit
	if b.Volume != "" {
		s += "/" + b.Volume
	}
	if b.Unallocated {
		return s + "/" + unallocatedName
	}
	return s + "@" + strconv.FormatInt(b.Offset, 10) + "+" + strconv.FormatInt(b.Length, 10)
}

// ParseBytes reads the text form. Text of another form, as of an address or a
// record, is ErrUsage.
func ParseBytes(s string) (Bytes, error) {
	bad := func(why string) (Bytes, error) {
		return Bytes{}, WithHint(fmt.Errorf("bytes %q: %s: %w", s, why, ErrUsage), "bytes look like EX-001@OFFSET+LENGTH, EX-001/p2@OFFSET+LENGTH or EX-001/p2/$Unallocated")
	}
	parts := strings.Split(s, "/")
	b := Bytes{}
	if len(parts) == 3 && parts[2] == unallocatedName {
		b = Bytes{Exhibit: parts[0], Volume: parts[1], Unallocated: true}
		if !exhibitID.MatchString(b.Exhibit) || b.Volume == "" {
			return bad("no exhibit and volume")
		}
		return b, nil
	}
	at := strings.LastIndexByte(s, '@') // the name of a volume can hold one
	if at < 0 || len(parts) > 2 {
		return bad("no offset")
	}
	var whole bool
	b.Exhibit, b.Volume, whole = strings.Cut(s[:at], "/")
	if !exhibitID.MatchString(b.Exhibit) || whole && b.Volume == "" {
		return bad("no exhibit")
	}
	off, n, ok := strings.Cut(s[at+1:], "+")
	if !ok {
		return bad("no length")
	}
	var ok1, ok2 bool
	b.Offset, ok1 = parseCount(off)
	b.Length, ok2 = parseCount(n)
	if !ok1 || !ok2 || b.Offset > math.MaxInt64-b.Length {
		return bad("no numbers of bytes")
	}
	return b, nil
}

// parseCount reads a number that is not negative.
func parseCount(s string) (int64, bool) {
	base := 10
	if rest, ok := strings.CutPrefix(s, "0x"); ok {
		s, base = rest, 16
	}
	n, err := strconv.ParseUint(s, base, 63)
	return int64(n), err == nil //nolint:gosec // 63 bits
}
