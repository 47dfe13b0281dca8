package report

import (
	"fmt"
	"slices"
	"strings"

	"snapcase/evidence"
	"snapcase/evidence/custody"
)

// digestsText says what the ledger has of the validation of CloudTrail's
// digests; "" for a case without CloudTrail. Silence would read as proof.
func digestsText(in Input) string {
	var last *custody.Record
	var later []string
	for i := range in.Records {
		r := &in.Records[i]
		switch {
		case r.Type == "evidence.derive" && r.Data["what"] == "cloudtrail validate":
			last, later = r, nil
		case r.Type == "evidence.acquire.end" && slices.ContainsFunc(in.Exhibits, func(s evidence.ExhibitStats) bool {
			return s.Exhibit == r.Exhibit && s.Kind == evidence.KindCloudTrail
		}):
			later = append(later, r.Exhibit)
		}
	}
	if !slices.ContainsFunc(in.Exhibits, func(s evidence.ExhibitStats) bool { return s.Kind == evidence.KindCloudTrail }) {
		return ""
	}
	if last == nil {
		return "The digests of CloudTrail were not validated in this case: nothing here proves that its log files are those that were delivered, all of them and unchanged."
	}
	text := fmt.Sprintf("The digests of CloudTrail were validated at %s (record %d of the ledger): %v; log files: %s; digests: %s.", last.Time, last.Seq, last.Data["verdict"],
		counts(last.Data["logs"], "valid", "invalid", "missing", "unlisted", "unproved"), counts(last.Data["digests"], "valid", "invalid", "missing", "unproved"))
	if len(later) > 0 {
		text += " Acquired after that and no part of it: " + strings.Join(later, ", ") + "."
	}
	return text
}

// counts writes the counts of a record in this order.
func counts(v any, names ...string) string {
	m, ok := v.(map[string]any)
	if !ok {
		return "not known"
	}
	var all []string
	for _, n := range names {
		all = append(all, fmt.Sprintf("%v %s", m[n], n))
	}
	return strings.Join(all, ", ")
}
