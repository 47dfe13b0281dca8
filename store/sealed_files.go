package store

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"snapcase/evidence"
	"snapcase/evidence/custody"
)

// sealedFiles knows which files of exhibits that are folders were found to
// have the digests of their manifests. Each is hashed once while a case is
// open. It is safe for concurrent use.
type sealedFiles struct {
	mu   sync.Mutex
	sums map[string]map[string]string // by exhibit: path below files/ → SHA-256; nil for an exhibit without a manifest
	good map[string]bool              // by path
}

// check is evidence.ErrBroken for a file that was changed since its exhibit was
// sealed. path lies below files/ of the exhibit.
func (s *sealedFiles) check(c *Case, exhibit, path string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.good[path] {
		return nil
	}
	if _, ok := s.sums[exhibit]; !ok {
		sums, err := c.manifest(exhibit)
		if err != nil {
			return err
		}
		if s.sums == nil {
			s.sums, s.good = map[string]map[string]string{}, map[string]bool{}
		}
		s.sums[exhibit] = sums
	}
	if s.sums[exhibit] == nil {
		return nil
	}
	rel, err := filepath.Rel(c.folder.Files(exhibit), path)
	if err != nil {
		return err
	}
	sum, _, err := hashFile(path)
	if err != nil {
		return err
	}
	if want := s.sums[exhibit][filepath.ToSlash(rel)]; want != sum.String() {
		return altered(fmt.Errorf("%s: files/%s is not what was sealed: %w", exhibit, filepath.ToSlash(rel), evidence.ErrBroken))
	}
	s.good[path] = true
	return nil
}

// manifest reads the digests of the files of an exhibit; nil where it has no
// manifest.
func (c *Case) manifest(exhibit string) (map[string]string, error) {
	a, err := c.acquisition(exhibit)
	if err != nil {
		return nil, err
	}
	b, err := os.ReadFile(filepath.Join(c.folder.Exhibit(exhibit), "manifest-sha256.txt"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if sum := evidence.Digest(sha256.Sum256(b)); sum != a.SHA256 {
		return nil, altered(fmt.Errorf("%s: its manifest is not what was sealed: %w", exhibit, evidence.ErrBroken))
	}
	sums := map[string]string{}
	lines := bufio.NewScanner(bytes.NewReader(b))
	for lines.Scan() {
		if sum, path, _ := custody.ParseManifestLine(strings.TrimSuffix(lines.Text(), "\r")); sum != "" {
			sums[path] = sum
		}
	}
	return sums, lines.Err()
}
