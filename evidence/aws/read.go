package aws

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"sync"

	"snapcase/evidence"
	"snapcase/imaging"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ebs"
	"github.com/aws/aws-sdk-go-v2/service/ebs/types"
)

const (
	workers    = 64
	cacheBytes = 128 << 20
	ahead      = 16 // blocks that are fetched ahead of a sequential reader
)

// ReadAt reads the volume. The blocks of a long read are fetched at once, whole
// ones straight into p, the others through a cache. Where a block is lost the
// error is an *imaging.RangeError of it, and n counts what lies before. Somebody
// waits for what it reads: its requests go before those of ReadBlock.
func (s *Snapshot) ReadAt(p []byte, off int64) (n int, err error) {
	if off < 0 {
		return 0, fmt.Errorf("read %s: negative offset %d", s.ID, off)
	}
	if off >= s.size {
		return 0, io.EOF
	}
	if int64(len(p)) > s.size-off {
		p, err = p[:s.size-off], io.EOF
	}
	pieces := s.cut(p, off)
	if len(pieces) == 1 {
		pieces[0].err = s.readPiece(pieces[0])
	} else {
		var all sync.WaitGroup
		limit := make(chan struct{}, workers)
		for _, c := range pieces {
			limit <- struct{}{}
			all.Go(func() {
				c.err = s.readPiece(c)
				<-limit
			})
		}
		all.Wait()
	}
	for _, c := range pieces {
		if c.err != nil {
			return n, c.err
		}
		n += len(c.p)
	}
	return n, err
}

// piece is the part of a read that lies in one block.
type piece struct {
	p     []byte
	block int64
	from  int64 // in the block
	err   error
	sum   *evidence.Digest // of p, where it was made
	bulk  bool             // nobody waits for it
}

func (s *Snapshot) cut(p []byte, off int64) []*piece {
	var all []*piece
	for len(p) > 0 {
		c := &piece{block: off / s.block, from: off % s.block}
		c.p = p[:min(int64(len(p)), s.block-c.from)]
		p, off = p[len(c.p):], off+int64(len(c.p))
		all = append(all, c)
	}
	return all
}

func (s *Snapshot) readPiece(c *piece) error {
	if !s.listed.Has(c.block) {
		clear(c.p)
		return s.ctx.Err()
	}
	if c.from == 0 && int64(len(c.p)) == s.length(c.block) {
		if b := s.cache.peek(c.block); b != nil {
			copy(c.p, b)
			return nil
		}
		return s.fetch(c.p, c.block, &c.sum, !c.bulk)
	}
	b, missed, err := s.cache.get(c.block, s.fetched)
	if err != nil {
		return err
	}
	if missed && s.cache.peek(c.block-1) != nil {
		s.readAhead(c.block)
	}
	copy(c.p, b[c.from:])
	return nil
}

// readAhead fetches blocks behind n for a reader that goes on.
func (s *Snapshot) readAhead(n int64) {
	for i, k := s.listed.Next(n+1, true), 0; i <= n+ahead && i < s.listed.Len() && k < ahead; i, k = s.listed.Next(i+1, true), k+1 {
		go s.cache.get(i, s.fetched) //nolint:errcheck // a guess: who needs the block gets the error
	}
}

// length is that of block n in bytes: the volume's last may be shorter.
func (s *Snapshot) length(n int64) int64 { return min(s.block, s.size-n*s.block) }

func (s *Snapshot) fetched(n int64) ([]byte, error) {
	b := make([]byte, s.length(n))
	return b, s.fetch(b, n, nil, true)
}

// ReadBlock is ReadAt, with the SHA-256 of p where p is one block and its digest
// was just compared with the service's; else sum is nil. It is for who reads the
// whole volume: its requests let those of ReadAt go first.
func (s *Snapshot) ReadBlock(p []byte, off int64) (n int, sum *evidence.Digest, err error) {
	if off < 0 || off%s.block != 0 || off >= s.size || int64(len(p)) != s.length(off/s.block) {
		n, err = s.ReadAt(p, off)
		return n, nil, err
	}
	c := &piece{p: p, block: off / s.block, bulk: true}
	if err := s.readPiece(c); err != nil {
		return 0, nil, err
	}
	return len(p), c.sum, nil
}

