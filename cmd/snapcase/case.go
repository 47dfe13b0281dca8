package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"snapcase/evidence"
	"snapcase/evidence/bundle"
	"snapcase/evidence/custody"
	"snapcase/store"
)

// actor is who acts, with which tool, for the ledger.
func (e *edge) actor(file evidence.CaseFile, signer custody.Signer) (custody.Options, error) {
	host, err := os.Hostname()
	if err != nil {
		return custody.Options{}, fmt.Errorf("read the host name: %w", err)
	}
	return custody.Options{Actor: file.Examiner, Signer: signer, Tool: custody.ToolOf(e.args, version), Binary: custody.RunningBinary, Host: host, Now: e.now, Boot: custody.SystemBoot}, nil
}

// write opens a case to add to it.
func (e *edge) write(ctx context.Context, dir string) (*store.Case, error) {
	if isBundle(dir) {
		return nil, evidence.WithHint(fmt.Errorf("open %s: %w", dir, evidence.ErrReadOnly), "a bundle is never changed; work in the case it was made from")
	}
	file, err := evidence.ReadCase(evidence.Folder(dir))
	if err != nil {
		return nil, err
	}
	signer, err := custody.LoadSigner(file.Key)
	if err != nil {
		return nil, evidence.WithHint(fmt.Errorf("open case %s: %w", dir, err), "the case is signed with %s; bring that key, or look at the case with snapcase open --read-only", file.Key)
	}
	o, err := e.actor(file, signer)
	if err != nil {
		return nil, err
	}
	return store.Open(ctx, dir, store.Options{Custody: o})
}

// read opens a case or a bundle to ask it questions; nothing is written to
// it. A bundle is unpacked and indexed in the user's cache.
func (e *edge) read(ctx context.Context, path string) (*store.Case, error) {
	if !isBundle(path) {
		return e.readCase(ctx, path, true)
	}
	scratch, err := bundleScratch(path)
	if err != nil {
		return nil, err
	}
	p, end := e.progress()
	defer end()
	folder, err := bundle.Open(ctx, path, scratch, p)
	if err != nil {
		return nil, err
	}
	c, err := store.Open(ctx, string(folder), store.Options{ReadOnly: true, Bundle: true, Index: filepath.Join(scratch, "index.db"), Custody: custody.Options{Now: e.now}})
	if err != nil {
		return nil, err
	}
	if err := c.Index(ctx, store.IndexOptions{}, p); err != nil && !errors.Is(err, evidence.ErrGaps) {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

// readCase opens a case folder read-only; derive lets its index be added to.
func (e *edge) readCase(ctx context.Context, path string, derive bool) (*store.Case, error) {
	if fi, err := os.Stat(path); err != nil {
		return nil, fmt.Errorf("open case: %w", err)
	} else if !fi.IsDir() {
		return nil, evidence.WithHint(fmt.Errorf("open %s: neither a case folder nor a bundle", path), "a case is a folder with case.json; a bundle ends in .tar.zst or holds bagit.txt")
	}
	return store.Open(ctx, path, store.Options{ReadOnly: true, Derive: derive, Custody: custody.Options{Now: e.now}})
}

// isBundle says whether path is a bag folder or an archive of one.
func isBundle(path string) bool {
	if fi, err := os.Stat(path); err == nil && fi.Mode().IsRegular() {
		return true
	}
	if _, err := os.Stat(filepath.Join(path, "bagit.txt")); err == nil {
		return true
	}
	if _, err := os.Stat(filepath.Join(path, "case.json")); err == nil {
		return false
	}
	// A bag that lost its bagit.txt is a broken bag.
	for _, name := range []string{"bag-info.txt", "tagmanifest-sha256.txt", "manifest-sha256.txt"} {
		if fi, err := os.Lstat(filepath.Join(path, name)); err == nil && fi.Mode().IsRegular() {
			return true
		}
	}
	return false
}

// bundleScratch is where the view of a bundle lies: one folder a bundle, in
// the user's cache, keyed by path, size and time of the bundle.
func bundleScratch(path string) (string, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return "", fmt.Errorf("open bundle: %w", err)
	}
	fi, err := os.Stat(abs)
	if err != nil {
		return "", fmt.Errorf("open bundle: %w", err)
	}
	if fi.IsDir() { // the folder's own time says nothing about its files; the manifest's does
		if m, err := os.Stat(filepath.Join(abs, "tagmanifest-sha256.txt")); err == nil {
			fi = m
		}
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = os.TempDir()
	}
	id := sha256.Sum256(fmt.Appendf(nil, "%s\x00%d\x00%d", abs, fi.Size(), fi.ModTime().UnixNano()))
	dir := filepath.Join(cache, "snapcase", "bundles", hex.EncodeToString(id[:8]))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("open bundle: %w", err)
	}
	return dir, nil
}

