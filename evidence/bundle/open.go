package bundle

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"snapcase/evidence"
	"snapcase/evidence/custody"
	"snapcase/imaging"
)

// Open makes a view of a bundle below scratch that can be opened as a case,
// read-only: case.json, ledger.jsonl, checkpoints/ and exhibits/EX-…. Of a bag
// folder the exhibits are links to the bag; of an archive they are unpacked,
// holes as holes. It does not verify: Verify does. A view that an earlier call
// completed in scratch is used again. Nothing is written outside of scratch.
func Open(ctx context.Context, bag, scratch string, p evidence.Progress) (evidence.Folder, error) {
	f, err := view(ctx, bag, scratch, p)
	if err != nil {
		return "", fmt.Errorf("open bundle %s: %w", bag, err)
	}
	return f, nil
}

func view(ctx context.Context, bag, scratch string, p evidence.Progress) (_ evidence.Folder, err error) {
	done := filepath.Join(scratch, "case")
	if _, err := os.Stat(filepath.Join(done, "case.json")); err == nil {
		return evidence.Folder(done), nil
	}
	s, err := sourceOf(bag)
	if err != nil {
		return "", err
	}
	part := filepath.Join(scratch, "case.part")
	if err := removeTree(part); err != nil { // of a call that was interrupted
		return "", err
	}
	if err := os.MkdirAll(part, 0o700); err != nil {
		return "", err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, removeTree(part))
		}
	}()
	v := &viewer{ctx: ctx, progress: p, part: part}
	if v.root, err = os.OpenRoot(part); err != nil {
		return "", err
	}
	defer v.root.Close() //nolint:errcheck // nothing is buffered
	if folder, ok := s.(folderSource); ok {
		if v.bag, err = filepath.Abs(string(folder)); err != nil {
			return "", err
		}
	}
	if err := s.each(ctx, v.file, v.refuse); err != nil {
		return "", err
	}
	if err := v.finish(); err != nil {
		return "", err
	}
	return evidence.Folder(done), os.Rename(part, done)
}

// removeTree removes a view; what was unpacked is read-only.
func removeTree(dir string) error {
	if _, err := os.Lstat(dir); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return os.RemoveAll(dir)
}

// viewer builds a view.
type viewer struct {
	ctx      context.Context
	progress evidence.Progress
	part     string
	root     *os.Root
	bag      string // absolute path of a bag folder; "" for an archive
	linked   []string
	written  int64
	refused  *finding
	isBag    bool
	haveCase bool
	ledger   bool
}

// refuse keeps the first thing that a bag may not have: such a bundle is not
// opened.
func (v *viewer) refuse(f finding) {
	if v.refused == nil {
		v.refused = &f
	}
}

func (v *viewer) file(name string, size int64, r io.Reader) error {
	if err := v.ctx.Err(); err != nil {
		return err
	}
	if name == "bagit.txt" {
		v.isBag = true
	}
	to := caseName(name)
	switch {
	case strings.HasPrefix(to, "bag:") && name != "custody/allowed_signers":
		return nil
	case name == "custody/allowed_signers":
		to = "allowed_signers"
	case name == redactedPath:
		to = "ledger.jsonl"
	case strings.HasPrefix(to, "exhibits/") && v.bag != "":
		return v.link(to)
	}
	if to == "case.json" && size > maxCaseFile {
		v.refuse(finding{"CASE_MISMATCH", name, "a case's name plate", fmt.Sprintf("%d bytes", size)})
		return nil
	}
	v.haveCase = v.haveCase || to == "case.json"
	v.ledger = v.ledger || to == "ledger.jsonl"
	return v.copy(to, size, r)
}

// link makes exhibits/EX-… a link to the exhibit's folder in the bag.
func (v *viewer) link(to string) error {
	id, _, ok := strings.Cut(strings.TrimPrefix(to, "exhibits/"), "/")
	if !ok || slices.Contains(v.linked, id) {
		return nil
	}
	v.linked = append(v.linked, id)
	if err := v.root.MkdirAll("exhibits", 0o755); err != nil {
		return err
	}
	return v.root.Symlink(filepath.Join(v.bag, "data", "exhibits", id), path.Join("exhibits", id))
}

// copy writes one file, with room left on the disk.
func (v *viewer) copy(to string, size int64, r io.Reader) error {
	if dir := path.Dir(to); dir != "." {
		if err := v.root.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	f, err := v.root.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o444)
	if err != nil {
		return err
	}
	s := &sparseFile{f: f}
	what := "open bundle: " + to
	buf := make([]byte, 1<<20)
	for err == nil {
		if err = v.ctx.Err(); err != nil {
			break
		}
		var n int
		if n, err = io.ReadFull(r, buf); n > 0 {
			if _, werr := s.Write(buf[:n]); werr != nil {
				return errors.Join(werr, f.Close())
			}
			v.written += int64(n)
			v.progress.Report(evidence.Step{What: what, Done: s.off, Total: size, Unit: "B"})
			if room := v.room(); room != nil {
				return errors.Join(room, f.Close())
			}
		}
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) && s.off == size {
		err = nil
	}
	return errors.Join(err, s.end(), f.Close())
}

// room refuses to fill the disk.
func (v *viewer) room() error {
	const keep = 256 << 20
	var s unix.Statfs_t
	if err := unix.Statfs(v.part, &s); err != nil {
		return fmt.Errorf("look at the free space of %s: %w", v.part, err)
	}
	if s.Bavail*uint64(s.Bsize) >= keep { //nolint:gosec // a block size is positive
		return nil
	}
	return evidence.WithHint(fmt.Errorf("unpack to %s: %w", v.part, unix.ENOSPC), "free some space, or set XDG_CACHE_HOME to a folder on a larger disk")
}

// finish refuses what is no bundle, and gives the view its case.json.
func (v *viewer) finish() error {
	if f := v.refused; f != nil {
		return evidence.WithHint(fmt.Errorf("%s %s: %s: %w", f.code, f.path, f.found, evidence.ErrBroken), "snapcase verify tells all that is wrong with it")
	}
	if !v.isBag || !v.ledger {
		return evidence.WithHint(errors.New("it is no snapcase bundle: no bagit.txt or no custody/ledger.jsonl"), "a bundle is what snapcase bundle writes")
	}
	for _, dir := range []string{"exhibits", "checkpoints"} {
		if err := v.root.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	if v.haveCase {
		return nil
	}
	return v.caseFile()
}

// caseFile makes case.json from the ledger's first record.
func (v *viewer) caseFile() error {
	for r, err := range custody.Records(evidence.Folder(v.part)) {
		if err != nil {
			return err
		}
		title, _ := r.Data["title"].(string) //nolint:errcheck // empty when it is not there
		c := evidence.CaseFile{Version: evidence.CaseVersion, ID: r.Case, Title: title, Examiner: r.Actor, Authority: r.Authority, Created: imaging.Time{Sec: r.Time.Sec, Set: true}}
		b, err := json.MarshalIndent(c, "", "  ")
		if err != nil {
			return err
		}
		return v.copy("case.json", int64(len(b)), strings.NewReader(string(b)))
	}
	return errors.New("its ledger is empty")
}