// fetch reads block n into p, which has its length; sum, where it is not nil,
// is set to its digest.
func (s *Snapshot) fetch(p []byte, n int64, sum **evidence.Digest, urgent bool) error {
	slots := s.slots
	if urgent {
		slots = s.urgent
	}
	select {
	case slots <- struct{}{}:
		defer func() { <-slots }()
	case <-s.ctx.Done():
		return s.ctx.Err()
	}
	before := s.good.Load()
	t := attempt{Account: s.account, bucket: s.bucket, urgent: urgent, retried: &s.retried, stale: func() { s.tokens.forget(n) }}
	tried, v, err := t.do(s.ctx, func(ctx context.Context) error { return s.once(ctx, p, n, sum) })
	if err == nil {
		s.good.Add(1)
		return nil
	}
	if done(s.ctx, err) {
		return s.ctx.Err()
	}
	if errors.Is(err, imaging.ErrGone) {
		s.failed.CompareAndSwap(nil, &err)
		return err
	}
	// It is this block's own fault only if others could be had meanwhile.
	if v == hopeless || v != lost && s.good.Load() == before {
		err = s.stopped(n, err)
		s.failed.CompareAndSwap(nil, &err)
		return err
	}
	return &imaging.RangeError{Offset: n * s.block, Length: s.length(n), Tries: tried, Err: plain(err)}
}

// stopped explains why reading ends at block n.
func (s *Snapshot) stopped(n int64, err error) error {
	err = s.account.explain(fmt.Sprintf("read block %d of %s", n, s.ID), err)
	if r := refused(err); r.reason == string(types.AccessDeniedExceptionReasonDependencyAccessDenied) && s.origin.KMSKey != "" {
		return evidence.WithHint(err, "the snapshot is encrypted with %s: ask for kms:Decrypt and kms:DescribeKey on it, or copy the snapshot to a key of your own; then run the same command again: it resumes", s.origin.KMSKey)
	}
	return err
}

// plain is err in few words, for the list of read errors.
func plain(err error) error {
	if r := refused(err); r.code != "" {
		return fmt.Errorf("%s%s: %s", r.code, dotted(r.reason), r.message)
	}
	return err
}

// once is one attempt at block n. What it leaves in p on an error is not to be
// used.
func (s *Snapshot) once(ctx context.Context, p []byte, n int64, keep **evidence.Digest) error {
	token, err := s.token(ctx, n)
	if err != nil {
		return err
	}
	s.reads.Add(1)
	out, err := s.client.GetSnapshotBlock(ctx, &ebs.GetSnapshotBlockInput{SnapshotId: &s.ID, BlockIndex: sdk.Int32(int32(n)), BlockToken: &token}) //nolint:gosec // below mostBlocks
	if err != nil {
		return err
	}
	defer out.BlockData.Close() //nolint:errcheck // read to its end or given up
	if out.ChecksumAlgorithm != types.ChecksumAlgorithmChecksumAlgorithmSha256 {
		return fmt.Errorf("%w: its algorithm is %q", errBody, out.ChecksumAlgorithm)
	}
	if got := int64(sdk.ToInt32(out.DataLength)); got != int64(len(p)) {
		return fmt.Errorf("%w: its length is said to be %d and must be %d", errBody, got, len(p))
	}
	if k, err := io.ReadFull(out.BlockData, p); err != nil {
		return fmt.Errorf("%w: %d of %d bytes came: %w", errBody, k, len(p), err)
	}
	if k, _ := io.ReadFull(out.BlockData, make([]byte, 1)); k != 0 {
		return fmt.Errorf("%w: more than %d bytes came", errBody, len(p))
	}
	sum := evidence.Digest(sha256.Sum256(p))
	if base64.StdEncoding.EncodeToString(sum[:]) != sdk.ToString(out.Checksum) {
		return errBody
	}
	if keep != nil {
		*keep = &sum
	}
	return nil
}
