package custody

import (
	"encoding/base64"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"snapcase/imaging"
)

// The namespaces of the two kinds of signature.
const (
	CheckpointNamespace = "snapcase-checkpoint@v1"
	BundleNamespace     = "snapcase-bundle@v1"
)

const (
	checkpointMagic = "snapcase-checkpoint/v1"
	maxCheckpoint   = 4 << 10
)

// Checkpoint pins length and content of a ledger.
type Checkpoint struct {
	Name         string // of the file: "00000003.txt"
	Case         string
	Size         int64  // records
	Bytes        int64  // of those lines, LFs included
	PrefixSHA256 string // hex, of those bytes
	Head         string // hex, of the last line without its LF
	Root         string // base64 of the RFC 6962 tree hash
	Prev         string // SHA-256, hex, of the previous checkpoint file
	Time         imaging.Time
	Signer       string
}

// Text is the ten lines of the file.
func (c Checkpoint) Text() []byte {
	return fmt.Appendf(nil, "%s\ncase %s\nsize %d\nbytes %d\nprefix-sha256 %s\nhead %s\nroot %s\nprev-checkpoint %s\ntime %s\nsigner %s\n",
		checkpointMagic, c.Case, c.Size, c.Bytes, c.PrefixSHA256, c.Head, c.Root, c.Prev, c.Time.Std().Format(time.RFC3339), c.Signer)
}

// ParseCheckpoint reads the ten lines; exactly what Text writes is accepted.
// Name is left empty.
func ParseCheckpoint(b []byte) (Checkpoint, error) {
	var c Checkpoint
	if len(b) > maxCheckpoint {
		return c, fmt.Errorf("it has %d bytes, at most %d", len(b), maxCheckpoint)
	}
	lines := strings.Split(string(b), "\n")
	if len(lines) != 11 || lines[10] != "" || lines[0] != checkpointMagic {
		return c, errors.New("want ten lines that begin with " + checkpointMagic)
	}
	values := make([]string, 10)
	for i, key := range []string{"case", "size", "bytes", "prefix-sha256", "head", "root", "prev-checkpoint", "time", "signer"} {
		v, ok := strings.CutPrefix(lines[i+1], key+" ")
		if !ok || v == "" {
			return c, fmt.Errorf("line %d: want %s and a value", i+2, key)
		}
		values[i] = v
	}
	c = Checkpoint{Case: values[0], PrefixSHA256: values[3], Head: values[4], Root: values[5], Prev: values[6], Signer: values[8]}
	for _, s := range []string{c.PrefixSHA256, c.Head, c.Prev} {
		if !hex64.MatchString(s) {
			return c, fmt.Errorf("%q is no digest", s)
		}
	}
	var err error
	if c.Size, err = positive(values[1]); err != nil {
		return c, fmt.Errorf("size: %w", err)
	}
	if c.Bytes, err = positive(values[2]); err != nil {
		return c, fmt.Errorf("bytes: %w", err)
	}
	if root, err := base64.StdEncoding.Strict().DecodeString(c.Root); err != nil || len(root) != 32 {
		return c, fmt.Errorf("root %q is no digest", c.Root)
	}
	if !caseURN.MatchString(c.Case) {
		return c, fmt.Errorf("case %q is no urn:uuid", c.Case)
	}
	t, err := time.Parse("2006-01-02T15:04:05Z", values[7])
	if err != nil {
		return c, fmt.Errorf("time: %w", err)
	}
	c.Time = imaging.Time{Sec: t.Unix(), Set: true}
	if string(c.Text()) != string(b) {
		return c, errors.New("it is not written as a checkpoint is")
	}
	return c, nil
}

func positive(s string) (int64, error) {
	if !decimal.MatchString(s) {
		return 0, fmt.Errorf("%q is no number", s)
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err == nil && n == 0 {
		err = errors.New("it is zero")
	}
	return n, err
}

// checkpointName matches the file names of checkpoints and signatures.
var (
	checkpointName = regexp.MustCompile(`^[0-9]{8,15}\.txt$`)
	signatureName  = regexp.MustCompile(`^([0-9]{8,15}\.txt)\.([^./]*)\.sig$`)
)

// signerLine is an actor's id as it stands in a checkpoint: one line of text.
func signerLine(actor string) string {
	s := strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == utf8.RuneError {
			return '_'
		}
		return r
	}, actor)
	if s == "" {
		return "unnamed"
	}
	return s
}

// GroupHead writes a digest as groups of four hexadecimal digits, to be
// copied by hand; another text is given back as it is.
func GroupHead(s string) string {
	if !hex64.MatchString(s) {
		return s
	}
	groups := make([]string, 0, 16)
	for i := 0; i < len(s); i += 4 {
		groups = append(groups, s[i:i+4])
	}
	return strings.Join(groups, " ")
}

// heldHead is a head that somebody kept outside the case.
type heldHead struct {
	head string
	size int64 // 0: not known
	cp   *Checkpoint
}

// parseHeldHead reads a checkpoint file, a head in hex, or one in sixteen
// groups of four digits; a number of records may stand before a single word
// of hex, or after either form.
func parseHeldHead(b []byte) (heldHead, error) {
	if strings.HasPrefix(string(b), checkpointMagic) {
		c, err := ParseCheckpoint(b)
		return heldHead{c.Head, c.Size, &c}, err
	}
	words := strings.Fields(string(b))
	var h heldHead
	var rest []string
	if len(words) >= 16 && len(words[0]) == 4 {
		h.head, rest = strings.Join(words[:16], ""), words[16:]
	} else {
		for _, w := range words {
			if len(w) == 64 && h.head == "" {
				h.head = w
			} else {
				rest = append(rest, w)
			}
		}
	}
	h.head = strings.ToLower(h.head)
	if !hex64.MatchString(h.head) {
		return h, errors.New("it is neither a checkpoint nor a head of 64 hexadecimal digits")
	}
	if len(rest) == 2 && (rest[0] == "size" || rest[0] == "head") {
		rest = rest[1:]
	}
	if len(rest) == 1 && rest[0] == "head" {
		rest = nil
	}
	if len(rest) > 1 {
		return h, fmt.Errorf("more in it than a head and a size: %q", rest)
	}
	if len(rest) == 1 {
		var err error
		if h.size, err = positive(rest[0]); err != nil {
			return h, fmt.Errorf("size: %w", err)
		}
	}
	return h, nil
}

// sortCheckpoints orders names by the number in them.
func sortCheckpoints(names []string) {
	slices.SortFunc(names, func(a, b string) int {
		if len(a) != len(b) {
			return len(a) - len(b)
		}
		return strings.Compare(a, b)
	})
}
