package ntfs

import (
	"unicode/utf16"
	"unicode/utf8"

	"snapcase/imaging"
)

// utf8Of turns UTF-16 into UTF-8; a half surrogate becomes its three bytes.
func utf8Of(p []byte) string {
	b := make([]byte, 0, len(p))
	for i := 0; i+1 < len(p); i += 2 {
		c := rune(le.Uint16(p[i:]))
		switch {
		case c < 0x80:
			b = append(b, byte(c))
		case utf16.IsSurrogate(c):
			if i+3 < len(p) {
				if r := utf16.DecodeRune(c, rune(le.Uint16(p[i+2:]))); r != utf8.RuneError {
					b = utf8.AppendRune(b, r)
					i += 2
					continue
				}
			}
			b = append(b, 0xe0|byte(c>>12), 0x80|byte(c>>6&0x3f), 0x80|byte(c&0x3f))
		default:
			b = utf8.AppendRune(b, c)
		}
	}
	return string(b)
}

// moment is a time of NTFS: units of 100 ns since 1601. Zero is none.
func moment(p []byte) imaging.Time {
	t := le.Uint64(p)
	if t == 0 {
		return imaging.Time{}
	}
	const second = 10_000_000
	return imaging.Time{Sec: int64(t/second) - 11_644_473_600, Nsec: int32(t%second) * 100, Set: true} //nolint:gosec // both fit
}

// Namespaces of a name.
const (
	namePOSIX = 0
	nameDOS   = 2
)

// fileName is a $FILE_NAME.
type fileName struct {
	parent uint64
	seq    uint16 // of the parent
	space  byte
	name   string
	value  []byte
}

// parseName reads a $FILE_NAME; ok is false where it is too short.
func parseName(v []byte) (n fileName, ok bool) {
	if len(v) < 66 || len(v) < 66+2*int(v[64]) || v[64] == 0 {
		return n, false
	}
	ref := le.Uint64(v)
	return fileName{ref & (1<<48 - 1), uint16(ref >> 48), v[65], utf8Of(v[66 : 66+2*int(v[64])]), v}, true //nolint:gosec // the top bits
}
