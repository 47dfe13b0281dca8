// Package split joins the pieces of a raw image that was cut into files of
// equal size, as dd with split, FTK Imager and dc3dd leave them.
//
// # Names
//
// The pieces of disk are disk.000 or disk.001 and on, disk.1 and on, or disk.aa,
// disk.ab and on. Numbers and letters may be of any width; all pieces have the
// same. The set begins at piece 0 where there is one, else at 1 (or aa).
//
// # Place
//
// Raw pieces say nothing of themselves: the place of a piece is its number times
// the size that most of them have. With pieces of 1,000 bytes, disk.003 starts
// at byte 2,000, whether disk.002 is there or not. A piece that is missing, or
// shorter than the others and not the last, leaves a gap with its range.
//
// # When files are not pieces of one image
//
// Sizes that no cut makes (a piece longer than most, other than the last of two)
// and numbers with too many holes between them are refused with the reason.
// Whether the pieces make a disk or another container, their reader says.
//
// What it does not do: that the last pieces are missing cannot be seen here; the
// partition table shows it.
package split

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"snapcase/imaging"
	"snapcase/imaging/image/container"
)

const format = "split"

const mostPieces = 100_000

// Piece is one file of a set. Name is empty where it is missing.
type Piece struct {
	Number int
	Name   string
	Source imaging.Source // nil until it is opened, and where it is missing
}

// Find finds the files that are pieces of one image with name, among all the
// names of a folder. Missing pieces are in the list without a name. The reason
// says why there is no set; doubt is set when there may be one all the same.
func Find(names []string, name string) (pieces []Piece, reason string, doubt bool) {
	mine, ok := cut(name)
	if !ok {
		return nil, "the name has no number of a piece", false
	}
	for _, n := range names {
		if s, ok := cut(n); ok && s.stem == mine.stem && s.letters == mine.letters && s.width == mine.width {
			pieces = append(pieces, Piece{Number: s.number, Name: n})
		}
	}
	slices.SortFunc(pieces, func(a, b Piece) int { return cmp.Compare(a.Number, b.Number) })
	if len(pieces) < 2 {
		return nil, "no other piece lies beside it", false
	}
	first := 1
	if mine.letters || pieces[0].Number == 0 {
		first = 0
	}
	count := pieces[len(pieces)-1].Number - first + 1
	missing := count - len(pieces)
	// Words and years look like pieces too: disk.vmdk and disk.qcow, report.2024.
	loose := mine.width == 1 || pieces[0].Number != first
	if count > mostPieces || loose && missing >= len(pieces) {
		return nil, fmt.Sprintf("%d files beside it have a number and %d would be missing between them: they are not taken as pieces", len(pieces), missing), !mine.letters && pieces[0].Number < 10
	}
	return fill(pieces, first, count), "", false
}

// fill puts the missing pieces in.
func fill(have []Piece, first, count int) []Piece {
	all := make([]Piece, count)
	for i := range all {
		all[i].Number = first + i
	}
	for _, p := range have {
		all[p.Number-first] = p
	}
	return all
}

type suffix struct {
	stem    string
	letters bool
	width   int // 1: the number is not padded
	number  int
}

// cut parts a name into the stem, with the dot, and the number of the piece.
func cut(name string) (suffix, bool) {
	dot := strings.LastIndexByte(name, '.')
	if dot < 0 || dot == 0 {
		return suffix{}, false
	}
	s, end := suffix{stem: name[:dot+1]}, name[dot+1:]
	if len(end) == 0 || len(end) > 8 {
		return suffix{}, false
	}
	if n, err := strconv.ParseUint(end, 10, 31); err == nil {
		s.number, s.width = int(n), len(end)
		if end[0] != '0' && len(end) < 3 {
			s.width = 1 // not padded, or 10 and on of a set that is not
		}
		return s, true
	}
	if len(end) < 2 || len(end) > 4 {
		return suffix{}, false
	}
	for _, c := range []byte(end) {
		if c < 'a' || c > 'z' {
			return suffix{}, false
		}
		s.number = s.number*26 + int(c-'a')
	}
	s.letters, s.width = true, len(end)
	return s, true
}

