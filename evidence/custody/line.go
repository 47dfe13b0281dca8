package custody

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"time"
	"unicode/utf8"

	"snapcase/imaging"
)

// maxLine is the longest line of the ledger, without its LF.
const maxLine = 64 << 10

// zeroHash is prev of record 0 and prev-checkpoint of the first checkpoint.
const zeroHash = "0000000000000000000000000000000000000000000000000000000000000000"

const recordTime = "2006-01-02T15:04:05.000000Z"

func formatTime(t imaging.Time) string { return t.Std().Format(recordTime) }

func parseTime(s string) (imaging.Time, error) {
	t, err := time.Parse(recordTime, s)
	if err != nil || t.Format(recordTime) != s {
		return imaging.Time{}, fmt.Errorf("time %q is not like %s", s, recordTime)
	}
	return imaging.Time{Sec: t.Unix(), Nsec: int32(t.Nanosecond()), Set: true}, nil //nolint:gosec // Nanosecond is below 1e9
}

// encodeRecord is the line of r without its LF.
func encodeRecord(r Record) ([]byte, error) {
	args := make([]any, len(r.Tool.Args))
	for i, a := range r.Tool.Args {
		args[i] = a
	}
	m := map[string]any{
		"v": int64(r.V), "seq": r.Seq, "prev": r.Prev, "case": r.Case, "time": formatTime(r.Time),
		"type": r.Type, "actor": r.Actor, "key": r.Key, "host": r.Host, "boot": r.Boot, "boottime_ns": r.BoottimeNS,
		"tool": map[string]any{"args": args, "name": r.Tool.Name, "sha256": r.Tool.SHA256, "version": r.Tool.Version},
	}
	for k, s := range map[string]string{"exhibit": r.Exhibit, "result": r.Result, "authority": r.Authority, "purpose": r.Purpose, "location": r.Location, "tz": r.TZ} {
		if s != "" {
			m[k] = s
		}
	}
	if r.Corrects != nil {
		m["corrects"] = *r.Corrects
	}
	if r.Clock != nil {
		m["clock"] = r.Clock
	}
	if r.Data != nil {
		m["data"] = r.Data
	}
	for k, v := range r.Other {
		if _, known := m[k]; !known {
			m[k] = v
		}
	}
	b, err := appendObject(make([]byte, 0, 1024), m, 0)
	if err != nil {
		return nil, err
	}
	if len(b) > maxLine {
		return nil, fmt.Errorf("the record has %d bytes, a line at most %d: keep long data in a file of the exhibit and its digest here", len(b), maxLine)
	}
	return b, nil
}

// portable makes text that is not UTF-8 fit the ledger: the value of key k
// goes as base64 under k_b64. Elements of arrays have no key; they become
// objects with the one key b64.
func portable(v any) any {
	switch v := v.(type) {
	case map[string]any:
		m := make(map[string]any, len(v))
		for k, e := range v {
			if s, ok := e.(string); ok && !utf8.ValidString(s) {
				m[escapeBytes(k)+"_b64"] = base64.StdEncoding.EncodeToString([]byte(s))
				continue
			}
			m[escapeBytes(k)] = portable(e)
		}
		return m
	case []any:
		a := make([]any, len(v))
		for i, e := range v {
			if s, ok := e.(string); ok && !utf8.ValidString(s) {
				a[i] = map[string]any{"b64": base64.StdEncoding.EncodeToString([]byte(s))}
				continue
			}
			a[i] = portable(e)
		}
		return a
	case []string:
		a := make([]any, len(v))
		for i, s := range v {
			a[i] = s
		}
		return portable(a)
	case map[string]string:
		m := make(map[string]any, len(v))
		for k, s := range v {
			m[k] = s
		}
		return portable(m)
	}
	return v
}

// lineError is why a line is no record, with a code of the verify report.
type lineError struct {
	Code   string
	Reason string
}

func (e *lineError) Error() string { return e.Code + ": " + e.Reason }

func lineProblem(code, format string, args ...any) *lineError {
	return &lineError{code, fmt.Sprintf(format, args...)}
}

// decodeRecord reads one line without its LF. The record of a line that is
// canonical but lacks a field comes with the error.
func decodeRecord(line []byte) (Record, *lineError) {
	if len(line) > maxLine {
		return Record{}, lineProblem(codeRecordTooLong, "%d bytes, at most %d", len(line), maxLine)
	}
	m, err := parseObject(string(line))
	if err != nil {
		if !json.Valid(line) {
			return Record{}, lineProblem(codeRecordNotJSON, "%v", err)
		}
		return Record{}, lineProblem(codeRecordNotCanonical, "%v", err)
	}
	canon, err := appendObject(make([]byte, 0, len(line)), m, 0)
	if err != nil || !bytes.Equal(canon, line) {
		return Record{}, lineProblem(codeRecordNotCanonical, "it differs from its canonical form")
	}
	r := Record{Hash: sha256Hex(line)}
	f := fields{m: m}
	f.fill(&r)
	if f.err != nil {
		return r, lineProblem(codeRecordFieldMissing, "%v", f.err)
	}
	return r, nil
}

