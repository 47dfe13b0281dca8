package report

import (
	"strconv"
	"strings"

	"snapcase/evidence"
)

// tables are the CSV files of a report.
func tables(in Input) []table {
	return append(evidenceTables(in), traceTables(in.Traces)...)
}

func evidenceTables(in Input) []table {
	return []table{
		{"exhibits.csv", []string{"exhibit", "kind", "label", "source", "bytes", "sha256", "files", "records", "distinct", "duplicates", "bad_records", "skipdata", "nodata", "read_errors", "first", "last", "indexed"}, func(row func(...string)) {
			for _, s := range in.Exhibits {
				row(s.Exhibit, string(s.Kind), s.Label, s.Source, num(s.Bytes), s.SHA256.String(), num(s.Files), num(s.Records), num(s.Distinct), num(s.Duplicates), num(s.BadRecords), num(s.SkipData), num(s.NoData), num(s.ReadErrors), s.First.String(), s.Last.String(), strconv.FormatBool(s.Indexed))
			}
		}},
		{"volumes.csv", []string{"exhibit", "volume", "type", "fs", "label", "uuid", "start", "size", "entries", "deleted", "damaged", "state", "error"}, func(row func(...string)) {
			for _, s := range in.Exhibits {
				for _, v := range s.Volumes {
					row(s.Exhibit, v.ID, v.Type, v.FS, v.Label, v.UUID, num(v.Start), num(v.Size), num(v.Entries), num(v.Deleted), num(v.Damaged), strings.Join(v.State, "; "), deref(v.Error))
				}
			}
		}},
		{"gaps.csv", []string{"exhibit", "place", "offset", "reason"}, func(row func(...string)) {
			for _, s := range in.Exhibits {
				for _, g := range s.Gaps {
					row(s.Exhibit, g.Place, num(g.Offset), g.Reason)
				}
			}
		}},
		{"findings.csv", []string{"id", "level", "title", "rule", "first", "last", "entities", "observed", "limits", "records", "found_by", "ledger_record"}, func(row func(...string)) {
			for _, f := range in.Findings {
				record := ""
				if f.Record != nil {
					record = num(*f.Record)
				}
				row(f.ID, f.Level, f.Title, f.Rule, f.First.String(), f.Last.String(), strings.Join(f.Entities, " "), f.Observed, f.Limits, strings.Join(f.Events, " "), f.By, record)
			}
		}},
		{"keys.csv", []string{"key_id", "kind", "documentation", "exhibit", "status", "address", "offset", "inner_offset", "secret", "secret_fingerprint", "events", "first", "last", "regions", "principals"}, func(row func(...string)) {
			for _, k := range in.Keys {
				keyRows(k, row)
			}
		}},
		{"timeline.csv", timelineHeader, func(row func(...string)) {
			for _, m := range in.Timeline {
				row(timelineRow(m)...)
			}
		}},
		{"custody.csv", []string{"seq", "time", "type", "exhibit", "result", "actor", "key", "host", "tool", "tool_sha256", "hash", "prev"}, func(row func(...string)) {
			for _, r := range in.Records {
				row(num(r.Seq), r.Time.String(), r.Type, r.Exhibit, r.Result, r.Actor, r.Key, r.Host, strings.TrimSpace(r.Tool.Name+" "+r.Tool.Version), r.Tool.SHA256, r.Hash, r.Prev)
			}
		}},
	}
}

// keyRows is one row a place, and one for a key without any.
func keyRows(k evidence.Key, row func(...string)) {
	places := k.Places
	if len(places) == 0 {
		places = []evidence.Place{{}}
	}
	for _, p := range places {
		offset := num(p.Offset)
		if p.Exhibit == "" || p.Offset < 0 {
			offset = ""
		}
		inner := ""
		if p.InnerOffset != nil {
			inner = num(*p.InnerOffset)
		}
		row(k.KeyID, k.Kind, strconv.FormatBool(k.Documentation), p.Exhibit, p.Status, deref(p.Address), offset, inner, secretCell(p), p.Fingerprint, num(k.Events), k.First.String(), k.Last.String(), strings.Join(k.Regions, " "), strings.Join(k.Principals, " "))
	}
}

// secretCell is empty where nobody looked for a secret.
func secretCell(p evidence.Place) string {
	if p.Unsought || p.Exhibit == "" {
		return ""
	}
	return strconv.FormatBool(p.Secret)
}

func traceTables(all []evidence.Trace) []table {
	each := func(f func(t evidence.Trace, row func(...string))) func(func(...string)) {
		return func(row func(...string)) {
			for _, t := range all {
				f(t, func(cell ...string) { row(append([]string{t.Entity.ID}, cell...)...) })
			}
		}
	}
	return []table{
		{"traces.csv", []string{"entity", "relation", "type", "id", "by", "region", "time", "events", "detail", "record"}, each(traceRows)},
		{"calls.csv", []string{"entity", "call", "ok", "failed"}, each(func(t evidence.Trace, row func(...string)) {
			for _, c := range t.Calls {
				row(c.Name, num(c.OK), num(c.Failed))
			}
		})},
		{"peers.csv", []string{"entity", "ip", "protocol", "packets", "bytes_out", "bytes_in", "lower_bound", "first", "last", "country", "asn", "lists"}, each(func(t evidence.Trace, row func(...string)) {
			for _, p := range t.Peers {
				asn := ""
				if p.ASN != nil {
					asn = num(*p.ASN)
				}
				row(p.IP, p.Protocol, num(p.Packets), num(p.BytesOut), num(p.BytesIn), strconv.FormatBool(p.Lower), p.First.String(), p.Last.String(), deref(p.Country), asn, strings.Join(p.Lists, " "))
			}
		})},
		{"icmp.csv", []string{"entity", "local", "peer", "verdict", "requests", "replies", "payload_bytes", "entropy", "first", "last", "reasons"}, each(func(t evidence.Trace, row func(...string)) {
			for _, p := range t.ICMP {
				row(p.Local, p.Peer, p.Verdict, num(p.Requests), num(p.Replies), num(p.PayloadBytes), strconv.FormatFloat(p.Entropy, 'f', 3, 64), p.First.String(), p.Last.String(), strings.Join(p.Reasons, "; "))
			}
		})},
	}
}

func traceRows(t evidence.Trace, row func(...string)) {
	for _, i := range t.IssuedBy {
		row("issued by", i.EventName, i.KeyID, i.By, "", i.Time.String(), num(i.Events), i.Principal, i.ByEvent)
	}
	for _, i := range t.Issued {
		row("issued", i.EventName, i.KeyID, i.By, "", i.Time.String(), num(i.Events), i.Principal+" (joined by "+i.Join+")", i.ByEvent)
	}
	for _, a := range t.Addresses {
		row("called from", "address", a.IP, "", "", a.First.String(), num(a.Events), "until "+a.Last.String(), "")
	}
	for _, r := range t.Regions {
		detail := ""
		if r.Unusual {
			detail = "not in use before"
		}
		row("acted in", "region", r.Region, "", r.Region, r.First.String(), num(r.Events), detail, "")
	}
	for _, c := range t.Created {
		row("created", c.Type, c.ID, "", c.Region, c.Time.String(), "", "", c.Record.String())
	}
	for _, i := range t.Instances {
		row("instance", "AWS::EC2::Instance", i.ID, "", i.Region, "", "", strings.Join(append(append(append([]string{}, i.PrivateIPs...), i.PublicIPs...), i.Interfaces...), " "), "")
	}
}
