package custody

import (
	"fmt"
	"strings"
	"time"

	"snapcase/evidence/visible"
	"snapcase/imaging"
)

// FormData is the chain-of-custody form, from records alone: a field that no
// record fills is empty. Text in it is as the records have it; whoever shows
// it makes it harmless.
type FormData struct {
	Case, Title, Authority, IncidentType, Subject string
	Examiner, Key                                 string
	AcquiredAt                                    imaging.Time // of the first exhibit; when and where it was seized is for the examiner to say
	AcquiredOn                                    string       // place, or host
	Items                                         []FormItem
	Transfers                                     []FormTransfer
	Endings                                       []FormEnding
	Head                                          string
	Records                                       int64
	Unbalanced                                    []Imbalance // what does not fit in the chain of hands
}

// FormItem is one exhibit on the form.
type FormItem struct {
	Exhibit, Description, Kind, Quantity string
	Source                               []FormField // account, region, instance …: in place of make, model and serial
	Owner, Method                        string
	Tool                                 Tool
	Acquired                             imaging.Time
	By, Result                           string
	Algorithm, Value                     string
	ReadErrors                           int
	NotAcquired                          string // what was left out on purpose, in words
	Location                             string
}

// FormField is a named value.
type FormField struct{ Name, Value string }

// FormTransfer is one half of a hand-over: a release or a receipt.
type FormTransfer struct {
	Seq                     int64
	Kind                    string // release, receive
	Exhibit                 string
	Time                    imaging.Time
	TZ                      string // zone in which the local time is shown
	From, To                FormPerson
	Purpose, Medium, Seal   string
	Before, After, Match    string
	Remarks, RecordedBy     string
	Witness                 string
	Location, ReleaseReason string
}

// FormPerson is who gave or took.
type FormPerson struct{ Name, ID, Organisation string }

// FormEnding is what became of an exhibit.
type FormEnding struct {
	Exhibit, Action, Authority, Witness, Reason, Remarks string
	Time                                                 imaging.Time
}

// sourceFields are the fields of an acquisition that name a cloud disk.
var sourceFields = []FormField{
	{"source", "source"},
	{"account", "account"},
	{"region", "region"},
	{"zone", "zone"},
	{"instance", "instance"},
	{"volume", "volume"},
	{"device", "device name"},
	{"snapshot", "snapshot"},
	{"lineage", "lineage"},
	{"ami", "AMI"},
	{"encryption", "encryption"},
	{"kms_key", "KMS key"},
	{"created", "created"},
	{"tags", "tags"},
}

// FormOf fills the form from the records of a ledger, oldest first.
func FormOf(records []Record) FormData {
	var f FormData
	items := map[string]int{}
	var hands Hands
	for _, r := range records {
		hands.Take(r)
		f.Records, f.Head = r.Seq+1, r.Hash
		if r.Type == typeCaseOpen && f.Case == "" {
			f.Case, f.Examiner, f.Key = r.Case, r.Actor, r.Key
			f.Title, f.IncidentType, f.Subject = text(r.Data, "title"), text(r.Data, "incident_type"), text(r.Data, "subject")
			f.Authority = first(r.Authority, text(r.Data, "authority"))
		}
		if strings.HasPrefix(r.Type, "evidence.acquire.") && r.Exhibit != "" {
			i, ok := items[r.Exhibit]
			if !ok {
				i = len(f.Items)
				items[r.Exhibit] = i
				f.Items = append(f.Items, FormItem{Exhibit: r.Exhibit, Quantity: "1"})
				if !f.AcquiredAt.Set {
					f.AcquiredAt, f.AcquiredOn = r.Time, first(r.Location, r.Host)
				}
			}
			f.Items[i].take(r)
		}
		switch r.Type {
		case TypeRelease:
			f.Transfers = append(f.Transfers, transfer(r, "release"))
		case TypeReceive:
			f.Transfers = append(f.Transfers, transfer(r, "receive"))
		case TypeDispose:
			f.Endings = append(f.Endings, FormEnding{r.Exhibit, text(r.Data, "action"), first(r.Authority, text(r.Data, "authority")), text(r.Data, "witness"), first(r.Purpose, text(r.Data, "reason")), text(r.Data, "remarks"), r.Time})
		}
	}
	f.Unbalanced = hands.Unbalanced()
	return f
}

func (i *FormItem) take(r Record) {
	i.Kind = first(text(r.Data, "kind"), i.Kind)
	i.Description = first(text(r.Data, "label"), i.Description)
	i.Owner = first(text(r.Data, "owner"), i.Owner)
	i.Method = first(text(r.Data, "method"), text(r.Data, "api"), i.Method)
	i.Location = first(r.Location, i.Location)
	for _, s := range sourceFields {
		v := text(r.Data, s.Name)
		if v == "" {
			continue
		}
		known := false
		for n := range i.Source {
			if i.Source[n].Name == s.Value {
				i.Source[n].Value, known = v, true
			}
		}
		if !known {
			i.Source = append(i.Source, FormField{s.Value, v})
		}
	}
	if r.Type != typeAcquireEnd {
		return
	}
	i.Tool, i.Acquired, i.By, i.Result = r.Tool, r.Time, r.Actor, r.Result
	if n := text(r.Data, "bytes"); n != "" {
		i.Quantity = "1, " + n + " bytes"
	}
	if s := first(text(r.Data, "file_sha256"), text(r.Data, "sha256")); s != "" {
		i.Algorithm, i.Value = "SHA-256", s
	}
	if e, ok := endOf(r); ok {
		i.ReadErrors, i.NotAcquired = e.errors, e.absent
	}
}

