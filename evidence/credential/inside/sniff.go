package inside

import (
	"bytes"
	"encoding/binary"
)

// kind is a format that is decoded.
type kind uint8

const (
	kindGzip kind = iota + 1
	kindZstd
	kindXZ
	kindBzip2
	kindLZ4
	kindTar
	kindZip
	kindJournal
	kindSQLite
	kindZlib
	kindPack
)

func (k kind) String() string {
	return [...]string{"plain", "gzip", "zstd", "xz", "bzip2", "lz4", "a tar", "a zip", "a journal", "a database", "zlib", "a pack"}[k]
}

// magics are the first bytes of formats.
var magics = []struct {
	text string
	kind kind
}{
	{"\x1f\x8b\x08", kindGzip},
	{"\x28\xb5\x2f\xfd", kindZstd},
	{"\xfd7zXZ\x00", kindXZ},
	{"BZh", kindBzip2},
	{"\x04\x22\x4d\x18", kindLZ4},
	{"PK\x03\x04", kindZip},
	{"LPKSHHRH", kindJournal},
	{"SQLite format 3\x00", kindSQLite},
	{"\x78", kindZlib},
	{"PACK", kindPack},
}

// sniff tells the format of what begins with head; 0 for none.
func sniff(head []byte) kind {
	for _, m := range magics {
		if !bytes.HasPrefix(head, []byte(m.text)) {
			continue
		}
		ok := true
		switch m.kind {
		case kindGzip:
			ok = gzipHeader(head)
		case kindBzip2:
			ok = bzip2Header(head)
		case kindSQLite:
			ok = sqliteHeader(head)
		case kindZlib:
			ok = zlibHeader(head)
		case kindPack:
			ok = packHeader(head)
		default:
		}
		if ok {
			return m.kind
		}
	}
	if tarHeader(head) {
		return kindTar
	}
	return 0
}

// gzipHeader asks for flags that gzip has.
func gzipHeader(b []byte) bool { return len(b) >= 10 && b[3]&0xe0 == 0 }

// bzip2Header asks for a block, or for the end of an empty stream.
func bzip2Header(b []byte) bool {
	return len(b) >= 10 && b[3] >= '1' && b[3] <= '9' &&
		(string(b[4:10]) == "1AY&SY" || string(b[4:10]) == "\x17\x72\x45\x38\x50\x90")
}

// sqliteHeader asks for a size of pages and for three numbers that are the same
// in every database.
func sqliteHeader(b []byte) bool {
	if len(b) < sqliteHead || string(b[21:24]) != "\x40\x20\x20" {
		return false
	}
	page, reserved := pageSize(b)
	return page >= 512 && page&(page-1) == 0 && page-reserved >= 480
}

const tarBlock = 512

// tarHeader asks a block for the checksum of a header of tar.
func tarHeader(b []byte) bool {
	if len(b) < tarBlock || b[0] == 0 {
		return false
	}
	var want int64
	digits := 0
	for _, c := range b[148:156] {
		switch {
		case c >= '0' && c <= '7':
			want = want<<3 | int64(c-'0')
			digits++
		case c == ' ' || c == 0:
		default:
			return false
		}
	}
	var unsigned, signed int64
	for i, c := range b[:tarBlock] {
		if i >= 148 && i < 156 {
			c = ' '
		}
		unsigned += int64(c)
		signed += int64(int8(c)) //nolint:gosec // as old tars did
	}
	return digits > 0 && (want == unsigned || want == signed)
}

// Known says whether a source that begins with head, its first 4 KiB or less, is
// of a format that is decoded, which is read from its first byte to its last.
// Of every other its data alone is looked at: see imaging.NextData.
func Known(head []byte) bool { return sniff(head) != 0 }

// Hides says whether a source of size bytes that begins with head is worth a
// walk: it is of a format that is decoded, or text that may hold base64, with
// zeros before or behind it: there text ends before a hole, or begins behind
// one. head is the first 4 KiB, or less; sure says how many of its bytes are
// surely the source's.
func Hides(head []byte, size int64, sure int) bool {
	if sniff(head) != 0 {
		return true
	}
	head = head[:min(int64(len(head)), int64(sure), size)]
	if size < minRun {
		return false
	}
	more := size > int64(len(head))
	if more {
		head = bytes.Trim(head, "\x00")
	}
	return bytes.IndexByte(head, 0) < 0 && (more || hasRun(head))
}

var le = binary.LittleEndian
