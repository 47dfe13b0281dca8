package digest

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"snapcase/evidence"
)

// The codes of failures.
const (
	CodeDigestTrailing   = "DIGEST_TRAILING"
	CodeDigestFormat     = "DIGEST_FORMAT"
	CodeDigestMoved      = "DIGEST_MOVED"
	CodeDigestSignature  = "DIGEST_SIGNATURE"
	CodeDigestHash       = "DIGEST_HASH"
	CodeDigestMissing    = "DIGEST_MISSING"
	CodeDigestUnlinked   = "DIGEST_UNLINKED"
	CodeLogMissing       = "LOG_MISSING"
	CodeLogTrailing      = "LOG_TRAILING"
	CodeLogHash          = "LOG_HASH"
	CodeGap              = "GAP"
	CodeLogUnlisted      = "LOG_UNLISTED"
	CodeLogUnproved      = "LOG_UNPROVED"
	CodeKeyUnknown       = "KEY_UNKNOWN"
	CodeSignatureMissing = "SIGNATURE_MISSING"
	CodeNewestMissing    = "DIGEST_NEWEST_MISSING"
	CodeNoDigests        = "NO_DIGESTS"
)

// incomplete are the codes that say that something could not be checked; every
// other one makes a result invalid.
var incomplete = []string{CodeGap, CodeLogUnlisted, CodeLogUnproved, CodeKeyUnknown, CodeSignatureMissing, CodeNewestMissing, CodeNoDigests}

// Input is what is validated.
type Input struct {
	Files  []File
	Open   func(*File) (io.ReadCloser, error)
	Keys   []Key
	Status []Status
	// Doubt says of a file that does not hold why that may be the doing of the case
	// and not of the bucket; nil where that is not known.
	Doubt    func(*File) string
	Progress evidence.Progress
}

func (in *Input) doubt(f *File) string {
	if in.Doubt == nil {
		return ""
	}
	return in.Doubt(f)
}

// Status is what GetTrailStatus said of a trail in a region.
type Status struct {
	Account, Region, Trail string
	LatestDigest           time.Time // delivery of the latest digest
}

// ParseStatus reads trail-status.json: answers of GetTrailStatus by
// ACCOUNT/REGION/TRAIL. Times are RFC 3339 or seconds since 1970.
func ParseStatus(text []byte) ([]Status, error) {
	var all map[string]struct{ LatestDigestDeliveryTime json.RawMessage }
	if err := json.Unmarshal(text, &all); err != nil {
		return nil, fmt.Errorf("trail status: %w", err)
	}
	var out []Status
	for name, s := range all {
		parts := strings.Split(name, "/")
		if len(parts) != 3 {
			return nil, fmt.Errorf("trail status: %q is not ACCOUNT/REGION/TRAIL", name)
		}
		if len(s.LatestDigestDeliveryTime) == 0 || string(s.LatestDigestDeliveryTime) == "null" {
			continue
		}
		var at time.Time
		var seconds float64
		if err := json.Unmarshal(s.LatestDigestDeliveryTime, &seconds); err == nil && seconds > 0 && seconds < 1<<40 {
			at = time.Unix(int64(seconds), 0).UTC()
		} else if err := json.Unmarshal(s.LatestDigestDeliveryTime, &at); err != nil {
			return nil, fmt.Errorf("trail status: %s: LatestDigestDeliveryTime: %w", name, err)
		}
		out = append(out, Status{parts[0], parts[1], parts[2], at})
	}
	return out, nil
}

// ParseMetadata reads the answer of HeadObject that lies beside a digest; names
// are given in lower case.
func ParseMetadata(text []byte) (map[string]string, error) {
	var head struct{ Metadata map[string]string }
	if err := json.Unmarshal(bytes.TrimSpace(text), &head); err != nil {
		return nil, fmt.Errorf("metadata: %w", err)
	}
	return LowerNames(head.Metadata), nil
}

// LowerNames gives metadata with names in lower case, as S3 compares them.
func LowerNames(m map[string]string) map[string]string {
	out := make(map[string]string, len(m))
	for name, value := range m {
		out[strings.ToLower(name)] = value
	}
	return out
}

// validator is one validation.
type validator struct {
	in     *Input
	keys   keyring
	index  *index
	nodeOf map[*File]*node
	chains map[chainID][]*node
	covers map[area]*cover
	used   map[*Key]bool
	ends   map[chainID]*node // the newest of each
	late   map[*node]bool
	named  int // missing hours so far

	mu   sync.Mutex
	gone map[string]bool // paths that were said to be missing
	logs map[*File]logState
	done map[string]int64
	out  evidence.TrailValidation
}

