package custody

import (
	"encoding/json"
	"fmt"
	"strings"

	"snapcase/evidence"
)

// The codes of a verify report that this package gives; package bundle has
// more.
const (
	codeLedgerMissing      = "LEDGER_MISSING"
	codeRecordNotJSON      = "RECORD_NOT_JSON"
	codeRecordNotCanonical = "RECORD_NOT_CANONICAL"
	codeRecordTooLong      = "RECORD_TOO_LONG"
	codeRecordFieldMissing = "RECORD_FIELD_MISSING"
	codeSeqGap             = "SEQ_GAP"
	codeChainBreak         = "CHAIN_BREAK"
	codeCaseMismatch       = "CASE_MISMATCH"
	codeTimeOrder          = "TIME_ORDER"
	codeTornTail           = "LEDGER_TORN_TAIL"
	codeClockJump          = "CLOCK_JUMP"
	codeTypeUnknown        = "TYPE_UNKNOWN"

	codeCheckpointMissing  = "CHECKPOINT_MISSING"
	codeCheckpointSyntax   = "CHECKPOINT_SYNTAX"
	codeCheckpointMismatch = "CHECKPOINT_MISMATCH"
	codePrefixMismatch     = "PREFIX_MISMATCH"
	codeRootMismatch       = "ROOT_MISMATCH"
	codeCheckpointChain    = "CHECKPOINT_CHAIN_BREAK"
	codeCheckpointUnsigned = "CHECKPOINT_UNSIGNED"
	codeLedgerTruncated    = "LEDGER_TRUNCATED"
	codeHeadDiverged       = "HEAD_DIVERGED"
	codeUnsealedTail       = "UNSEALED_TAIL"

	codeSigSyntax    = "SIG_SYNTAX"
	codeSigArmor     = "SIG_ARMOR_NOT_CANONICAL"
	codeSigName      = "SIG_NAME"
	codeSigBad       = "SIG_BAD"
	codeSigNamespace = "NAMESPACE_WRONG"

	codeSignerUntrusted = "SIGNER_UNTRUSTED"
	codeSignerExpired   = "SIGNER_EXPIRED"
	codeSignerRevoked   = "SIGNER_REVOKED"
	codeNoAnchor        = "NO_ANCHOR"

	codeManifestMissing   = "MANIFEST_MISSING"
	codeManifestSyntax    = "MANIFEST_SYNTAX"
	codeManifestPath      = "MANIFEST_PATH_UNSAFE"
	codeManifestDuplicate = "MANIFEST_DUPLICATE"
	codeFileMissing       = "FILE_MISSING"
	codeFileHash          = "FILE_HASH_MISMATCH"
	codeFileUnlisted      = "FILE_UNLISTED"
	codeFileNotRegular    = "FILE_NOT_REGULAR"

	codeHashDiffers       = "HASH_DIFFERS_FROM_LEDGER"
	codeNotInLedger       = "EXHIBIT_NOT_IN_LEDGER"
	codeExhibitMissing    = "EXHIBIT_MISSING"
	codeLedgerDiverged    = "LEDGER_DIVERGED"
	codeReadErrors        = "READ_ERRORS"
	codeCoveragePartial   = "COVERAGE_PARTIAL"
	codeExhibitWithheld   = "EXHIBIT_WITHHELD"
	codeRedacted          = "REDACTED"
	codeTransferUnbalance = "TRANSFER_UNBALANCED"
	codeIndexStale        = "INDEX_STALE"
)

// class is what a code does to the verdict: an exit code, or a warning.
type class int

const (
	warning   class = 0
	broken    class = 3
	gap       class = 4
	untrusted class = 5
)

// classOf is the class of a code in a case folder, or in a bundle. A code that
// is not listed is broken.
func classOf(code string, inBundle bool) class {
	switch code {
	case codeTornTail, codeUnsealedTail:
		if inBundle {
			return broken
		}
		return gap
	case codeReadErrors, codeCoveragePartial, codeExhibitWithheld, codeRedacted:
		return gap
	case codeSignerUntrusted, codeSignerExpired, codeSignerRevoked, codeNoAnchor:
		return untrusted
	case codeClockJump, codeTypeUnknown, codeTransferUnbalance, codeIndexStale:
		return warning
	}
	return broken
}

// Failure is one thing that does not hold, is missing, or is not vouched for.
type Failure struct {
	Code     string // of CUSTODY.md
	Path     string // below the case folder or the bag
	Expected string
	Found    string
	Offset   int64 // first differing byte range or line, where Located
	Located  bool
	Exit     int // 3 broken, 4 gap, 5 not trusted
}

// MarshalJSON leaves the offset out where it is not known.
func (f Failure) MarshalJSON() ([]byte, error) {
	v := struct {
		Code     string `json:"code"`
		Path     string `json:"path"`
		Expected string `json:"expected"`
		Found    string `json:"found"`
		Offset   *int64 `json:"offset,omitempty"`
		Exit     int    `json:"exit"`
	}{f.Code, f.Path, f.Expected, f.Found, nil, f.Exit}
	if f.Located {
		v.Offset = &f.Offset
	}
	return json.Marshal(v)
}

// The verdicts.
const (
	Intact    = "intact"
	Broken    = "broken"
	Untrusted = "untrusted"
	Partial   = "partial"
)

// Report is the answer of Verify. Assurance is A0 where nobody vouches or the
// verdict is broken, A1 with one trusted signer, A2 with a second one.
type Report struct {
	Verdict   string    `json:"verdict"`
	Assurance string    `json:"assurance"`
	Head      string    `json:"head"` // SHA-256 of the last record's line
	Records   int64     `json:"records"`
	Files     int64     `json:"files"` // hashed and compared
	Failures  []Failure `json:"failures"`
	Notes     []string  `json:"notes"`
	Bundle    string    `json:"bundle,omitempty"` // id of a bundle
	Signers   []string  `json:"signers"`          // trusted ones whose signatures hold
}

// ExitCode is the code of CLI.md.
func (r Report) ExitCode() int {
	switch r.Verdict {
	case Intact:
		return 0
	case Partial:
		return 4
	case Untrusted:
		return 5
	}
	return 3
}

// Err is nil for an intact case, else evidence.ErrBroken, ErrUntrusted or
// ErrGaps with the first failure.
func (r Report) Err() error {
	base := map[int]error{3: evidence.ErrBroken, 4: evidence.ErrGaps, 5: evidence.ErrUntrusted}[r.ExitCode()]
	if base == nil {
		return nil
	}
	for _, f := range r.Failures {
		if f.Exit == r.ExitCode() {
			base = fmt.Errorf("%w: %s %s", base, f.Code, f.Path)
			break
		}
	}
	if r.ExitCode() == 5 {
		return evidence.WithHint(base, "give the keys you trust with --signers FILE (an OpenSSH allowed_signers file that you got from elsewhere)")
	}
	return base
}

// Summary is the last line of a report for people.
func (r Report) Summary() string {
	if r.Verdict == Broken {
		n := 0
		for _, f := range r.Failures {
			if f.Exit == int(broken) {
				n++
			}
		}
		return fmt.Sprintf("BROKEN  %d failures", n)
	}
	words := map[string]string{"A0": "hashes hold, nobody vouches", "A1": "signed by a trusted examiner", "A2": "and countersigned by another trusted key", "A3": "with an independent time"}
	return fmt.Sprintf("%s  assurance %s (%s) · not proven: that the records were true when written", strings.ToUpper(r.Verdict), r.Assurance, words[r.Assurance])
}
