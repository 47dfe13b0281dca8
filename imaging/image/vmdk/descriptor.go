package vmdk

import (
	"strconv"
	"strings"
)

// text is what a descriptor says. Keys are in lower case.
type text struct {
	values  map[string]string
	extents []extentLine
}

type extentLine struct {
	sectors int64
	kind    string // "FLAT", "SPARSE", …
	name    string
	offset  int64 // sectors
}

const mostExtents = 65536

// parse reads a descriptor, up to its first zero byte. Lines that it does not
// understand are passed over.
func parse(s string) text {
	t := text{values: map[string]string{}}
	s, _, _ = strings.Cut(s, "\x00")
	for line := range strings.Lines(s) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		if e, ok := parseExtent(line); ok {
			if len(t.extents) < mostExtents {
				t.extents = append(t.extents, e)
			}
			continue
		}
		key, value, ok := strings.Cut(line, "=")
		key = strings.ToLower(strings.TrimSpace(key))
		if ok && t.values[key] == "" {
			t.values[key] = strings.Trim(strings.TrimSpace(value), `"`)
		}
	}
	return t
}

// parseExtent reads: access, sectors, kind, then a name in quotes and an offset,
// both of which some kinds leave out.
func parseExtent(line string) (extentLine, bool) {
	access, rest, _ := strings.Cut(line, " ")
	switch access {
	case "RW", "RDONLY", "NOACCESS":
	default:
		return extentLine{}, false
	}
	n, rest, _ := strings.Cut(strings.TrimSpace(rest), " ")
	sectors, err := strconv.ParseInt(n, 10, 64)
	if err != nil {
		return extentLine{}, false
	}
	kind, rest, _ := strings.Cut(strings.TrimSpace(rest), " ")
	e := extentLine{sectors: sectors, kind: strings.ToUpper(kind)}
	if _, after, ok := strings.Cut(rest, `"`); ok {
		var tail string
		e.name, tail, _ = strings.Cut(after, `"`)
		first, _, _ := strings.Cut(strings.TrimSpace(tail), " ")
		if first != "" {
			if e.offset, err = strconv.ParseInt(first, 10, 64); err != nil {
				e.offset = -1
			}
		}
	}
	return e, true
}

// The values of a descriptor that are told, in this order.
var told = []string{
	"CID", "parentCID", "createType", "parentFileNameHint", "encoding",
	"ddb.adapterType", "ddb.uuid", "ddb.longContentID", "ddb.virtualHWVersion", "ddb.toolsVersion", "ddb.comment",
}

func (d *disk) say(t text) {
	for _, name := range told {
		d.img.Put(name, t.values[strings.ToLower(name)])
	}
	for i, e := range t.extents {
		if i == 64 {
			break
		}
		d.img.Put("extent", strconv.FormatInt(e.sectors, 10)+" "+e.kind+" "+e.name)
	}
}
