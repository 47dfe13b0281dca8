package acquire

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"snapcase/evidence"
	"snapcase/evidence/credential"
	"snapcase/imaging"

	"golang.org/x/sys/unix"
)

const (
	manifestName   = "manifest-sha256.txt"
	blocksName     = "blocks-sha256.txt"
	hitsName       = "hits.jsonl"
	readErrorsName = "read-errors.jsonl"
	namesName      = "names.jsonl"
	skippedName    = "skipped.jsonl"
	sealName       = "acquisition.json"
	filesName      = "files"
)

// acquire reads the source, seals the exhibit and says so in the ledger.
func (x *exhibit) acquire(ctx context.Context) (evidence.Acquisition, error) {
	var a evidence.Acquisition
	if err := x.recordStart(ctx); err != nil {
		return a, err
	}
	var err error
	if x.head.Kind.Image() {
		a, err = x.acquireImage(ctx)
	} else {
		a, err = x.acquireFiles(ctx)
	}
	if err != nil {
		return a, diskFull(err)
	}
	// From here on everything is on disk: a cancellation comes too late.
	ctx = context.WithoutCancel(ctx)
	err = x.writeNew(sealName, func(w io.Writer) error {
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		return e.Encode(&a)
	})
	if err != nil {
		return a, diskFull(err)
	}
	if err := x.finish(ctx, &a); err != nil {
		return a, err
	}
	return a, x.release()
}

func (x *exhibit) acquireImage(ctx context.Context) (evidence.Acquisition, error) {
	var a evidence.Acquisition
	m, err := x.image(ctx)
	if err != nil {
		return a, err
	}
	m.errors = append(m.errors, x.changed()...)
	method := "one read in blocks of 4 MiB, SHA-256, runs of zeros as holes"
	if m.packed != nil {
		method = "one read in blocks of 4 MiB, SHA-256, packed with zstd in frames of 1 MiB"
	}
	if x.Remote != nil {
		method = x.Remote.method()
	}
	if c := x.head.Container; c != nil {
		what, errs := compareStored(c, m.hashes)
		method, m.errors = method+"; "+what, append(m.errors, errs...)
	}
	a = x.acquisition(method, m.errors)
	a.Container, a.Packed = x.head.Container, m.packed
	a.Bytes, a.SHA256, a.Hashes, a.Files = x.head.Identity.Size, m.sha256, m.hashes, 1
	a.DataBytes, a.HoleBytes, a.ResumedFrom = m.data, m.holes, m.resumedFrom
	part := x.selection()
	if part != nil {
		a.NotAcquired = part.notAcquired()
		a.HoleBytes -= a.NotAcquired
	}
	linear := sha256.New()
	err = x.writeNew(blocksName, func(w io.Writer) error { return x.writeBlocks(w, linear) })
	if x.Remote != nil && len(m.errors) == 0 && part == nil { // else it would be that of no snapshot
		a.Origin.LinearSHA256 = evidence.Digest(linear.Sum(nil)).String()
	}
	if part != nil && err == nil {
		err = x.writeMap(ctx, part, m.errors)
	}
	return a, errors.Join(err,
		x.writeNew(hitsName, func(w io.Writer) error { return credential.WriteHits(w, m.hits, m.omitted) }),
		x.writeReadErrors(m.errors),
		x.writeNew(manifestName, func(w io.Writer) error {
			_, err := fmt.Fprintf(w, "%s  %s\n", m.sha256, imageName)
			if err == nil && m.packed != nil {
				_, err = fmt.Fprintf(w, "%s  %s\n", m.packed.SHA256, packedName)
			}
			return err
		}))
}

// selection is what was chosen of the source; nil where all of it is acquired.
func (x *exhibit) selection() *selection {
	if x.Remote == nil {
		return nil
	}
	return x.Remote.selected
}

// acquisition is what all kinds have in common.
func (x *exhibit) acquisition(method string, errs []errorLine) evidence.Acquisition {
	if x.head.Detected != "" {
		method += "; kind detected: " + x.head.Detected
	}
	a := evidence.Acquisition{
		Exhibit: x.id, Kind: x.head.Kind, Label: x.head.Label, Source: x.head.Source, API: x.head.Identity.API,
		Started: x.head.Started, Ended: imaging.TimeOf(x.Now()), Method: method, ReadErrors: []evidence.ReadError{}, Origin: x.origin(),
	}
	for _, e := range errs {
		a.ReadErrors = append(a.ReadErrors, e.ReadError)
	}
	return a
}

