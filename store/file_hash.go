package store

import (
	"cmp"
	"context"
	"crypto/md5"  //nolint:gosec // what lists of known files hold
	"crypto/sha1" //nolint:gosec // as MD5
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

	"snapcase/evidence"
	"snapcase/evidence/hashset"
	"snapcase/imaging"
	"snapcase/imaging/disk"
	"snapcase/imaging/filesystem"
)

// hashedAtMost bounds the content that is read for a digest: a sparse file can
// say that it is larger than any disk. Up to the size of the volume everything
// is read.
const hashedAtMost = 1 << 40

// hashJob is one content that has to be read, and the rows that it is of.
type hashJob struct {
	volume *disk.Volume
	ref    filesystem.Ref
	size   int64
	at     int64 // where it begins in the image
	needs  [len(hashset.Algorithms)]bool
	rows   []int
	sums   contentSums
}

// hashEntries reads the content of the regular files among rows of which h
// has no digests. It is read in the order in which it lies on the disk, by
// every CPU; names of the same file are read once.
func (c *Case) hashEntries(ctx context.Context, h *hasher, rows []entryRow) error {
	type key struct {
		exhibit, volume string
		ref             filesystem.Ref
	}
	jobs := map[key]*hashJob{}
	var all []*hashJob
	for i := range rows {
		r := &rows[i]
		if r.kind != filesystem.TypeFile || h.recent[r.id] != nil {
			continue
		}
		k := key{r.Exhibit, r.Volume, r.ref()}
		if j := jobs[k]; j != nil {
			j.rows = append(j.rows, i)
			continue
		}
		v, err := c.volume(ctx, r.Exhibit, r.Volume)
		if err != nil {
			return err
		}
		j := &hashJob{volume: v, ref: k.ref, size: r.Size, at: v.Start + max(0, r.first), needs: h.sets.needs, rows: []int{i}}
		jobs[k] = j
		all = append(all, j)
	}
	slices.SortStableFunc(all, func(a, b *hashJob) int { return cmp.Compare(a.at, b.at) })
	if err := runJobs(ctx, all); err != nil {
		return err
	}
	for _, j := range all {
		if err := c.broken(rows[j.rows[0]].Exhibit); err != nil {
			return err // a reader took it for damage
		}
		for _, i := range j.rows {
			h.learned(&rows[i], &j.sums)
		}
	}
	return nil
}

// damaged adds to what is known to be wrong with an entry.
func (r *entryRow) damaged(more string) {
	if more == "" {
		return
	}
	text := more
	if r.Damage != nil {
		text = alsoDamaged(*r.Damage, more)
	}
	r.Damage = &text
}

func runJobs(ctx context.Context, all []*hashJob) error {
	var next atomic.Int64
	var wg sync.WaitGroup
	errs := make([]error, max(1, min(runtime.GOMAXPROCS(0), len(all))))
	for w := range errs {
		wg.Go(func() {
			buf := make([]byte, 1<<20)
			for errs[w] == nil {
				i := next.Add(1) - 1
				if i >= int64(len(all)) {
					return
				}
				errs[w] = all[i].run(ctx, buf)
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// run reads the content. Only cancelling is an error.
func (j *hashJob) run(ctx context.Context, buf []byte) error {
	out := &j.sums
	src, err := j.volume.FS.Open(j.ref)
	if err != nil {
		out.damage = "partial: the content could not be opened: " + err.Error()
		return ctx.Err()
	}
	out.damage = damageOf(src)
	if n := src.Size(); n > hashedAtMost && n > j.volume.Size {
		out.damage = alsoDamaged(out.damage, fmt.Sprintf("partial: %d bytes were not read for a digest", n))
		return nil
	}
	sha, hashes := sha256.New(), []io.Writer{}
	hashes = append(hashes, sha)
	var weak [2]hash.Hash // MD5, SHA-1
	if j.needs[hashset.MD5] {
		weak[0] = md5.New() //nolint:gosec // what the lists hold
		hashes = append(hashes, weak[0])
	}
	if j.needs[hashset.SHA1] {
		weak[1] = sha1.New() //nolint:gosec // what the lists hold
		hashes = append(hashes, weak[1])
	}
	n, err := io.CopyBuffer(io.MultiWriter(hashes...), ctxReader{ctx, io.NewSectionReader(src, 0, src.Size())}, buf)
	switch {
	case evidence.Canceled(err) || ctx.Err() != nil:
		return errors.Join(ctx.Err(), err)
	case err != nil:
		out.damage = alsoDamaged(out.damage, fmt.Sprintf("partial: the content could be read up to byte %d: %v", n, err))
		return nil
	case n != src.Size():
		out.damage = alsoDamaged(out.damage, fmt.Sprintf("partial: the content ends at byte %d of %d", n, src.Size()))
	}
	out.damage = alsoDamaged(out.damage, damageOf(src))
	out.sha256 = sha.Sum(nil)
	if weak[0] != nil {
		out.md5 = weak[0].Sum(nil)
	}
	if weak[1] != nil {
		out.sha1 = weak[1].Sum(nil)
	}
	return nil
}

// damageOf is what the reader of a content says is wrong with it.
func damageOf(src imaging.Source) string {
	if d, ok := src.(interface{ Damage() string }); ok {
		return d.Damage()
	}
	return ""
}
