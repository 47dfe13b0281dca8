package report

import (
	"fmt"
	"html/template"
	"reflect"
	"strconv"
	"strings"
	"time"

	"snapcase/evidence/custody"
	"snapcase/evidence/visible"
	"snapcase/imaging"
)

// words are the functions of the page. Each string that may come from
// evidence passes "v", "p", "join" or "text".
var words = template.FuncMap{
	"v":     show,
	"p":     func(s *string) template.HTML { return show(orDash(s)) },
	"join":  func(s []string) template.HTML { return show(strings.Join(s, ", ")) },
	"text":  func(d any) template.HTML { return show(fmt.Sprint(d)) },
	"path":  breakable,
	"time":  stamp,
	"span":  span,
	"utc":   func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05Z") },
	"bytes": size,
	"n":     thousands,
	"group": func(hex string) template.HTML { return show(group(hex)) },
	"more":  func(n, shown int) int { return max(0, n-shown) },
	"entry": entry,
	"style": style,
	"many":  many,
	"int64": func(n int) int64 { return int64(n) },
	"len64": func(v any) int64 { return int64(reflect.ValueOf(v).Len()) },
	"deref": func(s *string) string { return *s },
	"half":  func(n int) int { return n / 2 },
	"kind":  kind,
	"chip":  class,
	"level": class,

	"stripTall": func(s strip) int { return len(s.Rows)*(stripHeight+10) + 2 },
	"stripY":    func(i int) int { return i * (stripHeight + 10) },

	"items": items, "handovers": handovers, "endings": endings, "ending": ending,
}

// kind is a resource type without the words that all have.
func kind(s string) string { return strings.TrimPrefix(s, "AWS::") }

// class is the style of a word of ours; other words get none.
func class(word string) string {
	switch word {
	case "informational", "low", "medium", "high", "critical", "allocated", "deleted", "slack", "unallocated", "memory", "log",
		"access-key", "key", "instance", "peer", "issuer", "created", "more", "tunnel", "unusual", "ordinary", "recorded", "joined", "ok", "partial", "failed", "fs", "cloudtrail", "flow", "packet", "host":
		return word
	case "consistent with":
		return "consistent"
	}
	return ""
}

// show is text from evidence on the page: made visible, escaped for HTML, and
// marked where it was not plain.
func show(s string) template.HTML {
	t := visible.Escape(s)
	h := template.HTMLEscapeString(t.String())
	if t.Changed() {
		h = `<span class="esc" title="has characters that are shown escaped">` + h + `</span>`
	}
	return template.HTML(h) //nolint:gosec // escaped above
}

// wraps puts a place to break a line after a slash and between the fields of
// an ARN.
var wraps = strings.NewReplacer("/", "/<wbr>", "::", "::<wbr>")

// breakable is a long name or address: lines may break after a slash.
func breakable(s string) template.HTML {
	t := visible.Escape(s)
	h := wraps.Replace(template.HTMLEscapeString(t.String()))
	if t.Changed() {
		h = `<span class="esc" title="has characters that are shown escaped">` + h + `</span>`
	}
	return template.HTML(h) //nolint:gosec // escaped above
}

// style is the page's own style sheet.
func style() (template.CSS, error) {
	b, err := pages.ReadFile("page/style.css")
	return template.CSS(b), err //nolint:gosec // a file of this program
}

func orDash(s *string) string {
	if s == nil || *s == "" {
		return "–"
	}
	return *s
}

// stamp is a time for a person: UTC, RFC 3339 with a blank for the T.
func stamp(t imaging.Time) string {
	if !t.Set {
		return "–"
	}
	return strings.Replace(t.String(), "T", " ", 1)
}

// span is from when to when, the date once where both share it.
func span(a, b imaging.Time) string {
	x, y := stamp(a), stamp(b)
	switch {
	case x == y:
		return x
	case a.Set && b.Set && len(x) > 10 && len(y) > 10 && x[:10] == y[:10]:
		return x + " to " + y[11:]
	}
	return x + " to " + y
}

func size(n int64) string {
	if n < 1024 {
		return fmt.Sprintf("%d B", n)
	}
	v, i := float64(n), -1
	for v >= 1024 && i < 5 {
		v /= 1024
		i++
	}
	return fmt.Sprintf("%.1f %ciB", v, "KMGTPE"[i])
}

// thousands is a whole number with a thin separator that a spreadsheet and a
// reader both take: 12,105,991.
func thousands(n int64) string {
	s := strconv.FormatInt(n, 10)
	sign := ""
	if s[0] == '-' {
		sign, s = "-", s[1:]
	}
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return sign + s
}

// many is a count with its noun: "1 place", "2 places".
func many(n int64, one, more string) string {
	if n == 1 {
		return "1 " + one
	}
	return thousands(n) + " " + more
}

// group writes a digest in groups of four, to be read aloud.
func group(hex string) string {
	var b strings.Builder
	for i := 0; i < len(hex); i += 4 {
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(hex[i:min(i+4, len(hex))])
	}
	return b.String()
}

// entryWords are the fields of a ledger record's data that the ledger table
// shows; the record itself has all.
var entryWords = []string{"title", "what", "how", "kind", "source", "bytes", "sha256", "reread", "text", "tag", "record", "records", "verdict", "from", "to", "reason", "medium", "match", "offset", "length", "error"}

// entry is what a ledger record says, in one line.
func entry(r custody.Record) template.HTML {
	const longest = 240
	var parts []string
	for _, k := range entryWords {
		v, ok := r.Data[k]
		if !ok {
			continue
		}
		if s := plainValue(v); s != "" {
			parts = append(parts, k+" "+s)
		}
	}
	if r.Purpose != "" {
		parts = append(parts, "purpose "+r.Purpose)
	}
	if r.Corrects != nil {
		parts = append(parts, fmt.Sprintf("corrects record %d", *r.Corrects))
	}
	s := []rune(strings.Join(parts, " · "))
	if len(s) > longest {
		return show(string(s[:longest])) + " …"
	}
	return show(string(s))
}

func plainValue(v any) string {
	switch x := v.(type) {
	case string:
		return x
	case bool, int, int64:
		return fmt.Sprint(x)
	case []any:
		return many(int64(len(x)), "item", "items")
	case map[string]any:
		for _, k := range []string{"name", "id"} {
			if s, ok := x[k].(string); ok {
				return s
			}
		}
	}
	return ""
}
