// Package acquire brings evidence into a case, once: one read of the source
// feeds the hashes, the credential scanner and the sealed copy, and the custody
// ledger says what was done.
//
// # What it makes
//
// For a disk, a memory image or a block device, in exhibits/EX-NNN/:
//
//	image.raw            the bytes; runs of zeros of 64 KiB and more are holes
//	image.raw.zst        in its stead with Job.Format zst: the same bytes in the
//	                     seekable zstd format, which "zstd -d" unpacks
//	blocks-sha256.txt    "<sha256>  <offset> <length>" per block of 64 KiB; of
//	                     an image of more than 8 GiB per block that is twice as
//	                     long for each doubling, up to 4 MiB; of a packed copy
//	                     4 MiB
//	hits.jsonl           access key ids and where they lie (package credential)
//	read-errors.jsonl    every unreadable range, where there are more than 100
//	manifest-sha256.txt  of image.raw, in the format of sha256sum, and of
//	                     image.raw.zst where there is one
//	acquisition.json     evidence.Acquisition; its presence says "sealed"
//
// For what lies in a bucket, objects.jsonl tells of each object what the service
// told, its own metadata with it, and why it was not copied where it was not.
//
// For anything else, files/ with the files, hits.jsonl for kinds that no reader
// of logs looks through, names.jsonl where a name could not be kept as it is,
// skipped.jsonl where something was not copied, and manifest-sha256.txt over
// files/, with paths below it. All of it is 0444.
//
// # Damage
//
// A read that fails is tried again, then narrowed to sectors; what stays
// unreadable is zeros in the image, and a range in read_errors with its errno.
// It is never counted as data. A folder's file that cannot be opened is a read
// error with the file's name. Symbolic links, devices, pipes and sockets in a
// folder are never followed or opened; skipped.jsonl names them. The result is
// then "partial", and Run returns evidence.ErrGaps beside the Acquisition.
//
// # Interruption
//
// EX-NNN/.acquiring is a journal: what the source is, and after each fsync of
// the copy what is now on disk, with its digests. Run with the same source and
// label finds the journal, reads back what is there (a block that does not have
// its digest is read from the source again), and goes on; the digests of the
// whole come out as if nothing had happened. The journal is locked while it is
// in use. Recover writes the end of the acquisition into the ledger where a crash
// came between the sealing and it. The journal goes when the caller is done with
// the exhibit: until then Run with the same source, unchanged, gives the sealed
// exhibit again and reads nothing.
//
// # Snapshots
//
// A Job with a Remote reads a service that gives blocks on request (package aws
// makes it). Its blocks take the place of those of 4 MiB; many are asked for at
// once, come in any order, and are written and told to the journal as they come;
// only the hash of the whole takes them in order. What the service says was never
// written is hashed as zeros, and left out of the copy, without being asked for.
//
// # Reading before the end
//
// A Job with Early gives the image to be read while it is acquired. A block that
// is asked for is fetched before what comes next in order, and kept in the stock:
// .early.tmp has the blocks that came before their turn, .early-map.tmp where each
// block of the image is and its digest, .early-list.tmp which blocks the source has
// at all. The acquisition takes what lies there instead of asking again, and when
// it is interrupted the stock stays for the same call. Other processes read the
// stock with OpenPartial, and ask at the socket .early-door.tmp for what is not
// there. A block counts only if it has its digest. The exhibit is sealed, and said to
// be acquired, as ever: when all of it is there; then the stock goes.
//
// Worked example: of a volume of 1 TiB somebody lists a directory at once; that
// takes the blocks 0, 1 and 4096. They are fetched, and noted as "early, at 0",
// "early, at 524288" and "early, at 1048576". When the acquisition comes to block
// 4096 it reads it from .early.tmp, writes it to image.part, and the map says "in
// the image".
//
// What it does not do: speak to AWS (package aws), split images into segments,
// read the image again after writing it (reread is "skipped"), or unpack.
package acquire

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"snapcase/evidence"
	"snapcase/evidence/custody"
)

// Ledger is what acquire needs of the custody ledger: Append returns once the
// record is on disk.
type Ledger interface {
	Append(ctx context.Context, r custody.Record) error
}

// Job says what to bring in.
type Job struct {
	Folder   evidence.Folder
	Source   string        // path of a file, a folder or a block device
	Kind     evidence.Kind // "" to detect it
	Label    string
	Hashes   []string // beside sha256: md5, sha1, blake3
	Raw      bool     // the bytes of the file as they are, also where it is an image container
	Format   string   // of an image's copy: raw (or "") or zst
	Ledger   Ledger
	CaseKey  []byte // key of the secrets' fingerprints
	Progress evidence.Progress
	Now      func() time.Time
	// Open opens an image source; nil for files and block devices by path.
	// Tests give one that fails.
	Open func(path string) (Input, error)
	// Remote is the source where it is none that a path names; Source is then
	// what it is called.
	Remote *Remote
	// Objects is the source where it lies in a bucket; Source is then its URL.
	Objects *Objects
	// Origin is set for a path that is a volume or objects of a cloud account.
	Origin *evidence.Origin
	// Hold leaves the journal of the sealed exhibit where it is, until Done.
	Hold bool
	// Early, where it is set, is called once with the image of a Remote that is
	// about to be acquired, to be read while Run goes on. It must return at once;
	// whoever takes the image closes it. The copy must be raw.
	Early func(*Early)
}

