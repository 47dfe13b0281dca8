package ewf

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"strings"
	"unicode/utf16"

	"snapcase/imaging/image/container"
)

const (
	volumeSize = 1052
	smartSize  = 94 // the older form, in S01

	mostErrors  = 1 << 20 // ranges in error2
	mostHeaders = 16      // header sections that are read
)

// sectors are those of error2: count sectors from first.
type sectors struct{ first, count int64 }

// account reads the section of that kind; it returns what is wrong with it.
func (d *disk) account(kind string, b []byte) string {
	switch kind {
	case "volume", "disk", "data":
		return d.volume(kind, b)
	case "header", "header2":
		return d.header(kind, b)
	case "error2":
		return d.badSectors(b)
	case "digest":
		if len(b) < 80 || !checksum(b[:80]) {
			return "it fails its checksum"
		}
		d.hash("md5", b[:16])
		d.hash("sha1", b[16:36])
	case "hash":
		if len(b) < 36 || !checksum(b[:36]) {
			return "it fails its checksum"
		}
		d.hash("md5", b[:16])
	}
	return ""
}

// hash stores a hash; zeros mean that there is none.
func (d *disk) hash(kind string, b []byte) {
	if strings.Trim(string(b), "\x00") != "" {
		d.img.Store(kind, hex.EncodeToString(b))
	}
}

// volume takes the first account of the medium that is sound. The section data
// is a copy of it in a later segment.
func (d *disk) volume(kind string, b []byte) string {
	n := volumeSize
	if len(b) < volumeSize {
		n = smartSize
	}
	if len(b) < n {
		return fmt.Sprintf("it has %d bytes, too few", len(b))
	}
	b = b[:n]
	if !checksum(b) {
		return "it fails its checksum"
	}
	if d.media != nil {
		if n == volumeSize && !same(d.set[:], b[64:80]) {
			d.at.alien = true
			return "it is of another image: its set identifier is " + hex.EncodeToString(b[64:80])
		}
		if kind == "data" && n == len(d.media) && le.Uint32(b[4:]) != le.Uint32(d.media[4:]) {
			return "it disagrees with the volume section about the number of chunks"
		}
		return ""
	}
	perChunk, perSector := int64(le.Uint32(b[8:])), int64(le.Uint32(b[12:]))
	const most = 64 << 20
	if perChunk == 0 || perSector < 512 || perChunk > most || perSector > most || perChunk*perSector > most {
		return fmt.Sprintf("a chunk of %d sectors of %d bytes makes no sense", perChunk, perSector)
	}
	count := uint64(le.Uint32(b[16:]))
	if n == volumeSize {
		count = le.Uint64(b[16:])
	}
	if count > container.MaxSize/uint64(perSector) {
		return fmt.Sprintf("%d sectors of %d bytes are more than is read", count, perSector)
	}
	d.media, d.sector, d.chunk = b, perSector, perChunk*perSector
	d.size = int64(count) * perSector
	if n == volumeSize {
		copy(d.set[:], b[64:80])
	}
	return ""
}

// same compares set identifiers; zeros are none.
func same(a, b []byte) bool {
	var none [16]byte
	return bytes.Equal(a, none[:]) || bytes.Equal(b, none[:]) || bytes.Equal(a, b)
}

// badSectors reads error2: a count, 512 bytes, a checksum, entries of a first
// sector and a number of sectors, and a checksum of those.
func (d *disk) badSectors(b []byte) string {
	const head = 520
	if len(b) < head || !checksum(b[:head]) {
		return "it fails its checksum"
	}
	n := int64(le.Uint32(b))
	if n*8+4 > int64(len(b)-head) {
		return fmt.Sprintf("it has no room for its %d entries", n)
	}
	rows := b[head:]
	reason := ""
	if !checksum(rows[:n*8+4]) {
		reason = "its entries fail their checksum; they are listed all the same"
	}
	for ; n > 0; n, rows = n-1, rows[8:] {
		if len(d.errors) >= mostErrors {
			return fmt.Sprintf("there are more than %d ranges of sectors that could not be read: no more are listed", mostErrors)
		}
		d.errors = append(d.errors, sectors{int64(le.Uint32(rows)), int64(le.Uint32(rows[4:]))})
	}
	return reason
}

