package ewf_test

import (
	"bytes"
	"compress/zlib"
	"crypto/md5"
	"encoding/binary"
	"fmt"
	"hash/adler32"
	"testing"

	"snapcase/imaging/image/ewf"
)

var le = binary.LittleEndian

const chunk = 4096 // 8 sectors

// builder writes an image as EnCase does, chunk by chunk.
type builder struct {
	disk       []byte
	perTable   int // chunks
	perSegment int // tables
	compress   bool
	set        byte // of the set identifier
	bad        [][2]uint32
}

func sum(b []byte) []byte { return le.AppendUint32(b, adler32.Checksum(b)) }

func pack(b []byte) []byte {
	var out bytes.Buffer
	w, _ := zlib.NewWriterLevel(&out, zlib.BestCompression)
	w.Write(b)
	w.Close()
	return out.Bytes()
}

// add appends a section to a segment.
func add(seg []byte, kind string, body []byte) []byte {
	d := make([]byte, 16, 76)
	copy(d, kind)
	size := uint64(76 + len(body))
	next := uint64(len(seg)) + size
	if kind == "next" || kind == "done" {
		next = uint64(len(seg))
	}
	d = le.AppendUint64(d, next)
	d = le.AppendUint64(d, size)
	d = append(d, make([]byte, 40)...)
	return append(append(seg, sum(d)...), body...)
}

func (b *builder) volume() []byte {
	v := make([]byte, 1048)
	v[0] = 1
	le.PutUint32(v[4:], uint32((len(b.disk)+chunk-1)/chunk))
	le.PutUint32(v[8:], chunk/512)
	le.PutUint32(v[12:], 512)
	le.PutUint64(v[16:], uint64(len(b.disk)/512))
	v[36] = 3
	v[64] = b.set
	return sum(v)
}

// table writes the chunks of one table: sectors, table, table2.
func (b *builder) table(seg []byte, part []byte) []byte {
	var data []byte
	start := len(seg) + 76
	head := make([]byte, 20)
	var entries []byte
	n := 0
	for at := 0; at < len(part); at += chunk {
		c := part[at:min(at+chunk, len(part))]
		e := uint32(start + len(data))
		if z := pack(c); b.compress && len(z) < len(c) {
			e |= 1 << 31
			data = append(data, z...)
		} else {
			data = append(data, sum(bytes.Clone(c))...)
		}
		entries = le.AppendUint32(entries, e)
		n++
	}
	le.PutUint32(head, uint32(n))
	body := append(sum(head), sum(entries)...)
	seg = add(seg, "sectors", data)
	return add(add(seg, "table", body), "table2", body)
}

// build gives the segment files.
func (b *builder) build() [][]byte {
	var segs [][]byte
	text := "1\nmain\nc\tn\ta\te\tt\tm\tu\tp\nCase 7\t\tdisk of a host\tA. Nother\t\t1626967998\t1626967998\t0\n\n"
	begin := func() []byte {
		seg := append([]byte("EVF\x09\x0d\x0a\xff\x00\x01"), byte(len(segs)+1), 0, 0, 0)
		if len(segs) > 0 {
			return add(seg, "data", b.volume())
		}
		return add(add(seg, "header", pack([]byte(text))), "volume", b.volume())
	}
	seg, tables := begin(), 0
	for at := 0; at < len(b.disk); at += b.perTable * chunk {
		if tables == b.perSegment {
			segs = append(segs, add(seg, "next", nil))
			seg, tables = begin(), 0
		}
		seg = b.table(seg, b.disk[at:min(at+b.perTable*chunk, len(b.disk))])
		tables++
	}
	if len(b.bad) > 0 {
		head := make([]byte, 516)
		le.PutUint32(head, uint32(len(b.bad)))
		var rows []byte
		for _, r := range b.bad {
			rows = le.AppendUint32(le.AppendUint32(rows, r[0]), r[1])
		}
		seg = add(seg, "error2", append(sum(head), sum(rows)...))
	}
	h := md5.Sum(b.disk)
	seg = add(seg, "hash", sum(append(h[:], make([]byte, 16)...)))
	return append(segs, add(seg, "done", nil))
}

func segments(files [][]byte) []ewf.Segment {
	var s []ewf.Segment
	for i, f := range files {
		if f != nil {
			s = append(s, ewf.Segment{Name: fmt.Sprintf("disk.E%02d", i+1), Source: bytes.NewReader(f)})
		}
	}
	return s
}

// small is a disk that is quickly made and has chunks of every kind.
func small(t testing.TB, n int) []byte {
	t.Helper()
	b := make([]byte, n)
	x := uint32(1)
	for i := range b {
		switch i / 5000 % 3 {
		case 0:
			x ^= x << 13
			x ^= x >> 17
			x ^= x << 5
			b[i] = byte(x)
		case 1:
			b[i] = "the quick brown fox"[i%19]
		}
	}
	return b
}
