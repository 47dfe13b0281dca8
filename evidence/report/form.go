package report

import (
	"fmt"
	"slices"
	"strings"

	"snapcase/evidence"
	"snapcase/evidence/custody"
	"snapcase/imaging"
)

// item is one exhibit on the custody form.
type item struct {
	Exhibit evidence.ExhibitStats
	By      string
	Began   imaging.Time
	Ended   imaging.Time
	Tool    custody.Tool
	Host    string
	Method  string
	Facts   []fact // what stands in place of make, model and serial
	Result  string
}

type fact struct{ Name, Value string }

// handover is one change of hands: a release, its receipt, or both.
type handover struct {
	Exhibit            string
	Released, Received *custody.Record
	From, To           string
	Reason, Medium     string
	Seal               string
	Before, After      string
	Match              string
}

// sourceFacts are the fields of an acquisition that tell one source from
// another, in the order of the form.
var sourceFacts = []fact{
	{"account", "Account"},
	{"region", "Region"},
	{"zone", "Zone"},
	{"instance", "Instance"},
	{"volume", "Volume"},
	{"device", "Device"},
	{"snapshot", "Snapshot"},
	{"lineage", "Lineage"},
	{"ami", "AMI"},
	{"encryption", "Encryption"},
	{"kms_key", "KMS key"},
	{"created", "Created"},
	{"owner", "Owner"},
	{"location", "Kept at"},
}

// items are the exhibits with the records of their acquisition.
func items(in Input) []item {
	var out []item
	for _, x := range in.Exhibits {
		i := item{Exhibit: x}
		for _, r := range in.Records {
			if r.Exhibit != x.Exhibit {
				continue
			}
			switch r.Type {
			case "evidence.acquire.start":
				if !i.Began.Set {
					i.Began = r.Time
				}
				i.facts(r)
			case "evidence.acquire.end":
				i.By, i.Ended, i.Tool, i.Host, i.Result = r.Actor, r.Time, r.Tool, r.Host, r.Result
				i.Method, _ = r.Data["api"].(string)
				i.facts(r)
			}
		}
		out = append(out, i)
	}
	return out
}

func (i *item) facts(r custody.Record) {
	for _, f := range sourceFacts {
		if s := plainValue(r.Data[f.Name]); s != "" && !slices.Contains(i.Facts, fact{f.Value, s}) {
			i.Facts = append(i.Facts, fact{f.Value, s})
		}
	}
	if r.Location != "" {
		i.Facts = append(i.Facts, fact{"Kept at", r.Location})
	}
}

// handovers pairs each release with the next receipt of the same exhibit.
func handovers(records []custody.Record) []handover {
	var out []handover
	for n := range records {
		r := &records[n]
		if r.Type != "custody.release" && r.Type != "custody.receive" {
			continue
		}
		if r.Type == "custody.receive" {
			i := slices.IndexFunc(out, func(h handover) bool {
				return h.Exhibit == r.Exhibit && h.Released != nil && h.Received == nil
			})
			if i >= 0 {
				out[i].Received = r
				out[i].fill(r)
				continue
			}
			out = append(out, handover{Exhibit: r.Exhibit, Received: r})
		} else {
			out = append(out, handover{Exhibit: r.Exhibit, Released: r})
		}
		out[len(out)-1].fill(r)
	}
	return out
}

func (h *handover) fill(r *custody.Record) {
	set := func(to *string, key string) {
		if s := person(r.Data[key]); s != "" {
			*to = s
		}
	}
	set(&h.From, "from")
	set(&h.To, "to")
	set(&h.Reason, "reason")
	set(&h.Medium, "medium")
	set(&h.Seal, "seal")
	set(&h.Before, "hash_before")
	set(&h.After, "hash_after")
	set(&h.Match, "match")
	if h.Reason == "" {
		h.Reason = r.Purpose
	}
}

// person is a value of a hand-over: text, or an object with name, id and
// organisation.
func person(v any) string {
	switch x := v.(type) {
	case string:
		return x
	case bool:
		return map[bool]string{true: "yes", false: "no"}[x]
	case map[string]any:
		var parts []string
		for _, k := range []string{"name", "id", "organisation"} {
			if s, ok := x[k].(string); ok && s != "" {
				parts = append(parts, s)
			}
		}
		return strings.Join(parts, ", ")
	}
	return plainValue(v)
}

// endings are the records that end an exhibit: returned, destroyed, archived.
func endings(records []custody.Record) []custody.Record {
	var out []custody.Record
	for _, r := range records {
		if r.Type == "custody.dispose" {
			out = append(out, r)
		}
	}
	return out
}

// ending is what a custody.dispose record says.
func ending(r custody.Record) string {
	var parts []string
	for _, k := range []string{"action", "authority", "witness", "reason"} {
		if s := person(r.Data[k]); s != "" {
			parts = append(parts, fmt.Sprintf("%s: %s", k, s))
		}
	}
	if r.Authority != "" {
		parts = append(parts, "authority: "+r.Authority)
	}
	return strings.Join(parts, " · ")
}
