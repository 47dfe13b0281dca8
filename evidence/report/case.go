package report

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"path"
	"strings"

	"snapcase/imaging"
)

// CASE writes the exhibits and their acquisition as CASE 1.4 / UCO JSON-LD:
// who acquired what, with which tool, when, and the digest. Ids are derived
// from the content, so the same case gives the same bytes.
func CASE(w io.Writer, in Input) error {
	id := func(kind, of string) string { return "kb:" + kind + "-" + uuid(in.Case.ID+kind+of) }
	ref := func(s string) map[string]any { return map[string]any{"@id": s} }
	person, tool := id("person", in.Case.Examiner), id("tool", in.Version)
	graph := []any{
		map[string]any{"@id": person, "@type": "identity:Person", "core:name": in.Case.Examiner},
		map[string]any{"@id": tool, "@type": "tool:Tool", "core:name": "snapcase", "tool:version": in.Version, "tool:toolType": "forensic workbench"},
	}
	objects := []any{}
	if in.Case.Authority != "" {
		a := id("authorization", "")
		objects = append(objects, ref(a))
		graph = append(graph, map[string]any{"@id": a, "@type": "investigation:Authorization", "investigation:authorizationType": "recorded", "investigation:authorizationIdentifier": []any{in.Case.Authority}})
	}
	began, ended := acquisitionTimes(in)
	for _, x := range in.Exhibits {
		source, image, act, prov := id("source", x.Exhibit), id("image", x.Exhibit), id("acquire", x.Exhibit), id("provenance", x.Exhibit)
		name := "manifest-sha256.txt"
		if x.Kind.Image() {
			name = "image.raw"
		}
		facet := map[string]any{"@id": id("filefacet", x.Exhibit), "@type": "observable:FileFacet", "observable:fileName": name, "observable:filePath": path.Join("data/exhibits", x.Exhibit, name), "observable:isDirectory": false}
		if x.Kind.Image() {
			facet["observable:sizeInBytes"] = map[string]any{"@type": "xsd:integer", "@value": fmt.Sprint(x.Bytes)}
		}
		hash := map[string]any{"@id": id("hash", x.Exhibit), "@type": "types:Hash", "types:hashMethod": "SHA256", "types:hashValue": map[string]any{"@type": "xsd:hexBinary", "@value": x.SHA256.String()}}
		action := map[string]any{
			"@id": act, "@type": "investigation:InvestigativeAction", "core:name": "acquired", "action:performer": ref(person), "action:instrument": ref(tool),
			"action:object": []any{ref(source)}, "action:result": []any{ref(image), ref(prov)}, "investigation:wasInformedBy": []any{},
		}
		setTime(action, "action:startTime", began[x.Exhibit])
		setTime(action, "action:endTime", ended[x.Exhibit])
		graph = append(graph,
			map[string]any{"@id": source, "@type": "observable:ObservableObject", "core:name": strings.ToValidUTF8(x.Source, "\uFFFD")},
			map[string]any{"@id": image, "@type": "observable:File", "core:hasFacet": []any{facet, map[string]any{"@id": id("content", x.Exhibit), "@type": "observable:ContentDataFacet", "observable:hash": []any{hash}}}},
			map[string]any{"@id": prov, "@type": "investigation:ProvenanceRecord", "core:description": strings.ToValidUTF8(x.Label, "\uFFFD"), "investigation:exhibitNumber": x.Exhibit, "core:object": ref(image)},
			action)
		objects = append(objects, ref(act), ref(prov))
	}
	graph = append(graph, map[string]any{"@id": id("investigation", ""), "@type": "investigation:Investigation", "core:name": in.Case.Title, "core:object": objects})
	enc := json.NewEncoder(w)
	enc.SetIndent("", " ")
	return enc.Encode(map[string]any{"@context": caseContext, "@graph": graph})
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

func acquisitionTimes(in Input) (began, ended map[string]imaging.Time) {
	began, ended = map[string]imaging.Time{}, map[string]imaging.Time{}
	for _, r := range in.Records {
		switch r.Type {
		case "evidence.acquire.start":
			if _, ok := began[r.Exhibit]; !ok {
				began[r.Exhibit] = r.Time
			}
		case "evidence.acquire.end":
			ended[r.Exhibit] = r.Time
		}
	}
	return began, ended
}

func setTime(m map[string]any, name string, t imaging.Time) {
	if t.Set {
		m[name] = map[string]any{"@type": "xsd:dateTime", "@value": t.String()}
	}
}

// uuid makes a version 8 UUID (RFC 9562) of a name.
func uuid(name string) string {
	h := sha256.Sum256([]byte(name))
	h[6], h[8] = h[6]&0x0f|0x80, h[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", h[0:4], h[4:6], h[6:8], h[8:10], h[10:16])
}
