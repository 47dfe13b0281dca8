package bundle

import (
	"bytes"
	"os"
)

// zeros is what pieces are compared with.
var zeros [64 << 10]byte

// sparseFile writes a file front to back and leaves runs of zeros as holes.
type sparseFile struct {
	f   *os.File
	off int64
}

func (s *sparseFile) Write(p []byte) (int, error) {
	done := 0
	for done < len(p) {
		piece := p[done:min(len(p), done+len(zeros))]
		if !bytes.Equal(piece, zeros[:len(piece)]) {
			if _, err := s.f.WriteAt(piece, s.off); err != nil {
				return done, err
			}
		}
		done += len(piece)
		s.off += int64(len(piece))
	}
	return done, nil
}

// end gives the file its length.
func (s *sparseFile) end() error { return s.f.Truncate(s.off) }
