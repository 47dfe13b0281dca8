package store

import (
	"os"
	"path/filepath"
	"strings"

	"snapcase/evidence"
	"snapcase/evidence/custody"
)

// OwnDigest is the SHA-256 that sha256sum gives for the source of an exhibit:
// of an image that of its bytes, of one file its own; of a folder or prefix,
// and of a file whose exhibit was left out of a bundle, that of the manifest.
// It is the one digest that is shown of an exhibit, everywhere.
func (c *Case) OwnDigest(a evidence.Acquisition) (evidence.Digest, error) {
	if a.Kind.Image() || a.API != "file" {
		return a.SHA256, nil
	}
	b, err := os.ReadFile(filepath.Join(c.folder.Exhibit(a.Exhibit), "manifest-sha256.txt"))
	if err != nil {
		return a.SHA256, err
	}
	sum, _, _ := custody.ParseManifestLine(strings.TrimSuffix(string(b), "\n"))
	return evidence.ParseDigest(sum)
}
