package acquire

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"snapcase/evidence"
	"snapcase/imaging"
)

// spots is how many blocks of a device are compared with its snapshot.
const spots = 16

// Blocks is a snapshot that a volume was made of, read block by block.
type Blocks interface {
	imaging.Source
	// NextData gives the first range at or behind off that was ever written.
	NextData(off int64) (start, end int64)
	BlockSize() int
}

// Compare compares blocks of the device, spread over all that the snapshot has
// bytes for, the first and the last among them, with the snapshot that the volume
// was made of. The note says how many are the same, and where the first other one
// lies: a volume that was in use since has others. The error is that one of the
// two could not be read.
func (a *Attached) Compare(s Blocks, id string) (note string, err error) {
	f, err := openReadOnly(a.Path)
	if err != nil {
		return "", err
	}
	defer f.Close() //nolint:errcheck // read-only
	places := spread(s)
	block := int64(s.BlockSize())
	was, is := make([]byte, block), make([]byte, block)
	same, first := 0, int64(-1)
	for _, off := range places {
		n := min(block, s.Size()-off)
		if k, err := s.ReadAt(was[:n], off); int64(k) < n {
			return "", fmt.Errorf("read %s at %d: %w", id, off, err)
		}
		if k, err := f.ReadAt(is[:n], off); int64(k) < n {
			return "", fmt.Errorf("read %s at %d: %w", a.Path, off, errors.Join(err, io.ErrUnexpectedEOF))
		}
		if bytes.Equal(was[:n], is[:n]) {
			same++
		} else if first < 0 {
			first = off
		}
	}
	note = fmt.Sprintf("%d of %d blocks that were compared are those of %s", same, len(places), id)
	if first >= 0 {
		note += fmt.Sprintf("; the first other one lies at byte %d: the volume was written to since it was made of the snapshot, or is not that volume", first)
	}
	return note, nil
}

// spread gives the places of up to spots blocks that were written, in order.
func spread(s Blocks) []int64 {
	block, size := int64(s.BlockSize()), s.Size()
	var data int64
	for off := int64(0); ; {
		start, end := s.NextData(off)
		if start >= size || end <= start {
			break
		}
		data, off = data+(end-start+block-1)/block, end
	}
	var all []int64
	n := min(spots, data)
	seen, next := int64(0), int64(0)
	for off := int64(0); int64(len(all)) < n; {
		start, end := s.NextData(off)
		if start >= size || end <= start {
			break
		}
		for at := start; at < end && int64(len(all)) < n; at += block {
			if seen == next {
				all = append(all, at)
				if n > 1 {
					next = int64(len(all)) * (data - 1) / (n - 1)
				}
			}
			seen++
		}
		off = end
	}
	return all
}

// Told adds to the notes of the device what came of a comparison with the
// snapshot that its volume was made of.
func (a *Attached) Told(id, note string, err error) error {
	if evidence.Canceled(err) {
		return err
	}
	if err != nil {
		note = "no blocks were compared with " + id + ": " + err.Error()
	}
	a.Notes = append(a.Notes, note)
	return nil
}
