package report

import (
	"cmp"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"path"

	"snapcase/evidence"
	"snapcase/evidence/custody"
	"snapcase/evidence/visible"
	"snapcase/imaging"
)

type object = map[string]any

// CASE writes the exhibits and what was done with them as CASE 1.4 / UCO
// JSON-LD: each acquisition, verification and hand-over of the ledger is an
// InvestigativeAction with performer, instrument, object, result and times,
// in the ledger's order by wasInformedBy. Ids are derived from the case, so
// the same case gives the same bytes. Text that is not plain is written as
// package visible shows it.
func CASE(w io.Writer, in Input) error {
	g := graph{in: in, people: map[string]bool{}, tools: map[string]bool{}}
	g.exhibits()
	g.actions()
	investigation := object{"@id": g.id("investigation", ""), "@type": "investigation:Investigation", "core:name": plain(in.Case.Title), "core:object": g.refs}
	if in.Case.Authority != "" {
		a := g.id("authorization", "")
		investigation["investigation:authorization"] = ref(a)
		g.add(object{"@id": a, "@type": "investigation:Authorization", "investigation:authorizationType": "recorded", "investigation:authorizationIdentifier": []any{plain(in.Case.Authority)}})
	}
	g.add(investigation)
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", " ")
	return enc.Encode(object{"@context": caseContext, "@graph": g.nodes})
}

type graph struct {
	in            Input
	nodes         []any
	refs          []any // what the investigation is about
	people, tools map[string]bool
	last          string // the action before
}

func (g *graph) id(kind, of string) string {
	return "kb:" + kind + "-" + uuid(g.in.Case.ID+"\x00"+kind+"\x00"+of)
}
func (g *graph) add(o object) { g.nodes = append(g.nodes, o) }

func ref(id string) object    { return object{"@id": id} }
func plain(s string) string   { return visible.Escape(s).String() }
func integer(n int64) object  { return object{"@type": "xsd:integer", "@value": fmt.Sprint(n)} }
func hexes(digest string) any { return object{"@type": "xsd:hexBinary", "@value": digest} }

func (g *graph) person(name string) object {
	name = cmp.Or(name, g.in.Case.Examiner)
	id := g.id("person", name)
	if !g.people[name] {
		g.people[name] = true
		g.add(object{"@id": id, "@type": "identity:Person", "core:name": plain(name)})
	}
	return ref(id)
}

func (g *graph) tool(t custody.Tool) object {
	if t.Name == "" {
		t = custody.Tool{Name: "snapcase", Version: g.in.Version}
	}
	key := t.Name + "\x00" + t.Version
	id := g.id("tool", key)
	if !g.tools[key] {
		g.tools[key] = true
		g.add(object{"@id": id, "@type": "tool:Tool", "core:name": plain(t.Name), "tool:version": plain(t.Version), "tool:toolType": "forensic workbench"})
	}
	return ref(id)
}

// sealed is the digest of what lies in the exhibit: of its image or of its
// manifest, where x has that of the one file.
func (g *graph) sealed(x evidence.ExhibitStats) evidence.Digest {
	for _, r := range g.in.Records {
		if r.Type != "evidence.acquire.end" || r.Exhibit != x.Exhibit {
			continue
		}
		if s, ok := r.Data["sha256"].(string); ok {
			if d, err := evidence.ParseDigest(s); err == nil {
				return d
			}
		}
	}
	return x.SHA256
}

// exhibits adds, for each exhibit, its source, its image and its provenance
// record.
func (g *graph) exhibits() {
	for _, x := range g.in.Exhibits {
		id := func(kind string) string { return g.id(kind, x.Exhibit) }
		name := "manifest-sha256.txt"
		facet := object{"@id": id("filefacet"), "@type": "observable:FileFacet", "observable:isDirectory": false}
		bytes, sum, what := x.Bytes, g.sealed(x), cmp.Or(x.Label, string(x.Kind))
		if x.Kind.Image() {
			name = "image.raw"
			if p := x.Packed; p != nil {
				name, bytes, sum, what = p.File, p.Bytes, p.SHA256, what+"; unpacked it has SHA-256 "+x.SHA256.String()
			}
			facet["observable:sizeInBytes"] = integer(bytes)
		}
		facet["observable:fileName"], facet["observable:filePath"] = name, path.Join("data/exhibits", x.Exhibit, name)
		hash := object{"@id": id("hash"), "@type": "types:Hash", "types:hashMethod": "SHA256", "types:hashValue": hexes(sum.String())}
		content := object{"@id": id("contentfacet"), "@type": "observable:ContentDataFacet", "observable:hash": []any{hash}}
		g.add(object{"@id": id("source"), "@type": "observable:ObservableObject", "core:name": plain(x.Source)})
		g.add(object{"@id": id("image"), "@type": "observable:File", "core:hasFacet": []any{facet, content}})
		g.add(object{"@id": id("provenance"), "@type": "investigation:ProvenanceRecord", "core:description": plain(what), "investigation:exhibitNumber": x.Exhibit, "core:object": ref(id("image"))})
		g.refs = append(g.refs, ref(id("provenance")))
	}
}

