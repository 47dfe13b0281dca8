package acquire

import (
	"crypto/md5"  //nolint:gosec // asked for beside SHA-256, to compare with older tools
	"crypto/sha1" //nolint:gosec // asked for beside SHA-256, to compare with older tools
	"encoding/hex"
	"hash"

	"github.com/zeebo/blake3"
)

// hashNames are the hashes that can be asked for. No list beside it, so that
// nobody changes it.
var hashNames = []string{"sha256", "md5", "sha1", "blake3"}

func newHash(name string) hash.Hash {
	switch name {
	case "md5":
		return md5.New() //nolint:gosec // see above
	case "sha1":
		return sha1.New() //nolint:gosec // see above
	case "blake3":
		return blake3.New()
	}
	return nil
}

func hexSums(hashes map[string]hash.Hash) map[string]string {
	if len(hashes) == 0 {
		return nil
	}
	sums := map[string]string{}
	for name, h := range hashes {
		sums[name] = hex.EncodeToString(h.Sum(nil))
	}
	return sums
}
