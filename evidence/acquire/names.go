package acquire

import (
	"bufio"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"
	"unicode/utf8"

	"snapcase/evidence"
)

// encodedFolder holds, below files/, the files whose names cannot be kept.
const encodedFolder = "_enc"

// nameLine is a line of names.jsonl: a file that is stored under another name.
type nameLine struct {
	Stored  string `json:"stored"` // below files/, as in the manifest
	Name    string `json:"name"`   // of the source, relative; invalid UTF-8 replaced
	NameB64 []byte `json:"name_b64,omitempty"`
}

func newNameLine(stored, name string) nameLine {
	l := nameLine{Stored: stored, Name: name}
	if !utf8.ValidString(name) {
		l.Name, l.NameB64 = strings.ToValidUTF8(name, "\ufffd"), []byte(name)
	}
	return l
}

func (l *nameLine) original() string {
	if l.NameB64 != nil {
		return string(l.NameB64)
	}
	return l.Name
}

// namer chooses the names under which files are stored.
type namer struct {
	taken   map[string]bool
	folders map[string]bool // of what is taken: a bucket may have a and a/b
}

// stored is where a file of that relative name lies below files/. A name of
// other characters than [A-Za-z0-9._/-], one that is long, and one that differs
// from another only by case is replaced by its digest.
func (n *namer) stored(name string) string {
	if low := strings.ToLower(name); plainName(name) && n.free(low) {
		n.taken[low] = true
		for d := path.Dir(low); d != "."; d = path.Dir(d) {
			n.folders[d] = true
		}
		return name
	}
	sum := sha256.Sum256([]byte(name))
	return encodedFolder + "/" + hex.EncodeToString(sum[:16])
}

// free says that a name is no other's, and no folder of another or the other way
// round.
func (n *namer) free(low string) bool {
	if n.taken[low] || n.folders[low] {
		return false
	}
	for d := path.Dir(low); d != "."; d = path.Dir(d) {
		if n.taken[d] {
			return false
		}
	}
	return true
}

func plainName(name string) bool {
	const longest = 1024
	if len(name) == 0 || len(name) > longest {
		return false
	}
	for i := range len(name) {
		c := name[i]
		if c-'a' >= 26 && c-'A' >= 26 && c-'0' >= 10 && strings.IndexByte("._/-", c) < 0 {
			return false
		}
	}
	first, _, _ := strings.Cut(name, "/")
	return !strings.EqualFold(first, encodedFolder) && filepath.IsLocal(name) && filepath.Clean(name) == name
}

// Names gives the files of a sealed exhibit that is no image: from the name
// below files/ under which each is stored to its name in the source (relative,
// with slashes, raw bytes), which addresses of records use.
func Names(f evidence.Folder, exhibit string) (map[string]string, error) {
	all := map[string]string{}
	m, err := readManifest(filepath.Join(f.Exhibit(exhibit), manifestName))
	if err != nil {
		return nil, fmt.Errorf("names of %s: %w", exhibit, err)
	}
	for _, l := range m {
		all[l.path] = l.path
	}
	in, err := os.Open(filepath.Join(f.Exhibit(exhibit), namesName))
	if errors.Is(err, os.ErrNotExist) {
		return all, nil
	}
	if err != nil {
		return nil, fmt.Errorf("names of %s: %w", exhibit, err)
	}
	defer in.Close() //nolint:errcheck // read-only
	d := json.NewDecoder(bufio.NewReader(in))
	for {
		var l nameLine
		if err := d.Decode(&l); errors.Is(err, io.EOF) {
			return all, nil
		} else if err != nil {
			return nil, fmt.Errorf("names of %s: %w", exhibit, err)
		}
		if _, ok := all[l.Stored]; !ok {
			return nil, fmt.Errorf("names of %s: %q is not in the manifest: %w", exhibit, l.Stored, evidence.ErrBroken)
		}
		all[l.Stored] = l.original()
	}
}

// manifestLine is one line of a manifest in the format of sha256sum.
type manifestLine struct {
	sum  evidence.Digest
	path string
}

func readManifest(path string) ([]manifestLine, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // read-only
	var all []manifestLine
	s := bufio.NewScanner(f)
	for s.Scan() {
		sum, name, ok := strings.Cut(s.Text(), "  ")
		d, err := evidence.ParseDigest(sum)
		if !ok || err != nil || !filepath.IsLocal(name) || filepath.Clean(name) != name {
			return nil, fmt.Errorf("%s: line %d is none of a manifest: %w", path, len(all)+1, evidence.ErrBroken)
		}
		all = append(all, manifestLine{d, name})
	}
	return all, s.Err()
}

func b64(b []byte) string { return base64.StdEncoding.EncodeToString(b) }
