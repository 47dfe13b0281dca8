package main

import (
	"bytes"
	"encoding/json"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// flatten is a jq program that turns CloudTrail files into one row an event
// and copy, with what a trace needs.
const flatten = `
(if type == "object" and has("Records") then .Records[] elif type == "array" then .[] else . end)
| {id: .eventID, time: .eventTime, name: .eventName, region: .awsRegion,
   key: ((.userIdentity.accessKeyId // "") | tostring),
   pid: .userIdentity.principalId,
   created: .userIdentity.sessionContext.attributes.creationDate,
   failed: (((.errorCode // "") != "") or ((.errorMessage // "") != "")),
   service: (.userIdentity.type == "AWSService"),
   issued: ([.responseElements.credentials.accessKeyId?, .responseElements.accessKey.accessKeyId?] | map(select(. != null)) | first),
   assumed: (.responseElements.assumedRoleUser.assumedRoleId? // .responseElements.federatedUser.federatedUserId?)}`

type flatEvent struct {
	ID, Time, Name, Region, Key, PID, Created, Issued, Assumed string
	Failed, Service                                            bool
}

// TestCorpusTraces compares the trace of every key of the public sets with
// what jq gives for the same files.
func TestCorpusTraces(t *testing.T) {
	corpus := os.Getenv("SNAPCASE_CORPUS")
	if corpus == "" {
		t.Skip("needs SNAPCASE_CORPUS, a folder with cloudtrail/")
	}
	if _, err := exec.LookPath("jq"); err != nil {
		t.Skip("needs jq")
	}
	sets, err := filepath.Glob(filepath.Join(corpus, "cloudtrail", "*"))
	must(t, err)
	for _, set := range sets {
		if fi, err := os.Stat(set); err != nil || !fi.IsDir() {
			continue
		}
		t.Run(filepath.Base(set), func(t *testing.T) { compareTraces(t, set) })
	}
}

func compareTraces(t *testing.T, set string) {
	events := flat(t, set)
	home := t.TempDir()
	cs := filepath.Join(home, "case")
	output(t, home, []int{0}, "new", cs, "--title", "T", "--examiner", "jdoe")
	output(t, home, []int{0, 4}, "acquire", cs, set, "--as", "cloudtrail")
	keys := map[string]bool{}
	for _, e := range events {
		keys[e.Key], keys[e.Issued] = true, true
	}
	delete(keys, "")
	if len(keys) == 0 {
		t.Fatal("no keys in the set")
	}
	for _, k := range slices.Sorted(maps.Keys(keys)) {
		if !strings.HasPrefix(k, "AKIA") && !strings.HasPrefix(k, "ASIA") || len(k) != 20 {
			continue // anonymised
		}
		got := traceFigures(t, output(t, home, []int{0, 4}, "trace", cs, k, "--json"))
		if want := plainTrace(events, k); !equalJSON(t, got, want) {
			t.Errorf("trace of %s:\n%s\njq gives\n%s", k, toJSON(t, got), toJSON(t, want))
		}
	}
	t.Logf("%d events, %d keys", len(events), len(keys))
}

func flat(t *testing.T, set string) []flatEvent {
	t.Helper()
	var files []string
	must(t, filepath.WalkDir(set, func(p string, d os.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(p, ".json") {
			files = append(files, p)
		}
		return err
	}))
	seen := map[string]bool{}
	var all []flatEvent
	for _, f := range files {
		out, err := exec.Command("jq", "-c", flatten, f).Output() // what is no JSON gives the rows before it
		if err != nil && len(out) == 0 {
			continue
		}
		for l := range bytes.Lines(out) {
			var e flatEvent
			must(t, json.Unmarshal(l, &e))
			if !seen[e.ID] {
				seen[e.ID] = true
				all = append(all, e)
			}
		}
	}
	return all
}

type figures struct {
	Events      int64
	First, Last string
	Regions     map[string]int64
	Calls       map[string][2]int64
	Issued      map[string]string // key: join
}

// plainTrace works a trace out with maps and loops.
func plainTrace(events []flatEvent, key string) figures {
	f := figures{Regions: map[string]int64{}, Calls: map[string][2]int64{}, Issued: map[string]string{}}
	used, issued := map[string]bool{}, map[string]bool{}
	for _, e := range events {
		used[e.Key], issued[e.Issued] = true, true
	}
	reached := map[string]bool{key: true}
	for grown := true; grown; {
		grown = false
		add := func(k, join string) {
			if k != "" && !reached[k] {
				reached[k], f.Issued[k], grown = true, join, true
			}
		}
		for _, e := range events {
			if e.Issued == "" || !reached[e.Key] {
				continue
			}
			add(e.Issued, "key-id")
			if used[e.Issued] || e.Assumed == "" {
				continue
			}
			for _, u := range events {
				if strings.HasPrefix(u.Key, "ASIA") && !issued[u.Key] && u.PID == e.Assumed && u.Created == e.Time {
					add(u.Key, "session")
				}
			}
		}
	}
	for _, e := range events {
		if e.Key == key {
			f.Events++
			if f.First == "" || e.Time < f.First {
				f.First = e.Time
			}
			f.Last = max(f.Last, e.Time)
		}
		if e.Key == "" || !reached[e.Key] {
			continue
		}
		f.Regions[e.Region]++
		c := f.Calls[e.Name]
		if e.Failed {
			c[1]++
		} else {
			c[0]++
		}
		f.Calls[e.Name] = c
	}
	return f
}

func traceFigures(t *testing.T, text []byte) figures {
	t.Helper()
	var tr struct {
		Events  int64
		First   string
		Last    string
		Regions []struct {
			Region string
			Events int64
		}
		Calls []struct {
			Name   string
			OK     int64 `json:"ok"`
			Failed int64
		}
		Issued []struct {
			KeyID string `json:"key_id"`
			Join  string
		}
	}
	must(t, json.Unmarshal(text, &tr))
	f := figures{Events: tr.Events, First: tr.First, Last: tr.Last, Regions: map[string]int64{}, Calls: map[string][2]int64{}, Issued: map[string]string{}}
	for _, r := range tr.Regions {
		f.Regions[r.Region] = r.Events
	}
	for _, c := range tr.Calls {
		f.Calls[c.Name] = [2]int64{c.OK, c.Failed}
	}
	for _, k := range tr.Issued {
		f.Issued[k.KeyID] = k.Join
	}
	return f
}

func toJSON(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	must(t, err)
	return string(b)
}

func equalJSON(t *testing.T, a, b any) bool { return toJSON(t, a) == toJSON(t, b) }
