package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// TestCorpusFigures compares events and keys with a plain decoder over the same
// public files, event by event.
func TestCorpusFigures(t *testing.T) {
	corpus := os.Getenv("SNAPCASE_CORPUS")
	if corpus == "" {
		t.Skip("needs SNAPCASE_CORPUS, a folder with cloudtrail/")
	}
	for _, set := range []string{"invictus", "stratus"} {
		t.Run(set, func(t *testing.T) { compareCorpus(t, filepath.Join(corpus, "cloudtrail", set)) })
	}
}

type plainEvent struct {
	EventID      string `json:"eventID"`
	EventName    string `json:"eventName"`
	AWSRegion    string `json:"awsRegion"`
	EventTime    string `json:"eventTime"`
	ErrorCode    string `json:"errorCode"`
	UserIdentity struct {
		AccessKeyID string `json:"accessKeyId"`
		ARN         string `json:"arn"`
	} `json:"userIdentity"`
	SourceIP string `json:"sourceIPAddress"`
}

func compareCorpus(t *testing.T, logs string) {
	want := plainEvents(t, logs)
	home := t.TempDir()
	cs := filepath.Join(home, "case")
	output(t, home, []int{0}, "new", cs, "--title", "T", "--examiner", "jdoe")
	output(t, home, []int{0}, "acquire", cs, logs, "--as", "cloudtrail")
	seen := 0
	perKey := map[string]int64{}
	sc := bufio.NewScanner(bytes.NewReader(output(t, home, []int{0}, "events", cs, "--json")))
	sc.Buffer(nil, 16<<20)
	for sc.Scan() {
		var e struct {
			EventID string  `json:"event_id"`
			Name    string  `json:"name"`
			Region  string  `json:"region"`
			Time    string  `json:"time"`
			Error   *string `json:"error_code"`
			Key     *string `json:"access_key_id"`
			ARN     *string `json:"arn"`
			IP      *string `json:"source_ip"`
		}
		must(t, json.Unmarshal(sc.Bytes(), &e))
		seen++
		got := plainEvent{EventID: e.EventID, EventName: e.Name, AWSRegion: e.Region, EventTime: e.Time, ErrorCode: text0(e.Error), SourceIP: text0(e.IP)}
		got.UserIdentity.AccessKeyID, got.UserIdentity.ARN = text0(e.Key), text0(e.ARN)
		if w, ok := want[e.EventID]; !ok || got != w {
			t.Errorf("event %s is %+v, the file has %+v", e.EventID, got, w)
		}
		if e.Key != nil {
			perKey[*e.Key]++
		}
	}
	if seen != len(want) {
		t.Errorf("%d events, the files have %d", seen, len(want))
	}
	compareKeys(t, output(t, home, []int{0}, "keys", cs, "--all", "--json"), perKey)
}

func compareKeys(t *testing.T, lines []byte, perKey map[string]int64) {
	t.Helper()
	got := map[string]int64{}
	for l := range bytes.Lines(lines) {
		var k struct {
			KeyID  string `json:"key_id"`
			Events int64  `json:"events"`
		}
		must(t, json.Unmarshal(l, &k))
		got[k.KeyID] = k.Events
	}
	for k, n := range perKey {
		if got[k] != n {
			t.Errorf("key %s: %d events, the files have %d", k, got[k], n)
		}
	}
}

func text0(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

func plainEvents(t *testing.T, dir string) map[string]plainEvent {
	t.Helper()
	all := map[string]plainEvent{}
	files, err := filepath.Glob(filepath.Join(dir, "*.json"))
	must(t, err)
	slices.Sort(files)
	for _, f := range files {
		b, err := os.ReadFile(f)
		must(t, err)
		var doc struct{ Records []plainEvent }
		if json.Unmarshal(b, &doc) != nil || doc.Records == nil {
			must(t, json.Unmarshal(b, &doc.Records))
		}
		for _, e := range doc.Records {
			all[e.EventID] = e
		}
	}
	if len(all) == 0 {
		t.Fatalf("no events in %s", dir)
	}
	return all
}
