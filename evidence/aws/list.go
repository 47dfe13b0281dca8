package aws

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"snapcase/evidence"
	"snapcase/imaging"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/service/ebs"
	"github.com/aws/aws-sdk-go-v2/service/ebs/types"
)

const (
	rateLists = 40     // lists a second; the service allows 50
	pageMost  = 10_000 // blocks of a page
	// partBlocks are the blocks whose tokens are kept or dropped together.
	partBlocks = 8192
	tokenBytes = 32 << 20 // of tokens that are kept
	// emptyPages in a row are no snapshot's: the service does not come to its end.
	emptyPages = 1000
	mostBlocks = 1 << 28 // a bit each: 32 MiB
	volumeMost = 1 << 50 // bytes
)

// list reads all pages. What the service says is not believed: indexes must
// ascend and lie in the volume, sizes must stay as they were.
func (s *Snapshot) list(ctx context.Context) error {
	doing := "list the blocks of " + s.ID
	var last int64 = -1
	err := s.pages(ctx, 0, func(out *ebs.ListSnapshotBlocksOutput) (bool, error) {
		if err := s.sizes(out); err != nil {
			return false, err
		}
		if err := s.take(out.Blocks, &last, out.ExpiryTime); err != nil {
			return false, err
		}
		s.account.progress.Report(evidence.Step{What: doing, Done: s.listed.Count(), Unit: "blocks"})
		return true, nil
	})
	if err != nil {
		return err
	}
	s.cache = newCache(int(max(1, cacheBytes/s.block)))
	s.origin.BlockSize, s.origin.Blocks, s.origin.Listed = s.block, s.listed.Len(), s.listed.Count()
	return nil
}

// pages calls yield with every page from block first on, until it says no or
// there are no more.
func (s *Snapshot) pages(ctx context.Context, first int64, yield func(*ebs.ListSnapshotBlocksOutput) (bool, error)) error {
	in := &ebs.ListSnapshotBlocksInput{SnapshotId: &s.ID, MaxResults: sdk.Int32(pageMost)}
	start := func(i int64) { in.NextToken, in.StartingBlockIndex = nil, sdk.Int32(int32(i)) } //nolint:gosec // below mostBlocks
	start(first)
	for empty := 0; ; {
		var out *ebs.ListSnapshotBlocksOutput
		t := attempt{Account: s.account, bucket: s.lists, retried: &s.retried, stale: func() { start(first) }}
		_, _, err := t.do(ctx, func(ctx context.Context) (err error) {
			s.listing.Add(1)
			out, err = s.client.ListSnapshotBlocks(ctx, in)
			return err
		})
		if err != nil {
			return s.cannotList(err)
		}
		if id, ok := middleware.GetRequestIDMetadata(out.ResultMetadata); ok {
			s.keep("ebs:ListSnapshotBlocks", id)
		}
		more, err := yield(out)
		if err != nil || !more || sdk.ToString(out.NextToken) == "" {
			return err
		}
		if empty++; len(out.Blocks) > 0 {
			empty = 0
			first = int64(sdk.ToInt32(out.Blocks[len(out.Blocks)-1].BlockIndex)) + 1
		}
		if empty > emptyPages {
			return s.strange("%d pages in a row are empty", empty)
		}
		in.NextToken, in.StartingBlockIndex = out.NextToken, nil
	}
}

func (s *Snapshot) cannotList(err error) error {
	r := refused(err)
	switch {
	case r.reason == string(types.ResourceNotFoundExceptionReasonSnapshotNotFound), r.reason == string(types.ValidationExceptionReasonInvalidSnapshotId):
		return s.unknown(err)
	case r.denied() && s.foreign():
		return evidence.WithHint(s.account.explain("list the blocks of "+s.ID+", which account "+s.origin.Owner+" owns,", err),
			"have %s share the snapshot and its key, copy it to account %s and acquire the copy; or run as a role of the owner that may ebs:ListSnapshotBlocks and ebs:GetSnapshotBlock", s.origin.Owner, s.origin.CallerAccount)
	}
	return s.account.explain("list the blocks of "+s.ID, err)
}

// foreign says that the snapshot is known to be another account's.
func (s *Snapshot) foreign() bool {
	return s.origin.Owner != "" && s.origin.CallerAccount != "" && s.origin.Owner != s.origin.CallerAccount
}

// strange is an answer that no service gives.
func (s *Snapshot) strange(format string, args ...any) error {
	return evidence.WithHint(&gone{fmt.Sprintf("list the blocks of %s in %s: ", s.ID, s.account.Region) + fmt.Sprintf(format, args...), errStrange},
		"the answer cannot be that of the EBS direct API: check AWS_ENDPOINT_URL and any proxy; nothing was read by it")
}

var errStrange = errors.New("answer against the specification")

// sizes checks what a page says of the volume.
func (s *Snapshot) sizes(out *ebs.ListSnapshotBlocksOutput) error {
	block, gib := int64(sdk.ToInt32(out.BlockSize)), sdk.ToInt64(out.VolumeSize)
	if block < 4096 || block > 16<<20 || block%512 != 0 || gib <= 0 || gib > volumeMost>>30 {
		return s.strange("it says that the volume has %d GiB and a block %d bytes", gib, block)
	}
	if s.listed == nil {
		s.size, s.block = gib<<30, block
		n := (s.size + block - 1) / block
		if n > mostBlocks {
			return s.strange("%d blocks are more than a volume has", n)
		}
		s.listed = imaging.NewBitmap(n)
		s.tokens = &tokens{parts: map[int64]*part{}, order: list.New()}
	}
	if s.size != gib<<30 || s.block != block {
		return s.strange("the size of the volume or of a block changed from one page to the next")
	}
	return nil
}