// fields takes the fields of a record out of an object; the first that is
// missing or malformed is the error.
type fields struct {
	m   map[string]any
	err error
}

var (
	hex64      = regexp.MustCompile(`^[0-9a-f]{64}$`)
	decimal    = regexp.MustCompile(`^(0|[1-9][0-9]{0,18})$`)
	caseURN    = regexp.MustCompile(`^urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$`)
	recordType = regexp.MustCompile(`^[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)+$`)
	exhibitID  = regexp.MustCompile(`^EX-[0-9]{3,6}$`)
)

func (f *fields) fill(r *Record) {
	v := f.integer("v", true)
	if v != 1 && f.err == nil {
		f.err = fmt.Errorf("v is %d, this snapcase knows 1", v)
	}
	r.V = int(v)
	r.Seq = f.integer("seq", true)
	r.Prev = f.match("prev", hex64)
	r.Case = f.match("case", caseURN)
	r.Type = f.match("type", recordType)
	r.Actor = f.text("actor", true)
	r.Key = f.text("key", true)
	r.Host = f.text("host", true)
	r.Boot = f.text("boot", true)
	r.BoottimeNS = f.match("boottime_ns", decimal)
	t, err := parseTime(f.text("time", true))
	if err != nil {
		f.fail(err)
	}
	r.Time = t
	f.tool(&r.Tool)
	r.Exhibit = f.text("exhibit", false)
	if r.Exhibit != "" && !exhibitID.MatchString(r.Exhibit) {
		f.fail(fmt.Errorf("exhibit %q is not like EX-001", r.Exhibit))
	}
	r.Result = f.text("result", false)
	r.Authority = f.text("authority", false)
	r.Purpose = f.text("purpose", false)
	r.Location = f.text("location", false)
	r.TZ = f.text("tz", false)
	if _, ok := f.m["corrects"]; ok {
		n := f.integer("corrects", true)
		r.Corrects = &n
	}
	r.Clock = f.object("clock")
	r.Data = f.object("data")
	for k, v := range f.m {
		if !slices.Contains(knownFields, k) {
			if r.Other == nil {
				r.Other = map[string]any{}
			}
			r.Other[k] = v
		}
	}
}

var knownFields = []string{"v", "seq", "prev", "case", "time", "type", "actor", "key", "tool", "host", "boot", "boottime_ns", "exhibit", "result", "authority", "purpose", "location", "tz", "clock", "corrects", "data"}

func (f *fields) fail(err error) {
	if f.err == nil {
		f.err = err
	}
}

func (f *fields) text(key string, required bool) string {
	v, ok := f.m[key]
	if !ok {
		if required {
			f.fail(fmt.Errorf("%s is missing", key))
		}
		return ""
	}
	s, ok := v.(string)
	if !ok {
		f.fail(fmt.Errorf("%s is no string", key))
	}
	return s
}

func (f *fields) match(key string, re *regexp.Regexp) string {
	s := f.text(key, true)
	if f.err == nil && !re.MatchString(s) {
		f.fail(fmt.Errorf("%s is malformed", key))
	}
	return s
}

func (f *fields) integer(key string, required bool) int64 {
	v, ok := f.m[key]
	if !ok {
		if required {
			f.fail(fmt.Errorf("%s is missing", key))
		}
		return 0
	}
	n, ok := v.(int64)
	if !ok || n < 0 {
		f.fail(fmt.Errorf("%s is no number", key))
	}
	return n
}

func (f *fields) object(key string) map[string]any {
	v, ok := f.m[key]
	if !ok {
		return nil
	}
	m, ok := v.(map[string]any)
	if !ok {
		f.fail(fmt.Errorf("%s is no object", key))
	}
	return m
}

func (f *fields) tool(t *Tool) {
	m := f.object("tool")
	if m == nil {
		f.fail(errors.New("tool is missing"))
		return
	}
	in := fields{m: m}
	t.Name = in.text("name", true)
	t.Version = in.text("version", true)
	t.SHA256 = in.match("sha256", hex64)
	args, ok := m["args"].([]any)
	if !ok {
		in.fail(errors.New("args is no array"))
	}
	t.Args = make([]string, len(args))
	for i, a := range args {
		if t.Args[i], ok = a.(string); !ok {
			in.fail(errors.New("args holds something else than strings"))
		}
	}
	if in.err != nil {
		f.fail(fmt.Errorf("tool: %w", in.err))
	}
}
