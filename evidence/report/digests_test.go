package report

import (
	"strings"
	"testing"

	"snapcase/evidence"
	"snapcase/evidence/custody"
)

// TestDigestsText says what was validated, what was not, and what came later.
func TestDigestsText(t *testing.T) {
	var in Input
	if s := digestsText(in); s != "" {
		t.Errorf("without CloudTrail: %q", s)
	}
	in.Exhibits = []evidence.ExhibitStats{{Exhibit: "EX-001", Kind: evidence.KindCloudTrail}, {Exhibit: "EX-002", Kind: evidence.KindCloudTrail}}
	in.Records = []custody.Record{{Type: "evidence.acquire.end", Exhibit: "EX-001"}}
	if s := digestsText(in); !strings.Contains(s, "were not validated") {
		t.Errorf("not validated: %q", s)
	}
	in.Records = append(in.Records, custody.Record{Seq: 7, Type: "evidence.derive", Data: map[string]any{
		"what": "cloudtrail validate", "verdict": "invalid", "logs": map[string]any{"valid": "9", "invalid": "1", "missing": "0", "unlisted": "0", "unproved": "0"}, "digests": map[string]any{"valid": "6", "invalid": "0", "missing": "0", "unproved": "0"},
	}})
	if s := digestsText(in); !strings.Contains(s, "(record 7 of the ledger): invalid; log files: 9 valid, 1 invalid, 0 missing") || strings.Contains(s, "Acquired after") {
		t.Errorf("validated: %q", s)
	}
	in.Records = append(in.Records, custody.Record{Type: "evidence.acquire.end", Exhibit: "EX-002"})
	if s := digestsText(in); !strings.HasSuffix(s, "no part of it: EX-002.") {
		t.Errorf("acquired later: %q", s)
	}
}
