package awstest

import (
	"crypto/sha256"
	"encoding/binary"
	"io"
	"math/rand/v2"
	"slices"
	"time"
)

// BlockSize is the length of a block of the EBS direct API in bytes.
const BlockSize = 512 << 10

// Snapshots are the snapshots of all accounts, which the services ec2 and ebs
// share.
type Snapshots map[string]*Snapshot

// Snapshot is one of them.
type Snapshot struct {
	ID, VolumeID, Owner, Region string
	KMSKey                      string // "" for one that is not encrypted
	State                       string // "pending", "completed", "error"
	Progress                    string // "42%"
	Message                     string // of a failed one
	Description                 string
	Started                     time.Time
	Tags                        map[string]string
	SharedWith                  []string // account ids that may use it
	GiB                         int64    // of the volume
	Data                        io.ReaderAt
	Listed                      []int32 // indexes of the blocks that were ever written, ascending
	Block                       int64   // what lists say is the length of a block; 0 for BlockSize

	sums map[int32][sha256.Size]byte
}

// block reads block i and its digest; sums are made once.
func (s *Snapshot) block(i int32) ([]byte, [sha256.Size]byte, error) {
	b := make([]byte, BlockSize)
	_, err := s.Data.ReadAt(b, int64(i)*BlockSize)
	sum, ok := s.sums[i]
	if !ok {
		sum = sha256.Sum256(b)
		if s.sums == nil {
			s.sums = map[int32][sha256.Size]byte{}
		}
		s.sums[i] = sum
	}
	return b, sum, err
}

func (s *Snapshot) has(i int32) bool {
	_, ok := slices.BinarySearch(s.Listed, i)
	return ok
}

// Noise is a volume whose listed blocks hold bytes that only their index and a
// seed decide; all others are zeros. It reads any size without memory.
type Noise struct {
	Seed   uint64
	Size   int64
	Listed []int32
}

// ReadAt reads the volume.
func (n *Noise) ReadAt(p []byte, off int64) (int, error) {
	done := 0
	for done < len(p) {
		at := off + int64(done)
		if at >= n.Size {
			return done, io.EOF
		}
		i := int32(at / BlockSize) //nolint:gosec // of a test's volume
		from := int(at % BlockSize)
		part := p[done:min(len(p), done+BlockSize-from)]
		if _, ok := slices.BinarySearch(n.Listed, i); ok {
			copy(part, n.fill(i)[from:])
		} else {
			clear(part)
		}
		done += len(part)
	}
	return done, nil
}

func (n *Noise) fill(i int32) []byte {
	b := make([]byte, 0, BlockSize)
	r := rand.NewPCG(n.Seed, uint64(i)) //nolint:gosec // an index is not negative
	for len(b) < BlockSize {
		b = binary.LittleEndian.AppendUint64(b, r.Uint64())
	}
	return b
}
