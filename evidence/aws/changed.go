package aws

import (
	"context"
	"fmt"
	"strings"

	"snapcase/evidence"
	"snapcase/imaging"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/service/ebs"
	"github.com/aws/aws-sdk-go-v2/service/ebs/types"
)

// copiedVolume is what EC2 says for the volume of a snapshot that is a copy.
const copiedVolume = "vol-ffffffff"

// Changes are the blocks of a snapshot that are not what they were in an older
// one of the same volume, those too that were given back meanwhile.
type Changes struct {
	// Older is the id of the older snapshot.
	Older string
	// Taken is when it was begun; not set where that may not be asked.
	Taken imaging.Time

	blocks      *imaging.Bitmap
	size, block int64
}

// Count is how many blocks changed.
func (c *Changes) Count() int64 { return c.blocks.Count() }

// Next gives the first range of bytes at or behind off that changed; start is
// the volume's size where there is none.
func (c *Changes) Next(off int64) (start, end int64) {
	from := c.blocks.Next(off/c.block, true)
	to := c.blocks.Next(from, false)
	return min(c.size, max(off, from*c.block)), min(c.size, to*c.block)
}

// ChangedSince lists the blocks that changed since an older snapshot of the same
// volume. Snapshots of different volumes, or with blocks of different lengths,
// are refused. What it finds is in Origin too.
func (s *Snapshot) ChangedSince(ctx context.Context, older string) (*Changes, error) {
	if !IsSnapshot(older) {
		return nil, evidence.WithHint(fmt.Errorf("snapshot %q: %w", older, evidence.ErrUsage), "a snapshot's id is snap- and 17 hexadecimal digits")
	}
	if older == s.ID {
		return nil, evidence.WithHint(fmt.Errorf("%s is to be compared with itself: %w", s.ID, evidence.ErrUsage), "give an older snapshot of the same volume")
	}
	o, err := s.account.Snapshot(ctx, older)
	if err != nil {
		return nil, err
	}
	defer o.Close() //nolint:errcheck // it only ends reads
	c := &Changes{Older: older, Taken: o.origin.Taken, blocks: imaging.NewBitmap(s.listed.Len()), size: s.size, block: s.block}
	if err := s.sameVolume(o); err != nil {
		return nil, err
	}
	if err := s.listChanged(ctx, c); err != nil {
		return nil, err
	}
	s.added(c, o)
	for _, id := range o.origin.Requests {
		operation, id, _ := strings.Cut(id, " ")
		s.keep(operation, id)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.origin.Since, s.origin.SinceTaken, s.origin.Changed = older, c.Taken, c.Count()
	if !c.Taken.Set {
		s.origin.Notes = append(s.origin.Notes, "ec2:DescribeSnapshots is not allowed: when "+older+" was taken, and of which volume, is not known")
	}
	return c, nil
}

// added takes for changed what the older snapshot does not list and this one
// does: the service lists it as changed too, and what leaves it out must not
// leave a gap.
func (s *Snapshot) added(c *Changes, o *Snapshot) {
	n := 0
	for i := s.listed.Next(0, true); i < s.listed.Len(); i = s.listed.Next(i+1, true) {
		if !o.listed.Has(i) && !c.blocks.Has(i) {
			c.blocks.Set(i)
			n++
		}
	}
	if n > 0 {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.origin.Notes = append(s.origin.Notes, fmt.Sprintf("ListChangedBlocks left out %d blocks that %s does not have: they were taken for changed", n, c.Older))
	}
}

// sameVolume refuses what cannot be compared. Of which volume a snapshot is may
// not be known: then the service's own refusal counts.
func (s *Snapshot) sameVolume(o *Snapshot) error {
	mine, its := s.origin.Volume, o.origin.Volume
	if mine != its && mine != "" && its != "" && mine != copiedVolume && its != copiedVolume {
		return otherVolume(fmt.Errorf("%s is of %s and %s of %s: what changed between two volumes cannot be listed", s.ID, mine, o.ID, its))
	}
	if s.block != o.block {
		return evidence.WithHint(fmt.Errorf("%s has blocks of %d bytes and %s of %d: they cannot be compared block by block", s.ID, s.block, o.ID, o.block), "acquire the whole snapshot, without --changed-since")
	}
	if is, was := s.origin.Taken, o.origin.Taken; is.Set && was.Set && is.Compare(was) < 0 {
		return evidence.WithHint(fmt.Errorf("%s was taken at %s, before %s at %s: %w", s.ID, is, o.ID, was, evidence.ErrUsage), "give the newer snapshot as the source and the older one to --changed-since")
	}
	return nil
}

func otherVolume(err error) error {
	return evidence.WithHint(err, "give an older snapshot of the same volume to --changed-since, or acquire the whole snapshot without it")
}

// listChanged reads all pages. An index must ascend and lie in the volume, and
// what is said of a block must agree with the list of the newer snapshot.
func (s *Snapshot) listChanged(ctx context.Context, c *Changes) error {
	doing := "list what changed in " + s.ID + " since " + c.Older
	in := &ebs.ListChangedBlocksInput{FirstSnapshotId: &c.Older, SecondSnapshotId: &s.ID, MaxResults: sdk.Int32(pageMost)}
	last, empty := int64(-1), 0
	restart := func() { in.NextToken, in.StartingBlockIndex = nil, sdk.Int32(int32(last+1)) } //nolint:gosec // below mostBlocks
	for {
		var out *ebs.ListChangedBlocksOutput
		t := attempt{Account: s.account, bucket: s.lists, retried: &s.retried, stale: restart}
		_, _, err := t.do(ctx, func(ctx context.Context) (err error) {
			s.listing.Add(1)
			out, err = s.client.ListChangedBlocks(ctx, in)
			return err
		})
		if r := refused(err); r.reason == string(types.ValidationExceptionReasonUnrelatedSnapshots) {
			return otherVolume(s.account.explain(fmt.Sprintf("list what changed: %s and %s are not snapshots of one volume,", s.ID, c.Older), err))
		}
		if err != nil {
			return s.account.explain(doing, err)
		}
		if id, ok := middleware.GetRequestIDMetadata(out.ResultMetadata); ok {
			s.keep("ebs:ListChangedBlocks", id)
		}
		if block := int64(sdk.ToInt32(out.BlockSize)); block != s.block {
			return s.strange("what changed is told in blocks of %d bytes, and the snapshot has blocks of %d", block, s.block)
		}
		for i := range out.ChangedBlocks {
			if last, err = s.changedBlock(c, &out.ChangedBlocks[i], last); err != nil {
				return err
			}
		}
		s.account.progress.Report(evidence.Step{What: doing, Done: c.Count(), Unit: "blocks"})
		if sdk.ToString(out.NextToken) == "" {
			return nil
		}
		if empty++; len(out.ChangedBlocks) > 0 {
			empty = 0
		}
		if empty > emptyPages {
			return s.strange("%d pages in a row are empty", empty)
		}
		in.NextToken, in.StartingBlockIndex = out.NextToken, nil
	}
}

// changedBlock takes one block, behind last, and gives its index.
func (s *Snapshot) changedBlock(c *Changes, b *types.ChangedBlock, last int64) (int64, error) {
	n := int64(sdk.ToInt32(b.BlockIndex))
	was, is := sdk.ToString(b.FirstBlockToken) != "", sdk.ToString(b.SecondBlockToken) != ""
	switch {
	case b.BlockIndex == nil || n < 0 || n >= s.listed.Len():
		return n, s.strange("changed block %d lies outside the volume of %d blocks", n, s.listed.Len())
	case n <= last:
		return n, s.strange("changed block %d is listed after block %d", n, last)
	case !was && !is:
		return n, s.strange("changed block %d is in neither snapshot", n)
	case is != s.listed.Has(n):
		return n, s.strange("block %d: that it changed and the list of the snapshot do not agree on whether it is there", n)
	}
	c.blocks.Set(n)
	return n, nil
}