// changed says whether the source was written to while it was read.
func (x *exhibit) changed() []errorLine {
	if x.Remote != nil {
		return nil // a snapshot never changes
	}
	is, _, err := identify(x.Source)
	if err == nil && x.head.Identity.API == apiContainer && is.API == apiFile {
		is.API, is.Packed, is.Size = apiContainer, is.Size, x.head.Identity.Size
	}
	if err == nil {
		err = sameSource(x.head.Identity, is)
	}
	if err == nil {
		return nil
	}
	return []errorLine{{ReadError: evidence.ReadError{Error: "changed while it was read: " + strings.ToValidUTF8(err.Error(), "\ufffd")}}}
}

// writeBlocks writes the list of blocks from the journal. linear gets the binary
// digests of those that the source had bytes for.
func (x *exhibit) writeBlocks(w io.Writer, linear io.Writer) error {
	k, err := x.keptBlocks(x.head.Identity.Size, x.pace().block, x.head.Part)
	if err != nil {
		return err
	}
	defer k.stop()
	return k.all(func(off, length int64, sum evidence.Digest, stored bool) error {
		if stored {
			if _, err := linear.Write(sum[:]); err != nil {
				return err
			}
		}
		_, err := fmt.Fprintf(w, "%s  %d %d\n", sum, off, length)
		return err
	})
}

func (x *exhibit) writeReadErrors(errs []errorLine) error {
	if len(errs) == 0 {
		return nil
	}
	return x.writeNew(readErrorsName, func(w io.Writer) error { return writeLines(w, errs) })
}

func writeLines[T any](w io.Writer, all []T) error {
	e := json.NewEncoder(w)
	for i := range all {
		if err := e.Encode(&all[i]); err != nil {
			return err
		}
	}
	return nil
}

// writeNew writes a file of the exhibit so that it is there whole, durable and
// read-only, or not at all.
func (x *exhibit) writeNew(name string, write func(io.Writer) error) error {
	tmp := x.path("." + name + ".tmp")
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return err
	}
	w := bufio.NewWriterSize(f, 64<<10)
	err = errors.Join(write(w), w.Flush(), f.Chmod(0o444), f.Sync(), f.Close())
	if err == nil {
		err = errors.Join(os.Rename(tmp, x.path(name)), syncFolder(x.dir()))
	}
	if err != nil {
		os.Remove(tmp) //nolint:errcheck,gosec // it is written anew next time
		return fmt.Errorf("write %s: %w", name, err)
	}
	return nil
}

// finish brings the end of a sealed exhibit into the ledger, once.
func (x *exhibit) finish(ctx context.Context, a *evidence.Acquisition) error {
	if err := dropStock(x); err != nil {
		return err
	}
	ended, err := ledgerHasEnd(x.Folder, x.id)
	if err != nil || ended {
		return err
	}
	return x.recordEnd(ctx, a)
}

// release removes the journal, unless the caller does so with Done.
func (x *exhibit) release() error {
	if x.Hold {
		return nil
	}
	if err := os.Remove(x.path(journalName)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return syncFolder(x.dir())
}

// Done removes the journal of a sealed exhibit whose end the ledger has: the
// same source is a new exhibit from then on. Called again, it does nothing.
func Done(f evidence.Folder, id string) error {
	ended, err := ledgerHasEnd(f, id)
	if err != nil {
		return err
	}
	if !ended {
		return fmt.Errorf("%s has no end in the ledger yet", id)
	}
	return (&exhibit{Job: &Job{Folder: f}, id: id}).release()
}

// ledgerHasEnd says whether the ledger tells the end of an exhibit's
// acquisition. What is wrong with the ledger is for package custody to say.
func ledgerHasEnd(f evidence.Folder, id string) (bool, error) {
	l, err := os.Open(f.Ledger())
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer l.Close() //nolint:errcheck // read-only
	r := bufio.NewReaderSize(l, 1<<20)
	for {
		text, err := r.ReadSlice('\n')
		var e struct{ Type, Exhibit string }
		if json.Unmarshal(text, &e) == nil && e.Type == "evidence.acquire.end" && e.Exhibit == id {
			return true, nil
		}
		if errors.Is(err, io.EOF) {
			return false, nil
		}
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return false, err
		}
	}
}