// Open joins pieces as Find gives them, those that are there with their Source.
func Open(pieces []Piece) (*container.Image, error) {
	piece, reason := size(pieces)
	if reason != "" {
		return nil, &imaging.FormatError{Format: format, Reason: reason}
	}
	last := pieces[len(pieces)-1].Source.Size()
	if int64(len(pieces)) > container.MaxSize/piece {
		return nil, container.Unsupported(format, "%d pieces of %d bytes are more than is read", len(pieces), piece)
	}
	total := piece*int64(len(pieces)-1) + last
	j := &joined{pieces: pieces, piece: piece, size: total}
	img := &container.Image{Format: format}
	img.Put("pieces", strconv.Itoa(len(pieces)))
	img.Put("bytes per piece", strconv.FormatInt(piece, 10))
	gaps := container.NewGaps(total)
	for i, p := range pieces[:len(pieces)-1] {
		have, at := int64(0), int64(i)*piece
		why := fmt.Sprintf("piece %d is missing", p.Number)
		if p.Source != nil {
			have = p.Source.Size()
			why = fmt.Sprintf("piece %s ends after %d of %d bytes", p.Name, have, piece)
		}
		if have < piece {
			gaps.Add(at+have, piece-have, why)
		}
	}
	if err := separate(img, pieces); err != nil {
		return nil, err
	}
	img.Reader = container.NewReader(total, j, gaps)
	return img, nil
}

// separate notes when a piece behind the first begins with a partition table as
// the first does: then the files may be disks of their own.
func separate(img *container.Image, pieces []Piece) error {
	for i, p := range pieces {
		if p.Source == nil || p.Source.Size() < 512 {
			if i == 0 {
				return nil
			}
			continue
		}
		var b [512]byte
		if err := container.ReadFull(p.Source, b[:], 0); err != nil {
			return err
		}
		table := partitioned(b[:])
		if i == 0 && !table {
			return nil
		}
		if i > 0 && table {
			img.Note("%s begins with a partition table of its own: the files may be disks of their own, not pieces of one", p.Name)
		}
	}
	return nil
}

// partitioned says whether a first sector has an MBR: each status is 0 or 80,
// and some entry has a type and a size.
func partitioned(b []byte) bool {
	used := false
	for e := b[446:510]; len(e) > 0; e = e[16:] {
		if e[0]&0x7f != 0 {
			return false
		}
		used = used || e[4] != 0 && (e[12]|e[13]|e[14]|e[15]) != 0
	}
	return used && b[510] == 0x55 && b[511] == 0xaa
}

// size is that of most pieces but the last, the larger one where two are as
// frequent.
func size(pieces []Piece) (piece int64, reason string) {
	seen := map[int64]int{}
	most := 0
	n := len(pieces) - 1
	for _, p := range pieces[:n] {
		if p.Source == nil {
			continue
		}
		s := p.Source.Size()
		seen[s]++
		if seen[s] > most || seen[s] == most && s > piece {
			most, piece = seen[s], s
		}
	}
	last := pieces[n].Source.Size()
	if len(seen) == 0 {
		return 0, "all pieces but the last are missing"
	}
	if most == 1 && last > piece && len(seen) == 1 {
		piece = last // of two pieces the first is cut short
	}
	for _, p := range pieces {
		if p.Source != nil && p.Source.Size() > piece {
			return 0, fmt.Sprintf("%s has %d bytes and most of the others have %d: they are not pieces of one cut", p.Name, p.Source.Size(), piece)
		}
	}
	if piece == 0 {
		return 0, "the pieces are empty"
	}
	return piece, ""
}

type joined struct {
	pieces      []Piece
	piece, size int64
}

// Find implements container.Map.
func (j *joined) Find(off int64) (container.Span, error) {
	i, skip := off/j.piece, off%j.piece
	p := j.pieces[i]
	end := min(j.piece, j.size-i*j.piece)
	if p.Source == nil {
		return container.Span{Length: end - skip, Reason: "the piece is missing"}, nil
	}
	if have := p.Source.Size(); skip < have {
		return container.Span{Length: min(have, end) - skip, From: p.Source, At: skip}, nil
	}
	return container.Span{Length: end - skip, Reason: "the piece is short"}, nil
}

// Unpack implements container.Map; no piece is packed.
func (j *joined) Unpack(int64, []byte) (string, error) { return "", nil }
