package acquire

import (
	"context"
	"fmt"
	"os"

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
	// Changed is set where only what changed is acquired; nil for all.
	Changed *Changed

	selected *selection // where Changed is set, once it was looked at
}

// lookRemote says what a remote source is.
func (j *Job) lookRemote(ctx context.Context, h *header) error {
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
	h.Data = r.Data
	h.Identity = identity{API: apiEBS, ID: r.ID, Size: r.Input.Size(), Block: int64(r.Block)}
	if r.Changed == nil {
		return room(string(j.Folder), r.Data)
	}
	h.Identity.ID += " changed since " + r.Changed.Since
	s, err := j.choose(ctx)
	if err != nil {
		return err
	}
	r.selected = s
	return room(string(j.Folder), s.data())
}

// input is what is read: all of the source, or what was chosen of it.
func (r *Remote) input() Input {
	if r.selected != nil {
		return r.selected
	}
	return r.Input
}

// checkEarly refuses to read early what cannot be.
func (j *Job) checkEarly() error {
	switch {
	case j.Early == nil:
		return nil
	case j.Remote == nil:
		return evidence.WithHint(fmt.Errorf("reading it before it is acquired: %w", evidence.ErrUsage), "only a snapshot is read in place: leave out --lazy")
	case j.Format == formatZst:
		return evidence.WithHint(fmt.Errorf("reading a packed copy before it is whole: %w", evidence.ErrUsage), "leave out --format zst, or --lazy")
	}
	return nil
}

// openEarly opens the image to be read early, where somebody wants that or did
// before an interruption; nil else.
func (x *exhibit) openEarly(src Input, block int64) (*Early, error) {
	if x.Remote == nil || x.head.Format == formatZst {
		return nil, nil
	}
	if _, err := os.Lstat(x.path(earlyMapName)); x.Early == nil && err != nil {
		return nil, nil //nolint:nilerr // there is none
	}
	return newEarly(x, src, block)
}

// handEarly gives the image to who wants to read it early. The function that it
// gives is called when the acquisition does not go on.
func (x *exhibit) handEarly(e *Early) (over func()) {
	if x.Early != nil {
		x.Early(e)
		return e.end
	}
	return func() {
		_ = e.Close() // nothing is buffered
		e.end()
	}
}

// method is how a remote source was read, for acquisition.json.
func (r *Remote) method() string {
	how := fmt.Sprintf("EBS direct API, blocks of %d KiB, each compared with the service's SHA-256; SHA-256 of the whole in order; blocks that were never written are zeros and holes", r.Block>>10)
	if r.selected != nil {
		how += "; only what changed since " + r.selected.since + " and the metadata of file systems was acquired: the rest is not-acquired in map.jsonl, and zeros in the digest"
	}
	return how
}