// Recover ends the acquisitions that a crash left sealed but without their
// record in the ledger: it checks each against its own digests and appends the
// record. It leaves alone what is unfinished or under way.
func Recover(ctx context.Context, f evidence.Folder, l Ledger) error {
	if _, err := os.Stat(f.Exhibits()); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	unlock, err := lockFolder(f.Exhibits())
	if err != nil {
		return err
	}
	defer unlock()
	ids, err := exhibitIDs(f)
	if err != nil {
		return err
	}
	for _, id := range ids {
		if err := recoverOne(ctx, f, l, id); err != nil {
			return fmt.Errorf("recover %s: %w", id, err)
		}
	}
	return nil
}

func recoverOne(ctx context.Context, f evidence.Folder, l Ledger, id string) error {
	x := &exhibit{Job: &Job{Folder: f, Ledger: l}, id: id}
	if _, err := os.Lstat(x.path(journalName)); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	a, err := readAcquisition(f, id)
	if err != nil || a == nil {
		return err
	}
	if x.log, err = openJournal(x.path(journalName)); errors.Is(err, errBusy) {
		return nil
	} else if err != nil {
		return err
	}
	defer x.close()
	return x.settle(ctx, a)
}

// settle checks a sealed exhibit whose end the ledger does not have against its
// digests, then finishes it.
func (x *exhibit) settle(ctx context.Context, a *evidence.Acquisition) error {
	if ended, err := ledgerHasEnd(x.Folder, x.id); err != nil || ended {
		return err
	}
	sum, err := x.sealedDigest(a)
	if err != nil {
		return err
	}
	if sum != a.SHA256 {
		return evidence.WithHint(fmt.Errorf("%s was sealed with SHA-256 %s and now has %s: %w", x.id, a.SHA256, sum, evidence.ErrBroken), "something changed it before the ledger had its end; acquire the source again under another --label")
	}
	return x.recordEnd(ctx, a)
}

func (x *exhibit) sealedDigest(a *evidence.Acquisition) (evidence.Digest, error) {
	switch {
	case a.Kind.Image() && a.Packed != nil:
		return x.packedDigest(a)
	case a.Kind.Image():
		return fileDigest(x.path(imageName))
	}
	m, err := readManifest(x.path(manifestName))
	if err != nil {
		return evidence.Digest{}, err
	}
	for _, f := range m {
		sum, err := fileDigest(x.path(filesName + "/" + f.path))
		if err != nil {
			return sum, err
		}
		if sum != f.sum {
			return evidence.Digest{}, fmt.Errorf("%s: %w", f.path, evidence.ErrBroken)
		}
	}
	return fileDigest(x.path(manifestName))
}

// Check reads a sealed exhibit again and compares it with the digests it was
// sealed with: every file and the manifest of a folder, all of an image. What
// does not hold is evidence.ErrBroken, with the file's name.
func Check(f evidence.Folder, a evidence.Acquisition) error {
	x := &exhibit{Job: &Job{Folder: f}, id: a.Exhibit}
	sum, err := x.sealedDigest(&a)
	if err == nil && sum != a.SHA256 {
		err = fmt.Errorf("it has SHA-256 %s and was sealed with %s: %w", sum, a.SHA256, evidence.ErrBroken)
	}
	if err != nil {
		return evidence.WithHint(fmt.Errorf("%s is not what was sealed: %w", a.Exhibit, err), "run snapcase verify: it names every change; nothing of this exhibit was indexed")
	}
	return nil
}

func fileDigest(path string) (evidence.Digest, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return evidence.Digest{}, err
	}
	defer f.Close() //nolint:errcheck // read-only
	h := sha256.New()
	_, err = io.Copy(h, f)
	return evidence.Digest(h.Sum(nil)), err
}

func decimal(n int64) string { return strconv.FormatInt(n, 10) }
