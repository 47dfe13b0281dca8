package bundle

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"snapcase/evidence"
	"snapcase/evidence/custody"
)

// Result tells of a bundle that was written.
type Result struct {
	ID    string `json:"bundle"` // SHA-256 of tagmanifest-sha256.txt
	Out   string `json:"out"`
	Files int64  `json:"files"` // all of the bag
	Bytes int64  `json:"bytes"` // of all files before compression
	Gaps  int    `json:"gaps"`  // that the ledger tells of
	Head  string `json:"head"`  // of the ledger in the bundle

	RedactionOf string  `json:"redaction_of,omitempty"` // id of the whole bundle
	Withheld    []int64 `json:"withheld,omitempty"`     // records whose lines are not in it
}

const (
	manifestName    = "manifest-sha256.txt"
	tagManifestName = "tagmanifest-sha256.txt"
)

// Write packs a case, seals the bag, and records bundle.export in the case's
// ledger. Every file of an exhibit is compared with the ledger on the way; a
// case that does not hold is evidence.ErrBroken and gives no bundle. Out must
// not exist, or be an empty folder; what is there under its name is whole.
func Write(ctx context.Context, plan Plan) (Result, error) {
	r, err := write(ctx, plan)
	if err != nil {
		return r, fmt.Errorf("bundle %s: %w", plan.Folder, err)
	}
	return r, nil
}

func write(ctx context.Context, plan Plan) (r Result, err error) {
	if plan.Ledger == nil || plan.Now == nil {
		return r, errors.New("a ledger that is open to append, and a clock, are needed")
	}
	if plan.Signer == nil {
		if plan.Signer = plan.Ledger.Signer(); plan.Signer == nil {
			return r, evidence.ErrReadOnly
		}
	}
	p := &packing{Plan: plan, seal: plan.Now().UTC().Truncate(time.Second)}
	if err := p.checkOut(); err != nil {
		return r, err
	}
	if err := p.gather(ctx); err != nil {
		return r, err
	}
	if err := p.scanAll(ctx); err != nil {
		return r, err
	}
	s, err := p.sink()
	if err != nil {
		return r, err
	}
	r, err = p.pack(ctx, s)
	if err != nil {
		return r, errors.Join(err, s.abort())
	}
	if err := s.finish(); err != nil {
		return r, errors.Join(err, s.abort())
	}
	return r, p.record(ctx, r)
}

// checkOut refuses an output that exists, and endings that do not fit.
func (p *packing) checkOut() error {
	encrypted := strings.HasSuffix(p.Out, ".age")
	switch {
	case p.Out == "":
		return fmt.Errorf("%w: no output was named", evidence.ErrUsage)
	case encrypted && !strings.HasSuffix(p.Out, ".tar.zst.age"):
		return fmt.Errorf("%s: %w: an encrypted bundle ends in .tar.zst.age", p.Out, evidence.ErrUsage)
	case encrypted != (len(p.To) > 0):
		return evidence.WithHint(fmt.Errorf("%s: %w: encrypting needs both recipients and a name that ends in .tar.zst.age", p.Out, evidence.ErrUsage), "name recipients with --to age1…, and the file with -o NAME.tar.zst.age")
	}
	fi, err := os.Lstat(p.Out)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if fi.IsDir() && !p.archive() {
		names, err := os.ReadDir(p.Out)
		if err != nil {
			return err
		}
		if len(names) == 0 {
			return nil
		}
	}
	return evidence.WithHint(fmt.Errorf("%s: %w", p.Out, os.ErrExist), "name a file or folder that does not exist yet")
}

func (p *packing) archive() bool {
	return strings.HasSuffix(p.Out, ".tar.zst") || strings.HasSuffix(p.Out, ".tar.zst.age")
}