// gaps tells of what could not be read in the exhibits of the given kinds
// (none: all), and is evidence.ErrGaps where there is something.
func (e *edge) gaps(ctx context.Context, c *store.Case, exhibit string, kinds ...evidence.Kind) error {
	all, err := c.Stats(ctx)
	if err != nil {
		return err
	}
	n := 0
	for _, s := range all {
		if exhibit != "" && s.Exhibit != exhibit || len(kinds) > 0 && !has(kinds, s.Kind) {
			continue
		}
		if what := gapsOf(s); what != "" {
			n++
			e.say("warning: %s: %s; counts are lower bounds (snapcase stats tells where)", s.Exhibit, what)
		}
	}
	if err := e.unlisted(ctx, c, exhibit, all); err != nil {
		return err
	}
	if n > 0 {
		return evidence.ErrGaps
	}
	return nil
}

// unlisted tells of what is being acquired and is in no answer yet.
func (e *edge) unlisted(ctx context.Context, c *store.Case, exhibit string, have []evidence.ExhibitStats) error {
	under, err := c.Acquisitions(ctx)
	if err != nil {
		return err
	}
	for i := range under {
		u := &under[i]
		if exhibit != "" && u.Exhibit != exhibit || slices.ContainsFunc(have, func(s evidence.ExhibitStats) bool { return s.Exhibit == u.Exhibit }) {
			continue
		}
		state := "its acquisition was interrupted"
		if u.Running {
			state = "it is being acquired"
		}
		e.say("note: %s (%s): %s, and nothing of it is in this answer", u.Exhibit, u.Source, state)
	}
	return nil
}

func has[T comparable](all []T, v T) bool {
	for _, a := range all {
		if a == v {
			return true
		}
	}
	return false
}

// incompleteText says how much of an exhibit is there that is not sealed.
func incompleteText(s evidence.ExhibitStats) string {
	i, share := s.Incomplete, int64(0)
	if s.Bytes > 0 {
		share = i.Acquired * 100 / s.Bytes
	}
	text := fmt.Sprintf("not complete: %d %% acquired, %s, no digest yet; what is told of it is preliminary", share, i.State)
	if i.Error != "" {
		text += " (" + i.Error + ")"
	}
	return text
}

// gapsOf says in words what of an exhibit could not be read; "" for nothing.
func gapsOf(s evidence.ExhibitStats) string {
	switch {
	case s.Incomplete != nil:
		return incompleteText(s)
	case !s.Indexed && s.Kind != evidence.KindFile && s.Kind != evidence.KindHashset:
		return "not indexed yet"
	case s.BadRecords > 0:
		return fmt.Sprintf("%d records could not be decoded", s.BadRecords)
	case s.ReadErrors > 0:
		return fmt.Sprintf("%d ranges could not be read", s.ReadErrors)
	case s.NotAcquired > 0:
		return fmt.Sprintf("%d of %d bytes were not acquired: only what changed since %s was", s.NotAcquired, s.Bytes, s.Since)
	}
	for _, v := range s.Volumes {
		if v.Error != nil {
			return fmt.Sprintf("volume %s (%s): %s", v.ID, v.FS, *v.Error)
		}
	}
	if len(s.Gaps) > 0 {
		return fmt.Sprintf("%d places could not be read", len(s.Gaps))
	}
	return ""
}