// take keeps the blocks of a page of the first listing.
func (s *Snapshot) take(blocks []types.Block, last *int64, expires *time.Time) error {
	for i := range blocks {
		n, err := s.index(blocks[i], *last)
		if err != nil {
			return err
		}
		*last = n
		s.listed.Set(n)
		s.tokens.seed(n, sdk.ToString(blocks[i].BlockToken), expires)
	}
	return nil
}

// index is the index of a listed block, behind last.
func (s *Snapshot) index(b types.Block, last int64) (int64, error) {
	n := int64(sdk.ToInt32(b.BlockIndex))
	switch {
	case b.BlockIndex == nil || n < 0 || n >= s.listed.Len():
		return n, s.strange("block %d lies outside the volume of %d blocks", n, s.listed.Len())
	case n <= last:
		return n, s.strange("block %d is listed after block %d", n, last)
	case sdk.ToString(b.BlockToken) == "":
		return n, s.strange("block %d has no token", n)
	}
	return n, nil
}

// tokens are the tokens of the newest parts of the list, within tokenBytes. It
// is safe for concurrent use.
type tokens struct {
	mu    sync.Mutex
	parts map[int64]*part
	order *list.List // of part numbers, the newest in front
	bytes int64
	full  bool // the first listing had more than fits
}

// part holds the tokens of partBlocks blocks.
type part struct {
	number  int64
	tokens  map[int64]string
	bytes   int64
	expires time.Time
	at      *list.Element
	loaded  chan struct{} // closed when tokens and err stand
	err     error
}

// seed keeps a token of the first listing, as long as there is room.
func (t *tokens) seed(n int64, token string, expires *time.Time) {
	p := t.parts[n/partBlocks]
	if p == nil {
		if t.full = t.full || t.bytes >= tokenBytes; t.full {
			return
		}
		p = &part{number: n / partBlocks, tokens: map[int64]string{}, loaded: make(chan struct{})}
		close(p.loaded)
		p.at = t.order.PushBack(p)
		t.parts[p.number] = p
	}
	if expires != nil {
		p.expires = *expires
	}
	p.add(n, token)
	t.bytes += tokenCost(token)
}

func (p *part) add(n int64, token string) {
	p.tokens[n] = token
	p.bytes += tokenCost(token)
}

func tokenCost(token string) int64 { return int64(len(token)) + 48 }

// forget drops the part of block n, so that it is listed again.
func (t *tokens) forget(n int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if p := t.parts[n/partBlocks]; p != nil && p.isLoaded() {
		t.drop(p)
	}
}

func (p *part) isLoaded() bool {
	select {
	case <-p.loaded:
		return true
	default:
		return false
	}
}

func (t *tokens) drop(p *part) {
	if t.parts[p.number] == p {
		delete(t.parts, p.number)
		t.order.Remove(p.at)
		t.bytes -= p.bytes
	}
}

// token gives the token of block n, listing its part where that is needed.
func (s *Snapshot) token(ctx context.Context, n int64) (string, error) {
	t := s.tokens
	t.mu.Lock()
	p := t.parts[n/partBlocks]
	if p != nil && p.isLoaded() && !p.expires.IsZero() && s.account.now().Add(time.Minute).After(p.expires) {
		t.drop(p)
		p = nil
	}
	mine := p == nil
	if mine {
		p = &part{number: n / partBlocks, tokens: map[int64]string{}, loaded: make(chan struct{})}
		p.at = t.order.PushFront(p)
		t.parts[p.number] = p
	} else {
		t.order.MoveToFront(p.at)
	}
	t.mu.Unlock()
	if mine {
		p.err = s.relist(s.ctx, p)
		t.settle(p)
	}
	select {
	case <-p.loaded:
	case <-ctx.Done():
		return "", ctx.Err()
	}
	if p.err != nil {
		return "", p.err
	}
	return p.tokens[n], nil
}

// settle keeps a part that was listed, and drops the oldest for it.
func (t *tokens) settle(p *part) {
	t.mu.Lock()
	defer t.mu.Unlock()
	close(p.loaded)
	t.bytes += p.bytes
	if p.err != nil {
		t.drop(p)
		return
	}
	for e := t.order.Back(); e != nil && t.bytes > tokenBytes; {
		old := e.Value.(*part) //nolint:forcetypeassert // nothing else is in it
		e = e.Prev()
		if old != p && old.isLoaded() {
			t.drop(old)
		}
	}
}

// relist lists a part again. A snapshot does not change: it must name the same
// blocks as at first.
func (s *Snapshot) relist(ctx context.Context, p *part) error {
	lo, hi := p.number*partBlocks, min(s.listed.Len(), (p.number+1)*partBlocks)
	last := lo - 1
	err := s.pages(ctx, s.listed.Next(lo, true), func(out *ebs.ListSnapshotBlocksOutput) (bool, error) {
		if err := s.sizes(out); err != nil {
			return false, err
		}
		if out.ExpiryTime != nil {
			p.expires = *out.ExpiryTime
		}
		for i := range out.Blocks {
			n, err := s.index(out.Blocks[i], last)
			if err != nil || n >= hi {
				return false, err
			}
			if !s.listed.Has(n) {
				return false, s.strange("block %d is listed now and was not before", n)
			}
			last = n
			p.add(n, sdk.ToString(out.Blocks[i].BlockToken))
		}
		return true, nil
	})
	if err == nil && len(p.tokens) != s.listed.Between(lo, hi) {
		err = s.strange("of blocks %d to %d there are %d now and were %d before", lo, hi-1, len(p.tokens), s.listed.Between(lo, hi))
	}
	return err
}
