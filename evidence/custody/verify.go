package custody

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"snapcase/evidence"
)

// VerifyOptions say against what a case or bundle is checked.
type VerifyOptions struct {
	// Signers is an OpenSSH allowed_signers file of the keys that whoever
	// verifies trusts; FILE.krl beside it revokes. "" trusts nobody.
	Signers string
	// ExpectHead is a checkpoint file, a file with a head in hex, or the head
	// itself; it must be an ancestor of the ledger. "" asks nothing.
	ExpectHead string
	Strict     bool // a warning counts as a gap
	// Stale says why index.db does not fit the exhibits, "" where it does or
	// there is none: what is derived is checked by whoever derives it.
	Stale    string
	Now      func() time.Time
	Progress evidence.Progress
}

// Verify checks a case folder: the ledger, its checkpoints and signatures, and
// every file of every exhibit against the ledger. It stops at no failure and
// writes nothing. The error is for what is no verdict: no such folder, a
// signers file that cannot be read, cancelling.
func Verify(ctx context.Context, folder evidence.Folder, o VerifyOptions) (Report, error) {
	c, err := NewChecker(o, false)
	if err != nil {
		return Report{}, fmt.Errorf("verify %s: %w", folder, err)
	}
	if fi, err := os.Stat(string(folder)); err != nil {
		return Report{}, fmt.Errorf("verify: %w", err)
	} else if !fi.IsDir() {
		return Report{}, fmt.Errorf("verify %s: it is no folder", folder)
	}
	w := walker{ctx: ctx, c: c, root: string(folder)}
	for _, step := range []func() error{
		func() error { return w.file("case.json") },
		func() error { return w.tree("checkpoints", nil) },
		func() error { return w.file("ledger.jsonl") },
		func() error { return w.tree("torn", nil) },
		w.measure,
		func() error { return w.tree("exhibits", c.sealed) },
	} {
		if err := step(); err != nil {
			return Report{}, fmt.Errorf("verify %s: %w", folder, err)
		}
	}
	return c.Finish(), nil
}

// walker feeds the files of a case folder to a checker, by the bytes of their
// paths.
type walker struct {
	ctx  context.Context
	c    *Checker
	root string
}

// file adds one file; one that is missing is left to Finish.
func (w *walker) file(name string) error {
	if err := w.ctx.Err(); err != nil {
		return err
	}
	f, err := os.OpenFile(filepath.Join(w.root, filepath.FromSlash(name)), os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if errors.Is(err, syscall.ELOOP) {
		w.c.fail(codeFileNotRegular, name, "a file", "a link")
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // read-only
	fi, err := f.Stat()
	if err != nil {
		return err
	}
	if !fi.Mode().IsRegular() {
		w.c.fail(codeFileNotRegular, name, "a file", fi.Mode().Type().String())
		return nil
	}
	r, err := NewSparseReader(f)
	if err != nil {
		return err
	}
	_, _, err = w.c.Add(w.ctx, name, r)
	var bad *ReadFailure
	if errors.As(err, &bad) { // a broken disk is a verdict on the file
		w.c.failAt(codeFileHash, name, "readable content", bad.Error(), bad.Offset)
		w.c.markBad(name)
		return nil
	}
	return err
}

// tree adds all files below a folder. enter says which exhibits to go into.
func (w *walker) tree(name string, enter func(exhibit string) bool) error {
	entries, err := os.ReadDir(filepath.Join(w.root, filepath.FromSlash(name)))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	slices.SortFunc(entries, func(a, b os.DirEntry) int { return strings.Compare(sortKey(a), sortKey(b)) })
	for _, e := range entries {
		p := path.Join(name, e.Name())
		switch {
		case e.IsDir() && name == "exhibits":
			w.c.sawExhibit(e.Name())
			if enter(e.Name()) {
				err = w.tree(p, enter)
			} else if _, serr := os.Lstat(filepath.Join(w.root, filepath.FromSlash(p), "acquisition.json")); serr == nil {
				w.c.finished[e.Name()] = true
			}
		case e.IsDir():
			err = w.tree(p, enter)
		case e.Type().IsRegular():
			err = w.file(p)
		default:
			w.c.fail(codeFileNotRegular, p, "a file", e.Type().String())
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func sortKey(e os.DirEntry) string {
	if e.IsDir() {
		return e.Name() + "/"
	}
	return e.Name()
}

// measure sums up what there is to hash, for the progress.
func (w *walker) measure() error {
	if w.c.o.Progress == nil {
		return nil
	}
	return filepath.WalkDir(filepath.Join(w.root, "exhibits"), func(p string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return nil //nolint:nilerr // the walk that reads reports it
		}
		if fi, err := d.Info(); err == nil {
			w.c.total += fi.Size()
		}
		return w.ctx.Err()
	})
}

// ReadFailure is content that could not be read while it was hashed.
type ReadFailure struct {
	Offset int64 // bytes that could be read
	err    error
}

func (e *ReadFailure) Error() string { return fmt.Sprintf("read at byte %d: %v", e.Offset, e.err) }
func (e *ReadFailure) Unwrap() error { return e.err }

// counted reads with the context and the progress of a check.
type counted struct {
	ctx  context.Context
	c    *Checker
	r    io.Reader
	n    int64
	what string
}

func (r *counted) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := r.r.Read(p)
	r.n += int64(n)
	r.c.done += int64(n)
	if r.c.o.Progress != nil {
		r.c.o.Progress.Report(evidence.Step{What: r.what, Done: r.c.done, Total: r.c.total, Unit: "B"})
	}
	if err != nil && !errors.Is(err, io.EOF) && !evidence.Canceled(err) {
		err = &ReadFailure{r.n, err}
	}
	return n, err
}