func transfer(r Record, kind string) FormTransfer {
	return FormTransfer{
		Seq: r.Seq, Kind: kind, Exhibit: r.Exhibit, Time: r.Time, TZ: r.TZ, From: PersonOf(r.Data["from"]), To: PersonOf(r.Data["to"]),
		Purpose: first(r.Purpose, text(r.Data, "reason")), Medium: text(r.Data, "medium"), Seal: text(r.Data, "seal"),
		Before: text(r.Data, "hash_before"), After: text(r.Data, "hash_after"), Match: text(r.Data, "match"),
		Remarks: text(r.Data, "remarks"), Witness: text(r.Data, "witness"), RecordedBy: r.Actor, Location: r.Location, ReleaseReason: text(r.Data, "reason"),
	}
}

// PersonOf reads who gave or took from a record: a name, or an object with name,
// id and organisation.
func PersonOf(v any) FormPerson {
	switch v := v.(type) {
	case string:
		return FormPerson{Name: v}
	case map[string]any:
		return FormPerson{text(v, "name"), text(v, "id"), text(v, "organisation")}
	}
	return FormPerson{}
}

// text is a value as text; lists and objects are in their canonical form.
func text(m map[string]any, key string) string {
	switch v := m[key].(type) {
	case nil:
		return ""
	case string:
		return v
	case bool:
		return map[bool]string{true: "yes", false: "no"}[v]
	default:
		b, err := appendValue(nil, v, 0)
		if err != nil {
			return ""
		}
		return string(b)
	}
}

func first(all ...string) string {
	for _, s := range all {
		if s != "" {
			return s
		}
	}
	return ""
}

// Form is the chain-of-custody form as text, with what came from evidence made
// harmless to show.
func Form(records []Record) string {
	f := FormOf(records)
	var p page
	p.line("CHAIN OF CUSTODY")
	p.line("================")
	p.row("case number", f.Case)
	p.row("title", f.Title)
	p.row("authority", f.Authority)
	p.row("incident type", f.IncidentType)
	p.row("subject", f.Subject)
	p.row("examiner", f.Examiner)
	p.row("examiner's key", f.Key)
	p.row("date of seizure", "")
	p.row("place of seizure", "")
	p.row("first acquired", f.AcquiredAt.String())
	p.row("acquired on", f.AcquiredOn)
	for _, i := range f.Items {
		i.print(&p)
	}
	for n, t := range f.Transfers {
		t.print(&p, n+1)
	}
	for _, e := range f.Endings {
		p.head("END  " + e.Exhibit)
		p.row("action", e.Action)
		p.row("authority", e.Authority)
		p.row("witness", e.Witness)
		p.row("reason", e.Reason)
		p.row("remarks", e.Remarks)
		p.row("date", e.Time.String())
	}
	for _, u := range f.Unbalanced {
		p.line("")
		p.line(codeTransferUnbalance + "  " + first(u.Exhibit, "the case") + ": " + u.What)
	}
	p.line("")
	p.row("records", fmt.Sprint(f.Records))
	p.row("head", GroupHead(f.Head))
	return p.b.String()
}

func (i FormItem) print(p *page) {
	p.head("ITEM  " + i.Exhibit)
	p.row("description", i.Description)
	p.row("kind", i.Kind)
	p.row("quantity", i.Quantity)
	for _, s := range i.Source {
		p.row(s.Name, s.Value)
	}
	p.row("owner", i.Owner)
	p.row("method", i.Method)
	p.row("tool", strings.TrimSpace(i.Tool.Name+" "+i.Tool.Version))
	p.row("tool SHA-256", i.Tool.SHA256)
	p.row("acquired", i.Acquired.String())
	p.row("by", i.By)
	p.row("result", i.Result)
	p.row("algorithm", i.Algorithm)
	p.row("value", i.Value)
	if i.ReadErrors > 0 {
		p.row("unreadable", fmt.Sprintf("%d ranges, filled with zeros", i.ReadErrors))
	}
	if i.NotAcquired != "" {
		p.row("not acquired", i.NotAcquired)
	}
	p.row("lies at", i.Location)
}

func (t FormTransfer) print(p *page, n int) {
	p.head(fmt.Sprintf("HAND-OVER %d  %s  %s (record %d)", n, t.Kind, t.Exhibit, t.Seq))
	p.row("UTC", t.Time.String())
	p.row("local time", t.local())
	p.row("released by", t.From.String())
	p.row("  signature", "")
	p.row("received by", t.To.String())
	p.row("  signature", "")
	p.row("purpose", t.Purpose)
	p.row("medium", t.Medium)
	p.row("seal", GroupHead(t.Seal))
	p.row("hash before", t.Before)
	p.row("hash after", t.After)
	p.row("match", t.Match)
	if t.Location != "" {
		p.row("place", t.Location)
	}
	if t.Witness != "" {
		p.row("witness", t.Witness)
	}
	p.row("remarks", t.Remarks)
}

// local is the time in the zone that was shown to the examiner.
func (t FormTransfer) local() string {
	if t.TZ == "" {
		return ""
	}
	zone, err := time.LoadLocation(t.TZ)
	if err != nil {
		return ""
	}
	return t.Time.Std().In(zone).Format(time.RFC3339) + " " + t.TZ
}

func (p FormPerson) String() string {
	var parts []string
	for _, s := range []string{p.Name, p.ID, p.Organisation} {
		if s != "" {
			parts = append(parts, s)
		}
	}
	return strings.Join(parts, ", ")
}

type page struct{ b strings.Builder }

func (p *page) line(s string) {
	p.b.WriteString(visible.Escape(s).String() + "\n")
}

func (p *page) head(s string) {
	p.line("")
	p.line(s)
}

func (p *page) row(name, value string) {
	if value == "" {
		value = "____________________"
	}
	p.line(fmt.Sprintf("%-18s%s", name, value))
}
