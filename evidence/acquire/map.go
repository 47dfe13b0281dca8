package acquire

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"

	"snapcase/evidence"
	"snapcase/imaging"
	"snapcase/imaging/image"
)

// mapName is the file that says of every byte of a partly acquired image what
// stands for it.
const mapName = "map.jsonl"

// mapped is how a run of blocks stands in the image.
type mapped struct {
	state   string
	changed bool
}

// states says of each block how it stands in the image.
func (s *selection) states(i int64) mapped {
	m := mapped{state: evidence.MapHole, changed: s.changed.Has(i)}
	switch src, ok := s.Input.(sparse); {
	case s.absent(i):
		m.state = evidence.MapNotAcquired
	case !s.wanted.Has(i): // the source knows it for zeros
	case !ok:
		m.state = evidence.MapData
	default:
		if start, _ := src.NextData(i * s.block); start < (i+1)*s.block {
			m.state = evidence.MapData
		}
	}
	return m
}

// notAcquired is how many bytes are left out.
func (s *selection) notAcquired() (n int64) {
	for i := int64(0); i < s.wanted.Len(); i++ {
		if i = s.wanted.Next(i, false); i < s.wanted.Len() && s.absent(i) {
			n += min(s.block, s.Size()-i*s.block)
		}
	}
	return n
}

// writeMap writes the map of the sealed copy: touching lines that cover the
// image. Lines of data have the SHA-256 of their bytes, which are read from the
// copy; zeros and what is not there have none.
func (x *exhibit) writeMap(ctx context.Context, s *selection, errs []errorLine) error {
	in, err := x.sealedCopy()
	if err != nil {
		return err
	}
	defer in.Close() //nolint:errcheck // read-only
	bad := slices.Clone(errs)
	slices.SortFunc(bad, func(a, b errorLine) int { return int(max(-1, min(1, a.Offset-b.Offset))) })
	return x.writeNew(mapName, func(w io.Writer) error {
		out := &mapWriter{ctx: ctx, enc: json.NewEncoder(w), in: in, bad: bad}
		for i := int64(0); i < s.wanted.Len(); {
			m := s.states(i)
			end := i + 1
			for end < s.wanted.Len() && s.states(end) == m {
				end++
			}
			if err := out.run(i*s.block, min(s.Size(), end*s.block), m); err != nil {
				return err
			}
			i = end
		}
		return nil
	})
}

// sealedCopy opens the copy that was just sealed.
func (x *exhibit) sealedCopy() (Input, error) {
	if x.head.Format == formatZst {
		return image.OpenPacked(x.path(packedName))
	}
	return image.Open(x.path(imageName))
}

// mapWriter writes lines of a map.
type mapWriter struct {
	ctx context.Context //nolint:containedctx // of one write
	enc *json.Encoder
	in  imaging.Source
	bad []errorLine // in order
}

// run writes the lines of a run in one state: what could not be read is lines of
// its own.
func (m *mapWriter) run(from, to int64, how mapped) error {
	for from < to {
		end, state := to, how.state
		if state == evidence.MapData {
			for len(m.bad) > 0 && m.bad[0].Offset+m.bad[0].Length <= from {
				m.bad = m.bad[1:]
			}
			if len(m.bad) > 0 && m.bad[0].Offset <= from {
				end, state = min(to, m.bad[0].Offset+m.bad[0].Length), evidence.MapUnreadable
			} else if len(m.bad) > 0 {
				end = min(to, m.bad[0].Offset)
			}
		}
		line := evidence.MapLine{Offset: from, Length: end - from, State: state, Changed: how.changed}
		if state == evidence.MapData {
			sum, err := m.sum(from, end-from)
			if err != nil {
				return fmt.Errorf("read the copy at %d: %w", from, err)
			}
			line.SHA256 = sum.String()
		}
		if err := m.enc.Encode(line); err != nil {
			return err
		}
		from = end
	}
	return nil
}

// sum hashes bytes of the copy.
func (m *mapWriter) sum(off, n int64) (evidence.Digest, error) {
	h := sha256.New()
	buf := make([]byte, min(n, 1<<20))
	for done := int64(0); done < n; {
		if err := m.ctx.Err(); err != nil {
			return evidence.Digest{}, err
		}
		p := buf[:min(n-done, int64(len(buf)))]
		if k, err := m.in.ReadAt(p, off+done); k < len(p) {
			return evidence.Digest{}, errors.Join(io.ErrUnexpectedEOF, err)
		}
		h.Write(p)
		done += int64(len(p))
	}
	return evidence.Digest(h.Sum(nil)), nil
}
