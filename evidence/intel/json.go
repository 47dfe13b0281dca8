package intel

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"time"

	"snapcase/imaging"
)

// errUnknown is JSON that is neither STIX 2 nor MISP.
var errUnknown = errors.New("JSON of an unknown kind: want a STIX 2 bundle or a MISP event")

// document is the outermost object of either format.
type document struct {
	Type      string            `json:"type"` // bundle, indicator
	Objects   []json.RawMessage `json:"objects"`
	Event     *event            `json:"Event"`
	Response  json.RawMessage   `json:"response"`
	Attribute []attribute       `json:"Attribute"`
}

// event is one of MISP.
type event struct {
	Attribute []attribute `json:"Attribute"`
	Object    []struct {
		Deleted   bool        `json:"deleted"`
		Attribute []attribute `json:"Attribute"`
	} `json:"Object"`
}

type attribute struct {
	Type      string `json:"type"`
	Value     string `json:"value"`
	Deleted   bool   `json:"deleted"`
	FirstSeen string `json:"first_seen"`
	LastSeen  string `json:"last_seen"`
	Timestamp any    `json:"timestamp"` // seconds, as text or number
}

// indicator is one of STIX 2.
type indicator struct {
	Type        string `json:"type"`
	Pattern     string `json:"pattern"`
	PatternType string `json:"pattern_type"`
	ValidFrom   string `json:"valid_from"`
	ValidUntil  string `json:"valid_until"`
	Revoked     bool   `json:"revoked"`
}

// reader gives what a JSON list holds, in its order.
type reader struct {
	yield func(Entry, error) bool
	n     int64
	ended bool
}

func readJSON(in io.Reader, yield func(Entry, error) bool) {
	b, err := io.ReadAll(io.LimitReader(in, mostJSON+1))
	switch {
	case err != nil:
		yield(Entry{}, err)
		return
	case len(b) > mostJSON:
		yield(Entry{}, fmt.Errorf("it has more than %d bytes of JSON: cut it into several lists", mostJSON))
		return
	}
	r := &reader{yield: yield}
	if err := r.any(bytes.TrimPrefix(b, []byte("\xef\xbb\xbf")), 0); err != nil && !r.ended {
		yield(Entry{}, err)
	}
}

// any reads an object or a list of them; depth is how many lists it lies in.
func (r *reader) any(b []byte, depth int) error {
	b = bytes.TrimSpace(b)
	if len(b) > 0 && b[0] == '[' && depth < 2 {
		var all []json.RawMessage
		if err := json.Unmarshal(b, &all); err != nil {
			return fmt.Errorf("read JSON: %w", err)
		}
		for _, one := range all {
			if err := r.any(one, depth+1); err != nil || r.ended {
				return err
			}
		}
		return nil
	}
	var d document
	if err := json.Unmarshal(b, &d); err != nil {
		return fmt.Errorf("read JSON: %w", err)
	}
	switch {
	case d.Type == "bundle":
		for _, o := range d.Objects {
			if r.object(o); r.ended {
				return nil
			}
		}
	case d.Event != nil:
		r.event(d.Event)
	case len(d.Response) > 0 && depth < 2:
		return r.any(d.Response, depth+1)
	case len(d.Attribute) > 0:
		r.attributes(d.Attribute)
	case d.Type != "":
		r.object(b)
	default:
		return errUnknown
	}
	return nil
}

func (r *reader) put(e Entry) {
	if e.N = r.n; !r.ended {
		r.ended = !r.yield(e, nil)
	}
}

func (r *reader) bad(format string, args ...any) {
	if !r.ended {
		r.ended = !r.yield(Entry{}, &BadEntry{N: r.n, Reason: fmt.Sprintf(format, args...)})
	}
}

var (
	comparison = regexp.MustCompile(`(ipv4-addr|ipv6-addr|domain-name):value\s*(=|ISSUBSET)\s*'((?:[^'\\]|\\.)*)'`)
	quotedText = regexp.MustCompile(`'(?:[^'\\]|\\.)*'`)
	joined     = regexp.MustCompile(`\b(AND|FOLLOWEDBY|NOT)\b`)
	listedKind = regexp.MustCompile(`\b(ipv4-addr|ipv6-addr|domain-name):value\b`)
)

// object reads an object of STIX 2.
func (r *reader) object(b []byte) {
	var i indicator
	if err := json.Unmarshal(b, &i); err != nil {
		r.n++
		r.bad("no STIX object: %v", err)
		return
	}
	if i.Type != "indicator" {
		return
	}
	r.n++
	bare := quotedText.ReplaceAllString(i.Pattern, "''")
	switch {
	case i.Revoked || i.PatternType != "" && i.PatternType != "stix" || !listedKind.MatchString(bare):
		return
	case joined.MatchString(bare):
		r.bad("a pattern that joins conditions is not matched: %.200q", i.Pattern)
		return
	}
	all := comparison.FindAllStringSubmatch(i.Pattern, -1)
	if len(all) != len(listedKind.FindAllString(bare, -1)) {
		r.bad("a comparison that is neither = nor ISSUBSET: %.200q", i.Pattern)
	}
	for _, m := range all {
		e, err := parse(strings.ReplaceAll(strings.ReplaceAll(m[3], `\'`, `'`), `\\`, `\`))
		if err != nil {
			r.bad("%.80q: %v", m[3], err)
			continue
		}
		e.From, e.Until = parseTime(i.ValidFrom), parseTime(i.ValidUntil)
		r.put(e)
	}
}

func (r *reader) event(e *event) {
	r.attributes(e.Attribute)
	for _, o := range e.Object {
		if !o.Deleted {
			r.attributes(o.Attribute)
		}
	}
}

func (r *reader) attributes(all []attribute) {
	for _, a := range all {
		r.n++
		if a.Deleted || r.ended {
			continue
		}
		var values []string
		switch a.Type {
		case "ip-src", "ip-dst", "domain", "hostname":
			values = []string{a.Value}
		case "ip-src|port", "ip-dst|port", "hostname|port":
			value, _, _ := strings.Cut(a.Value, "|")
			values = []string{value}
		case "domain|ip":
			values = strings.SplitN(a.Value, "|", 2)
		}
		for _, v := range values {
			e, err := parse(v)
			if err != nil {
				r.bad("%.80q: %v", v, err)
				continue
			}
			if e.From = parseTime(a.FirstSeen); !e.From.Set {
				e.From = seconds(a.Timestamp)
			}
			r.put(e)
		}
	}
}

// seconds is a time of MISP.
func seconds(v any) imaging.Time {
	var n int64
	switch v := v.(type) {
	case string:
		var err error
		if n, err = strconv.ParseInt(v, 10, 64); err != nil {
			return imaging.Time{}
		}
	case float64:
		if v < 0 || v > 1<<40 {
			return imaging.Time{}
		}
		n = int64(v)
	}
	if n <= 0 || n > 1<<33 {
		return imaging.Time{}
	}
	return imaging.TimeOf(time.Unix(n, 0).UTC())
}
