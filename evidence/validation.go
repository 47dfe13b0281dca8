package evidence

import (
	"fmt"

	"snapcase/imaging"
)

// The verdicts on digest chains.
const (
	TrailValid      = "valid"      // of what the chains cover, everything was checked and holds
	TrailInvalid    = "invalid"    // something was changed, moved or taken away
	TrailIncomplete = "incomplete" // nothing is known to be wrong, and not everything could be checked
)

// TrailValidation is what the digest chains of CloudTrail say of the log files in
// a case.
type TrailValidation struct {
	Verdict string       `json:"verdict"`
	Digests DigestCounts `json:"digests"`
	Logs    LogCounts    `json:"logs"`
	// Chains are ordered by account, region and trail.
	Chains   []TrailChain   `json:"chains"`
	Failures []TrailFailure `json:"failures"`
	// Keys are the public keys that were used, with where each came from: a
	// verdict is worth no more than that.
	Keys  []TrailKey `json:"keys"`
	Notes []string   `json:"notes"`
}

// DigestCounts counts digest files. Valid, Invalid and Unproved add up to those
// in the case; Missing are those that are not.
type DigestCounts struct {
	Valid    int64 `json:"valid"`
	Invalid  int64 `json:"invalid"`
	Missing  int64 `json:"missing"`
	Unproved int64 `json:"unproved"` // no key or no signature
}

// LogCounts counts log files. All but Missing add up to those in the case.
type LogCounts struct {
	Valid    int64 `json:"valid"`
	Invalid  int64 `json:"invalid"`
	Missing  int64 `json:"missing"`
	Unlisted int64 `json:"unlisted"` // a proved digest covers their time and does not list them
	Unproved int64 `json:"unproved"` // no proved digest covers them: they were not checked
}

// TrailChain is the digests of one trail in one region of one account.
type TrailChain struct {
	Account  string `json:"account"`
	Region   string `json:"region"`
	Trail    string `json:"trail"`
	Backfill bool   `json:"backfill"`
	Digests  int64  `json:"digests"`
	// First and Last bound what valid digests cover; not set where none is valid.
	First imaging.Time `json:"first"`
	Last  imaging.Time `json:"last"`
	// Begins says that the first digest starts a chain; else there was something
	// before it, which is not in the case.
	Begins bool `json:"begins"`
}

// TrailFailure is one thing that does not hold or could not be checked. Path is
// the address of a file in the case, or, of what is missing, its bucket and key.
type TrailFailure struct {
	Code string `json:"code"`
	Path string `json:"path"`
	// PathB64 is set where Path is not UTF-8.
	PathB64 []byte       `json:"path_b64,omitempty"`
	Reason  string       `json:"reason"`
	From    imaging.Time `json:"from"`
	To      imaging.Time `json:"to"`
}

// TrailKey is a public key that a digest was checked with.
type TrailKey struct {
	Fingerprint string `json:"fingerprint"`
	From        string `json:"from"` // the file it was read from, and how that came
}

// Err is nil for a valid result, ErrBroken for an invalid one and ErrGaps for an
// incomplete one.
func (v *TrailValidation) Err() error {
	var base error
	switch v.Verdict {
	case TrailValid:
		return nil
	case TrailInvalid:
		base = ErrBroken
	default:
		base = ErrGaps
	}
	if len(v.Failures) == 0 {
		return fmt.Errorf("cloudtrail digests: %s: %w", v.Verdict, base)
	}
	return fmt.Errorf("cloudtrail digests: %s, %d failures, the first %s %s: %w", v.Verdict, len(v.Failures), v.Failures[0].Code, v.Failures[0].Path, base)
}
