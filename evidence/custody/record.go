package custody

import (
	"fmt"

	"snapcase/imaging"
)

// Record is one line of the ledger. Append fills V, Seq, Prev, Case, Time,
// Actor, Key, Tool, Host, Boot and BoottimeNS; the caller gives the rest.
type Record struct {
	V          int
	Seq        int64
	Prev       string // SHA-256, hex, of the previous line without its LF
	Case       string
	Time       imaging.Time
	Type       string
	Actor      string
	Key        string // OpenSSH fingerprint
	Tool       Tool
	Host       string
	Boot       string
	BoottimeNS string // decimal
	Exhibit    string
	Result     string // ok, partial, failed
	Authority  string
	Purpose    string
	Location   string
	TZ         string
	Corrects   *int64
	Clock      map[string]any // {"aws_skew_ms": int64} with AWS calls
	// Data is by type. Values are strings, booleans, integers (int64), arrays
	// ([]any) and objects (map[string]any). Sizes and offsets are decimal
	// strings. No floats, no null.
	Data map[string]any
	// Hash is the SHA-256, hex, of the line itself without its LF; it is set
	// in records that were read or appended, and is not part of the line.
	Hash string
	// Other holds the fields of a newer ledger that this program does not know.
	Other map[string]any
}

// MarshalJSON is the record's own line with its hash added.
func (r Record) MarshalJSON() ([]byte, error) {
	if r.Type == TypeWithheld { // of such a line nothing else is known
		return fmt.Appendf(nil, `{"redacted":true,"seq":%d,"type":"%s"}`, r.Seq, TypeWithheld), nil
	}
	b, err := encodeRecord(r)
	if err != nil || r.Hash == "" {
		return b, err
	}
	return append(append(b[:len(b)-1], `,"hash":"`+r.Hash+`"`...), '}'), nil
}

// Tool names the program that acted.
type Tool struct {
	Args    []string // secrets replaced by REDACTED
	Name    string
	SHA256  string // of the running binary
	Version string
}
