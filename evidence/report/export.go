package report

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"strconv"
	"strings"

	"snapcase/evidence"
	"snapcase/imaging"
)

// Bodyfile writes entries in the format of The Sleuth Kit 3, which mactime
// reads: MD5|name|inode|mode|UID|GID|size|atime|mtime|ctime|crtime, times in
// seconds, 0 where there is none. "|", "\" and control bytes in names are
// written as \xhh.
func Bodyfile(w io.Writer, entries iter.Seq2[evidence.FileEntry, error]) error {
	b := bufio.NewWriterSize(w, 1<<16)
	for e, err := range entries {
		if err != nil {
			return err
		}
		name := e.Path
		if e.PathB64 != nil {
			name = string(e.PathB64)
		}
		name = bodyName(e.Exhibit + "/" + e.Volume + name)
		if e.Link != nil && *e.Link != "" {
			name += " -> " + bodyName(*e.Link)
		}
		if e.Status != "allocated" {
			name += " (" + e.Status + ")"
		}
		fmt.Fprintf(b, "0|%s|%d|%s|%d|%d|%d|%d|%d|%d|%d\n", name, e.Inode, bodyMode(e), e.UID, e.GID, e.Size, //nolint:errcheck // Flush reports it
			seconds(e.Accessed), seconds(e.Modified), seconds(e.Changed), seconds(e.Born))
	}
	return b.Flush()
}

func bodyName(s string) string {
	var b strings.Builder
	for i := range len(s) {
		if c := s[i]; c < 0x20 || c == 0x7f || c == '|' || c == '\\' {
			fmt.Fprintf(&b, `\x%02x`, c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

func seconds(t imaging.Time) int64 {
	if !t.Set {
		return 0
	}
	return t.Sec
}

// bodyMode is the mode as fls prints it: r/rrw-r--r--.
func bodyMode(e evidence.FileEntry) string {
	letter := map[string]string{"file": "r", "dir": "d", "symlink": "l", "fifo": "p", "socket": "s", "char": "c", "block": "b"}[e.Type]
	if letter == "" {
		letter = "-"
	}
	name := letter
	if e.Status != "allocated" && e.Status != "deleted" {
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
	for i, s := range []struct {
		bit      uint64
		at       int
		set, not byte
	}{{0o4000, 2, 's', 'S'}, {0o2000, 5, 's', 'S'}, {0o1000, 8, 't', 'T'}} {
		_ = i
		if m&s.bit != 0 {
			if bits[s.at] == 'x' {
				bits[s.at] = s.set
			} else {
				bits[s.at] = s.not
			}
		}
	}
	return name + "/" + letter + string(bits)
}

// keywordMax is the longest keyword that Timesketch's index takes, in bytes.
const keywordMax = 32766

// Timesketch writes moments as the JSON Lines that Timesketch imports.
func Timesketch(w io.Writer, moments iter.Seq2[evidence.Moment, error]) error {
	b := bufio.NewWriterSize(w, 1<<16)
	enc := json.NewEncoder(b)
	enc.SetEscapeHTML(false)
	for m, err := range moments {
		if err != nil {
			return err
		}
		line := map[string]any{
			"message": cut(m.Summary), "datetime": strings.Replace(m.Time.String(), "Z", "+00:00", 1), "timestamp_desc": description(m),
			"source": m.Source, "type": m.Type, "exhibit": m.Exhibit, "record": cut(m.Record), "tag": m.Tags,
		}
		if m.Actor != nil {
			line["actor"] = cut(*m.Actor)
		}
		if m.Uncertain != nil {
			line["uncertain"] = *m.Uncertain
		}
		if err := enc.Encode(line); err != nil {
			return err
		}
	}
	return b.Flush()
}

// description is what kind of time it is, as Timesketch wants it said.
func description(m evidence.Moment) string {
	switch m.Source {
	case "fs":
		var all []string
		for _, c := range []struct{ letter, word string }{{"M", "Content Modification Time"}, {"A", "Last Access Time"}, {"C", "Metadata Modification Time"}, {"B", "Creation Time"}, {"D", "Deletion Time"}} {
			if strings.Contains(m.Type, c.letter) {
				all = append(all, c.word)
			}
		}
		return strings.Join(all, "; ")
	case "cloudtrail":
		return "Event Logged"
	case "flow":
		return "Capture Window Start"
	}
	return "Recorded Time"
}

func cut(s string) string {
	const mark = " …(cut)"
	if len(s) <= keywordMax {
		return s
	}
	return strings.ToValidUTF8(s[:keywordMax-len(mark)], "") + mark
}