// Validate checks the digest chains of some files. The error is the failure of a
// read or the end of ctx: what is wrong with the evidence is in the result.
func Validate(ctx context.Context, in *Input) (evidence.TrailValidation, error) {
	v := &validator{
		in: in, keys: newKeyring(in.Keys), index: newIndex(in.Files), nodeOf: map[*File]*node{}, chains: map[chainID][]*node{},
		covers: map[area]*cover{}, used: map[*Key]bool{}, ends: map[chainID]*node{}, late: map[*node]bool{}, gone: map[string]bool{}, logs: map[*File]logState{}, done: map[string]int64{},
		out: evidence.TrailValidation{Chains: []evidence.TrailChain{}, Failures: []evidence.TrailFailure{}, Keys: []evidence.TrailKey{}, Notes: []string{}},
	}
	if err := v.read(ctx); err != nil {
		return v.out, fmt.Errorf("validate: %w", err)
	}
	ids := make([]chainID, 0, len(v.chains))
	for id := range v.chains {
		ids = append(ids, id)
	}
	slices.SortFunc(ids, func(a, b chainID) int {
		return cmp.Or(strings.Compare(a.account, b.account), strings.Compare(a.region, b.region), strings.Compare(a.trail, b.trail), strings.Compare(a.org, b.org), strings.Compare(a.home, b.home), boolCompare(a.backfill, b.backfill))
	})
	var all []*node
	for _, id := range ids {
		v.sign(v.chains[id])
	}
	for _, id := range ids {
		for _, n := range v.chains[id] {
			v.links(n)
		}
	}
	for _, id := range ids {
		v.tile(id, v.chains[id])
		all = append(all, v.chains[id]...)
	}
	if err := v.lists(ctx, all); err != nil {
		return v.out, fmt.Errorf("validate: %w", err)
	}
	v.statuses(ids)
	v.rest()
	v.finish(len(all))
	return v.out, nil
}

func boolCompare(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}

func (v *validator) cover(a area) *cover {
	c := v.covers[a]
	if c == nil {
		c = &cover{}
		v.covers[a] = c
	}
	return c
}

// statuses compares the last digests with what the service said.
func (v *validator) statuses(ids []chainID) {
	known := 0
	for _, id := range ids {
		n := v.ends[id]
		if n == nil {
			continue
		}
		_, end := n.span()
		for _, s := range v.in.Status {
			if s.Account != id.account || s.Region != id.region || s.Trail != id.trail {
				continue
			}
			known++
			if !s.LatestDigest.Before(end.Add(time.Hour)) {
				v.newer(n, s.LatestDigest, "the service had delivered a later digest at "+s.LatestDigest.Format(time.RFC3339))
			}
		}
	}
	if known == 0 && len(ids) > 0 {
		v.note("no trail-status.json: whether digests after the last ones were taken away is seen only by younger log files")
	}
}

// finish sorts the result and gives the verdict.
func (v *validator) finish(digests int) {
	if digests == 0 {
		v.failure(CodeNoDigests, "", "there are no digest files: nothing was checked", time.Time{}, time.Time{})
	}
	for k := range v.used {
		v.out.Keys = append(v.out.Keys, evidence.TrailKey{Fingerprint: k.Fingerprint, From: k.From})
	}
	slices.SortFunc(v.out.Keys, func(a, b evidence.TrailKey) int { return strings.Compare(a.Fingerprint, b.Fingerprint) })
	slices.SortFunc(v.out.Failures, func(a, b evidence.TrailFailure) int {
		return cmp.Or(boolCompare(slices.Contains(incomplete, a.Code), slices.Contains(incomplete, b.Code)), a.From.Compare(b.From), strings.Compare(a.Path, b.Path), strings.Compare(a.Code, b.Code), strings.Compare(a.Reason, b.Reason))
	})
	v.out.Verdict = evidence.TrailValid
	for _, f := range v.out.Failures {
		if !slices.Contains(incomplete, f.Code) {
			v.out.Verdict = evidence.TrailInvalid
			return
		}
		v.out.Verdict = evidence.TrailIncomplete
	}
}

func (v *validator) failure(code, path, reason string, from, to time.Time) {
	v.mu.Lock()
	defer v.mu.Unlock()
	f := evidence.TrailFailure{Code: code, Path: path, Reason: reason, From: stamp(from), To: stamp(to)}
	if !utf8.ValidString(path) {
		f.PathB64 = []byte(path)
	}
	v.out.Failures = append(v.out.Failures, f)
}

func (v *validator) note(format string, args ...any) {
	v.out.Notes = append(v.out.Notes, fmt.Sprintf(format, args...))
}

func (v *validator) step(what string) {
	v.mu.Lock()
	v.done[what]++
	n := v.done[what]
	v.mu.Unlock()
	v.in.Progress.Report(evidence.Step{What: "validate cloudtrail", Done: n, Unit: what})
}