// actions adds what the ledger says was done with the exhibits.
func (g *graph) actions() {
	known := map[string]evidence.ExhibitStats{}
	for _, x := range g.in.Exhibits {
		known[x.Exhibit] = x
	}
	began := map[string]imaging.Time{}
	done := map[string]bool{}
	for _, r := range g.in.Records {
		if _, ok := known[r.Exhibit]; !ok {
			continue
		}
		provenance := ref(g.id("provenance", r.Exhibit))
		switch r.Type {
		case "evidence.acquire.start":
			if !began[r.Exhibit].Set {
				began[r.Exhibit] = r.Time
			}
		case "evidence.acquire.end":
			done[r.Exhibit] = true
			g.acquired(r.Exhibit, began[r.Exhibit], r)
		case "evidence.verify":
			g.action(r, "verified", r.Time, provenance, nil, nil)
		case "custody.release", "custody.receive":
			g.action(r, map[string]string{"custody.release": "released custody", "custody.receive": "received custody"}[r.Type], r.Time, provenance, nil, g.other(r))
		case "custody.dispose":
			g.action(r, "disposed", r.Time, provenance, nil, nil)
		}
	}
	for _, x := range g.in.Exhibits {
		if !done[x.Exhibit] { // sealed, and no record of the end is here
			g.acquired(x.Exhibit, began[x.Exhibit], custody.Record{Exhibit: x.Exhibit, Seq: -1})
		}
	}
}

func (g *graph) acquired(exhibit string, began imaging.Time, r custody.Record) {
	g.action(r, "acquired", began, ref(g.id("source", exhibit)), []any{ref(g.id("image", exhibit)), ref(g.id("provenance", exhibit))}, nil)
}

// other is who stands at the other end of a hand-over.
func (g *graph) other(r custody.Record) []any {
	key := map[string]string{"custody.release": "to", "custody.receive": "from"}[r.Type]
	if who := person(r.Data[key]); who != "" {
		return []any{g.person(who)}
	}
	return nil
}

func (g *graph) action(r custody.Record, name string, began imaging.Time, what object, result, with []any) {
	id := g.id("action", fmt.Sprintf("%s %s %d", name, r.Exhibit, r.Seq))
	a := object{
		"@id": id, "@type": "investigation:InvestigativeAction", "core:name": name, "action:performer": g.person(r.Actor), "action:instrument": g.tool(r.Tool),
		"action:object": []any{what}, "investigation:wasInformedBy": []any{},
	}
	if result != nil {
		a["action:result"] = result
	}
	if with != nil {
		a["action:participant"] = with
	}
	if g.last != "" {
		a["investigation:wasInformedBy"] = []any{ref(g.last)}
	}
	setTime(a, "action:startTime", began)
	setTime(a, "action:endTime", r.Time)
	g.last = id
	g.refs = append(g.refs, ref(id))
	g.add(a)
}

func setTime(m object, name string, t imaging.Time) {
	if t.Set {
		m[name] = object{"@type": "xsd:dateTime", "@value": t.String()}
	}
}

var caseContext = map[string]string{
	"kb":            "http://example.org/kb/",
	"investigation": "https://ontology.caseontology.org/case/investigation/",
	"core":          "https://ontology.unifiedcyberontology.org/uco/core/",
	"action":        "https://ontology.unifiedcyberontology.org/uco/action/",
	"identity":      "https://ontology.unifiedcyberontology.org/uco/identity/",
	"observable":    "https://ontology.unifiedcyberontology.org/uco/observable/",
	"tool":          "https://ontology.unifiedcyberontology.org/uco/tool/",
	"types":         "https://ontology.unifiedcyberontology.org/uco/types/",
	"xsd":           "http://www.w3.org/2001/XMLSchema#",
}

// uuid makes a version 8 UUID (RFC 9562) of a name.
func uuid(name string) string {
	h := sha256.Sum256([]byte(name))
	h[6], h[8] = h[6]&0x0f|0x80, h[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", h[0:4], h[4:6], h[6:8], h[8:10], h[10:16])
}
