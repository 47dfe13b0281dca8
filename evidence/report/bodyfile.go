package report

import (
	"bufio"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"iter"
	"strconv"
	"strings"

	"snapcase/evidence"
	"snapcase/imaging"
)

// Bodyfile writes entries in the format of The Sleuth Kit 3, which mactime
// reads: MD5|name|inode|mode|UID|GID|size|atime|mtime|ctime|crtime. Times are
// whole seconds of the epoch, 0 where there is none; MD5 is 0, since it is not
// computed. The name is the exhibit, the volume and the path; "|", "\",
// control bytes and a "%" before two hexadecimal digits, which mactime would
// decode, are written as \xhh, all other bytes as they are. A deleted entry's
// name ends in " (deleted)". mactime takes no time before 1970; such times are
// written as they are.
func Bodyfile(w io.Writer, entries iter.Seq2[evidence.FileEntry, error]) error {
	b := bufio.NewWriterSize(w, 1<<16)
	var line []byte
	for e, err := range entries {
		if err != nil {
			return errors.Join(err, b.Flush())
		}
		line = append(line[:0], "0|"...)
		line = appendName(line, e)
		line = fmt.Appendf(line, "|%d|%s|%d|%d|%d|%d|%d|%d|%d\n", e.Inode, bodyMode(e), e.UID, e.GID, e.Size,
			seconds(e.Accessed), seconds(e.Modified), seconds(e.Changed), seconds(e.Born))
		if _, err := b.Write(line); err != nil {
			return err
		}
	}
	return b.Flush()
}

func appendName(b []byte, e evidence.FileEntry) []byte {
	name := e.Path
	if e.PathB64 != nil {
		name = string(e.PathB64)
	}
	b = appendBody(b, e.Exhibit+"/"+e.Volume+name)
	link := deref(e.Link)
	if e.LinkB64 != nil {
		link = string(e.LinkB64)
	}
	if link != "" {
		b = appendBody(append(b, " -> "...), link)
	}
	if e.Status != "allocated" {
		b = append(append(append(b, " ("...), e.Status...), ')')
	}
	return b
}

func appendBody(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < 0x20 || c == 0x7f || c == '|' || c == '\\' || c == '%' && isHex(s[i+1:]) {
			b = fmt.Appendf(b, `\x%02x`, c)
		} else {
			b = append(b, c)
		}
	}
	return b
}

// isHex says that s begins with two hexadecimal digits.
func isHex(s string) bool {
	_, err := hex.DecodeString(s[:min(2, len(s))])
	return err == nil && len(s) > 1
}

func seconds(t imaging.Time) int64 {
	if !t.Set {
		return 0
	}
	return t.Sec
}

// modeLetters are the types of entry as fls writes them.
var modeLetters = map[string]string{"file": "r", "dir": "d", "symlink": "l", "fifo": "p", "socket": "s", "char": "c", "block": "b"}

// bodyMode is the mode as fls prints it, type of the name and of the inode:
// r/rrw-r--r--. A name of its own type is known only while a name is.
func bodyMode(e evidence.FileEntry) string {
	letter, ok := modeLetters[e.Type]
	if !ok {
		letter = "-"
	}
	name := letter
	if strings.HasPrefix(e.Path, "/$Orphan/") {
		name = "-"
	}
	m, err := strconv.ParseUint(e.Mode, 8, 32)
	if err != nil {
		m = 0
	}
	bits := []byte("rwxrwxrwx")
	for i := range bits {
		if m>>(8-i)&1 == 0 {
			bits[i] = '-'
		}
	}
	for _, s := range []struct {
		bit      uint64
		at       int
		set, not byte
	}{{0o4000, 2, 's', 'S'}, {0o2000, 5, 's', 'S'}, {0o1000, 8, 't', 'T'}} {
		switch {
		case m&s.bit == 0:
		case bits[s.at] == 'x':
			bits[s.at] = s.set
		default:
			bits[s.at] = s.not
		}
	}
	return name + "/" + letter + string(bits)
}
