package acquire

import (
	"fmt"

	"snapcase/evidence"
)

// What is read from a service: in its own blocks, many at once, and a kill
// loses no more than remoteUnsaid of them.
const (
	remoteBuffers = 128 << 20 // bytes of blocks in memory, those that wait for their turn too
	remoteUnsaid  = 128       // blocks that were asked for and are not in the journal
	remoteSync    = 32        // blocks between two syncs of the copy
)

// apiEBS names the EBS direct API in acquisition.json.
const apiEBS = "ebs-direct"

// Remote is an image that no path names: a snapshot in a cloud account. Its
// bytes never change.
type Remote struct {
	// ID is what makes it the same source as before an interruption.
	ID string
	// Input is open; whoever opened it closes it. It may be sparse: NextData
	// then tells where it has bytes at all.
	Input Input
	// Block is how many bytes one request gives, a multiple of 4096 that divides
	// 64 MiB; Readers is how many requests make sense at once.
	Block, Readers int
	// Data is how many bytes it has that are not known to be zeros.
	Data int64
	// Origin says where the bytes come from. It is asked at the end.
	Origin func() evidence.Origin
}

// lookRemote says what a remote source is.
func (j *Job) lookRemote(h *header) error {
	r := j.Remote
	if h.Kind == "" {
		h.Kind, h.Detected = evidence.KindDisk, "snapshot of a volume"
	}
	if h.Kind != evidence.KindDisk {
		return evidence.WithHint(fmt.Errorf("a snapshot holds no %s: %w", h.Kind, evidence.ErrUsage), "leave out --as")
	}
	if r.Block < page || r.Block%page != 0 || runBytes%r.Block != 0 {
		return fmt.Errorf("blocks of %d bytes are none that are known", r.Block)
	}
	h.Identity = identity{API: apiEBS, ID: r.ID, Size: r.Input.Size(), Block: int64(r.Block)}
	return room(string(j.Folder), r.Data)
}

// method is how a remote source was read, for acquisition.json.
func (r *Remote) method() string {
	return fmt.Sprintf("EBS direct API, blocks of %d KiB, each compared with the service's SHA-256; SHA-256 of the whole in order; blocks that were never written are zeros and holes", r.Block>>10)
}