// header keeps the values of a header, the longest account of each.
func (d *disk) header(kind string, b []byte) string {
	if d.headers++; d.headers > mostHeaders {
		return ""
	}
	text := make([]byte, 1<<20)
	if err := container.InflateZlib(text, b); err != nil {
		// It ends before a megabyte, as it should: what came out is the text.
		text = text[:len(text)-trailingZeros(text)]
	}
	if len(text) == 0 {
		return "it does not inflate"
	}
	s := string(text)
	if kind == "header2" {
		s = utf16Text(text)
	}
	if d.fields == nil {
		d.fields = map[string]string{}
	}
	for k, v := range values(s) {
		if d.fields[k] == "" || kind == "header2" {
			d.fields[k] = v
		}
	}
	return ""
}

func trailingZeros(b []byte) int {
	n := 0
	for n < len(b) && b[len(b)-1-n] == 0 {
		n++
	}
	return n
}

// utf16Text decodes UTF-16 by its byte order mark, little-endian without one.
func utf16Text(b []byte) string {
	if len(b)%2 == 1 {
		b = append(b, 0) // the zero of the last unit was trimmed
	}
	big := len(b) >= 2 && b[0] == 0xfe && b[1] == 0xff
	u := make([]uint16, 0, len(b)/2)
	for ; len(b) >= 2; b = b[2:] {
		if big {
			u = append(u, uint16(b[0])<<8|uint16(b[1]))
		} else {
			u = append(u, le.Uint16(b))
		}
	}
	return strings.TrimPrefix(string(utf16.Decode(u)), "\ufeff")
}

// values reads the category "main": a line of names, a line of values, both
// parted by tabs.
func values(s string) map[string]string {
	lines := strings.Split(strings.ReplaceAll(s, "\r\n", "\n"), "\n")
	for i, line := range lines {
		if line != "main" || i+2 >= len(lines) {
			continue
		}
		got := map[string]string{}
		row := strings.Split(lines[i+2], "\t")
		for j, name := range strings.Split(lines[i+1], "\t") {
			if j < len(row) && row[j] != "" {
				got[name] = row[j]
			}
		}
		return got
	}
	return nil
}

// The names that header sections have for what an examiner filled in.
var names = []container.Field{
	{Name: "c", Value: "case number"},
	{Name: "n", Value: "evidence number"},
	{Name: "a", Value: "description"},
	{Name: "e", Value: "examiner"},
	{Name: "t", Value: "notes"},
	{Name: "m", Value: "acquired"},
	{Name: "u", Value: "system date"},
	{Name: "av", Value: "software version"},
	{Name: "ov", Value: "operating system"},
	{Name: "md", Value: "model"},
	{Name: "sn", Value: "serial number"},
	{Name: "l", Value: "device label"},
	{Name: "pid", Value: "process identifier"},
	{Name: "ext", Value: "extents"},
	{Name: "r", Value: "compression"},
	{Name: "p", Value: "password hash"},
}

var mediaTypes = map[byte]string{0: "removable disk", 1: "fixed disk", 3: "optical disc", 0x0e: "logical evidence", 0x10: "memory"}

// describe gives the fields in a fixed order.
func (d *disk) describe() {
	for _, n := range names {
		if v := d.fields[n.Name]; v != "0" || n.Name != "p" {
			d.img.Put(n.Value, v)
		}
	}
	if len(d.media) == volumeSize {
		kind := mediaTypes[d.media[0]]
		if kind == "" {
			kind = fmt.Sprintf("0x%02x", d.media[0])
		}
		d.img.Put("media type", kind)
		if d.media[36]&2 != 0 {
			d.img.Put("media", "physical")
		} else {
			d.img.Put("media", "logical")
		}
		if d.set != [16]byte{} {
			d.img.Put("set identifier", hex.EncodeToString(d.set[:]))
		}
	}
	d.img.Put("bytes per sector", fmt.Sprint(d.sector))
	d.img.Put("bytes per chunk", fmt.Sprint(d.chunk))
	d.img.Put("segments", fmt.Sprint(len(d.segments)))
}