// scanAll looks for secrets in everything that is not evidence.
func (p *packing) scanAll(ctx context.Context) error {
	if p.Scan == nil {
		return nil
	}
	for _, i := range p.items {
		if !i.scan {
			continue
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		r, err := i.open()
		if err != nil {
			return err
		}
		off, found := p.Scan(r)
		if err := r.Close(); err != nil {
			return err
		}
		if found {
			return evidence.WithHint(fmt.Errorf("%s holds what looks like a secret at byte %d; nothing was written", i.path, off), "secrets never leave the evidence: take it out of the text that was added to the case")
		}
	}
	return nil
}

// sink is where the files of a bag go, in the order of their paths.
type sink interface {
	create(path string, size int64, mode os.FileMode) (io.Writer, error)
	close() error  // the file that was created last
	finish() error // makes the output appear under its name
	abort() error  // removes what was written
}

func (p *packing) sink() (sink, error) {
	if p.archive() {
		return newArchiveSink(p)
	}
	return newFolderSink(p.Out, p.seal)
}

// pack writes all files, the manifests and the seal.
func (p *packing) pack(ctx context.Context, s sink) (Result, error) {
	r := Result{Out: p.Out, Gaps: p.gaps, Head: p.ledger.Head, RedactionOf: p.of, Withheld: p.held}
	c, err := custody.NewChecker(custody.VerifyOptions{Now: p.Now}, true)
	if err != nil {
		return r, err
	}
	c.DeclareGaps(p.gaps)
	var total int64
	for _, i := range p.items {
		total += i.size
	}
	var manifest, tags strings.Builder
	put := func(i item) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		sum, err := p.copy(ctx, s, c, i)
		if err != nil {
			return fmt.Errorf("%s: %w", i.path, err)
		}
		list := &tags
		if strings.HasPrefix(i.path, "data/") {
			list = &manifest
		}
		if !strings.HasPrefix(i.path, "seal/") && i.path != tagManifestName {
			fmt.Fprintf(list, "%s  %s\n", sum, i.path)
		}
		r.Files++
		r.Bytes += i.size
		p.Progress.Report(evidence.Step{What: "bundle", Done: r.Bytes, Total: total, Unit: "B"})
		return nil
	}
	for _, i := range p.items {
		if err := put(i); err != nil {
			return r, err
		}
	}
	if err := whole(c.Finish()); err != nil {
		return r, err
	}
	if err := put(text(manifestName, manifest.String())); err != nil {
		return r, err
	}
	list := []byte(tags.String())
	sig, err := p.Signer.Sign(list, custody.BundleNamespace)
	if err != nil {
		return r, fmt.Errorf("seal: %w", err)
	}
	if err := put(text(sealName(p.Signer), string(sig))); err != nil {
		return r, err
	}
	r.ID = fmt.Sprintf("%x", sha256.Sum256(list))
	return r, put(text(tagManifestName, string(list)))
}

func text(path, s string) item {
	return item{path: path, content: []byte(s), size: int64(len(s)), mode: 0o644}
}

// whole refuses a case that does not hold; who is trusted is for the receiver.
func whole(r custody.Report) error {
	if r.Verdict != custody.Broken {
		return nil
	}
	return evidence.WithHint(fmt.Errorf("the case does not hold: %w", r.Err()), "snapcase verify names each failure; --without leaves an exhibit out")
}

// copy writes one file to the sink; what belongs to the case is checked on the
// way.
func (p *packing) copy(ctx context.Context, s sink, c *custody.Checker, i item) (evidence.Digest, error) {
	w, err := s.create(i.path, i.size, i.mode)
	if err != nil {
		return evidence.Digest{}, err
	}
	in, err := i.open()
	if err != nil {
		return evidence.Digest{}, err
	}
	defer in.Close() //nolint:errcheck // read-only
	sum, n, err := c.Add(ctx, caseName(i.path), io.TeeReader(in, w))
	if err == nil && n != i.size {
		err = fmt.Errorf("it has %d bytes, it had %d when the packing began", n, i.size)
	}
	if err != nil {
		return sum, err
	}
	return sum, s.close()
}

// caseName is the name in the case folder of a file of the bag; other files
// have a name that no case has.
func caseName(path string) string {
	if rest, ok := strings.CutPrefix(path, "custody/"); ok && (path == ledgerPath || path == redactedPath || rest == "case.json" || strings.HasPrefix(rest, "checkpoints/") || strings.HasPrefix(rest, "torn/")) {
		return rest
	}
	if rest, ok := strings.CutPrefix(path, "data/"); ok && strings.HasPrefix(rest, "exhibits/") {
		return rest
	}
	return "bag:" + path
}

// record tells the ledger of the bundle, with its id.
func (p *packing) record(ctx context.Context, r Result) error {
	out := r.Out
	if abs, err := filepath.Abs(out); err == nil {
		out = abs
	}
	without, to := []any{}, []any{}
	for _, id := range p.Without {
		without = append(without, id)
	}
	for _, t := range p.To {
		to = append(to, t)
	}
	data := map[string]any{
		"bundle": r.ID, "out": out, "files": fmt.Sprint(r.Files), "bytes": fmt.Sprint(r.Bytes), "gaps": fmt.Sprint(r.Gaps),
		"head": r.Head, "records": fmt.Sprint(p.ledger.Size), "without": without, "to": to,
	}
	if p.Withhold != nil {
		data["redaction_of"], data["withheld"] = p.of, custody.Numbers(p.held)
	}
	return p.Ledger.Append(context.WithoutCancel(ctx), custody.Record{Type: "bundle.export", Result: "ok", Data: data})
}