// Run acquires the source of j, or goes on with an acquisition of it that was
// interrupted. The error is evidence.ErrGaps (wrapped) when the exhibit is
// sealed and something could not be read. On other errors the Acquisition names
// the exhibit as far as there is one; it has no end, and the same call resumes.
func Run(ctx context.Context, j Job) (evidence.Acquisition, error) {
	a, err := run(ctx, &j)
	if err != nil {
		what := j.Source
		if a.Exhibit != "" {
			what = a.Exhibit + " from " + j.Source
		}
		return a, fmt.Errorf("acquire %s: %w", what, err)
	}
	return a, nil
}

func run(ctx context.Context, j *Job) (evidence.Acquisition, error) {
	var none evidence.Acquisition
	if err := j.check(); err != nil {
		return none, err
	}
	h, err := j.look(ctx)
	if err != nil {
		return none, err
	}
	x, err := j.claim(ctx, h)
	if err != nil {
		return none, err
	}
	defer x.close()
	if x.sealed != nil { // a crash came behind the sealing
		return *x.sealed, errors.Join(x.release(), gaps(x.sealed))
	}
	if err := ctx.Err(); err != nil {
		return evidence.Acquisition{Exhibit: x.id}, err
	}
	a, err := x.acquire(ctx)
	if err != nil {
		a = evidence.Acquisition{Exhibit: x.id, Kind: x.head.Kind, Source: j.Source}
		return a, errors.Join(x.withKept(err), x.recordError(ctx, err))
	}
	return a, gaps(&a)
}

func gaps(a *evidence.Acquisition) error {
	switch {
	case len(a.ReadErrors) > 0:
		return fmt.Errorf("%d ranges or files could not be read: %w", len(a.ReadErrors), evidence.ErrGaps)
	case a.NotAcquired > 0:
		return fmt.Errorf("%d of %d bytes were, as asked, not acquired: %w", a.NotAcquired, a.Bytes, evidence.ErrGaps)
	}
	return nil
}

func (j *Job) check() error {
	for i, h := range j.Hashes {
		j.Hashes[i] = strings.ToLower(strings.TrimSpace(h))
		if !slices.Contains(hashNames, j.Hashes[i]) {
			return evidence.WithHint(fmt.Errorf("hash %q: %w", h, evidence.ErrUsage), "hashes are %s", strings.Join(hashNames, ", "))
		}
	}
	j.Hashes = slices.DeleteFunc(slices.Clone(j.Hashes), func(h string) bool { return h == "sha256" })
	slices.Sort(j.Hashes)
	j.Hashes = slices.Compact(j.Hashes)
	if err := j.checkFormat(); err != nil {
		return err
	}
	if err := j.checkEarly(); err != nil {
		return err
	}
	if j.Ledger == nil || j.Now == nil {
		return fmt.Errorf("a ledger and a clock are needed: %w", evidence.ErrUsage)
	}
	if j.Remote != nil || j.Objects != nil {
		return nil
	}
	path, err := filepath.Abs(j.Source)
	if err != nil {
		return err
	}
	j.Source = path
	return apart(string(j.Folder), path)
}

// apart refuses a source inside the case, and a case inside the source.
func apart(folder, source string) error {
	cs, err := filepath.EvalSymlinks(folder)
	if err != nil {
		return err
	}
	if cs, err = filepath.Abs(cs); err != nil {
		return err
	}
	src, err := filepath.EvalSymlinks(source)
	if errors.Is(err, os.ErrNotExist) {
		return evidence.WithHint(err, "give a file, a folder or a block device that exists")
	} else if err != nil {
		return err
	}
	switch {
	case within(cs, src):
		return evidence.WithHint(fmt.Errorf("the source lies inside the case %s: %w", folder, evidence.ErrUsage), "evidence is brought in from outside the case folder")
	case within(src, cs):
		return evidence.WithHint(fmt.Errorf("the case %s lies inside the source: %w", folder, evidence.ErrUsage), "make the case outside the folder that is acquired")
	}
	return nil
}

// within says whether path is folder or lies below it.
func within(folder, path string) bool {
	rel, err := filepath.Rel(folder, path)
	return err == nil && rel != ".." && !strings.HasPrefix(rel, "../")
}
