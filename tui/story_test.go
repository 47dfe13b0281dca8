package tui

import (
	"bytes"
	"strings"
	"testing"

	tea "charm.land/bubbletea/v2"

	"snapcase/evidence"
)

// TestStory walks from a finding to the key, its trace, its events and the
// moment, and back (the walk of the demonstration case).
func TestStory(t *testing.T) {
	r := newRig(t, &fakeCase{n: 4182}, 120, 36, Options{})
	r.has("[EVIDENCE RO]", "Access key on disk used in CloudTrail", "● idle")
	r.press("6").has("AKIAIOSFODNN7EXAMPLE", "deleted", "fingerprint 3e91c07a52f0d188")
	r.press("enter").has("Trace › access-key AKIAIOSFODNN7EXAMPLE", "ap-southeast-1 ▲", "i-0b20aa11bb22cc33d", "└─ ASIAJEXAMPLEEXAMPLEQ")
	r.press("]").has("‹instances 1›", "10.0.1.9 203.0.113.99")
	r.press("] ]").has("▲ tunnel")
	r.press("c").has("CloudTrail", "key=AKIAIOSFODNN7EXAMPLE ✕", "region=us-east-1 ✕", "GetCallerIdentity")
	r.press("j T").has("moments", "▸").lacks("CloudTrail   key=")
	r.press("ctrl+o").has("key=AKIAIOSFODNN7EXAMPLE ✕")
	if e, ok := r.m.screens[secEvents].(*eventScreen).list.value(); !ok || e.Record.N != 2 {
		t.Errorf("ctrl-o came back to another row: %+v", e.Record)
	}
	r.press("esc").has("key=AKIAIOSFODNN7EXAMPLE ✕").lacks("region=")
	r.press("esc").lacks("key=AKIA")
}

// TestBytes opens a place of a key: the key stands out, the secret is masked
// in every tab and in the copies.
func TestBytes(t *testing.T) {
	const secret = "wJalrXUtnFEMI/K7MDENG"
	r := newRig(t, &fakeCase{n: 10}, 120, 36, Options{})
	r.press("6 tab enter").has("Files › EX-001 › p2 › /home/ec2-user/.aws", "‹hex›", "•• •• ••")
	for range viewTabs {
		r.lacks(secret, "K7MDENG", "4b 37 4d 44") // K7MD
		r.press("]")
	}
	r.press("]").has("‹text›", "aws_access_key_id = AKIAIOSFODNN7EXAMPLE", "****")
	r.press("]").has("‹strings›", "[default]").lacks(secret)
	r.press("]").has("‹meta›", "116 bytes")
	r.press("] / ").typed("region").press("enter").has("‹hex›")
	if v := r.m.screens[secFiles].(*fileScreen).view; v.mark[0] != int64(strings.Index(credentials, "region")) {
		t.Errorf("found at %d", v.mark[0])
	}
	e := newRig(t, &fakeCase{n: 10}, 120, 36, Options{})
	e.press("7 ]").has("‹JSON›", "secretAccessKey").lacks(secret)
}

// TestSecretAcrossChunks: a secret that begins before the window is masked in
// it.
func TestSecretAcrossChunks(t *testing.T) {
	b := bytes.Repeat([]byte("x "), 40<<10)
	copy(b[32768-100:], credentials)
	at := bytes.Index(b, []byte("wJalr")) + 10
	c := readChunk(someBytes(b), int64(at))
	if len(c.masks) == 0 || c.masks[0][0] > 0 && c.masks[0][0] > at-int(c.off) {
		t.Fatalf("chunk at %d has masks %v", c.off, c.masks)
	}
	for i := at - int(c.off); i < at-int(c.off)+20; i++ {
		if i < c.masks[0][0] || i >= c.masks[0][1] {
			t.Fatalf("byte %d of the secret is not masked by %v", i, c.masks)
		}
	}
}

// TestQuery fills in the form: the lookups combine, each is a chip, esc drops
// the last, E all.
func TestQuery(t *testing.T) {
	r := newRig(t, &fakeCase{n: 4182}, 120, 36, Options{})
	r.press("7 f").typed("Marc q").press("tab").typed("RunInstances").press("enter").has("user=Marc q ✕", "name=RunInstances ✕", "of 4,182)")
	if q := r.m.screens[secEvents].(*eventScreen).q; q.User != "Marc q" || q.Name != "RunInstances" {
		t.Errorf("the query is %+v", q)
	}
	r.press("esc").has("user=Marc q ✕").lacks("name=RunInstances")
	r.press("E").lacks("✕")
	r.press("right right =").has("name=DescribeInstances ✕")
	r.press("E / ").typed("nothing").press("enter").has("0 of 4,182 events match.", "text=nothing ✕")
}

// TestFilter filters the ledger as the examiner types; esc brings it back.
func TestFilter(t *testing.T) {
	r := newRig(t, &fakeCase{n: 10}, 120, 36, Options{})
	r.press("4 /").typed("acquire.end").has("(7 of 42)")
	r.press("esc").has("Ledger (42)")
}

// TestPalette runs an action, a section with an argument, and a row number.
func TestPalette(t *testing.T) {
	r := newRig(t, &fakeCase{n: 4182}, 120, 36, Options{})
	r.press(":").has(":copy").typed("timel").press("enter").has("Timeline", "moments")
	r.press(":").typed("4000").press("enter").has("row 4,000/4,182")
	r.press(":").typed("go-to-time 2019-09-04 21:10").press("enter").has("understood as 2019-09-04 21:10:00Z", "2019-09-04 21:10:00Z")
	r.press(":").typed("trace AKIAIOSFODNN7EXAMPLE").press("enter").has("Trace › access-key")
	r.press("?").has("keys: Trace", "snapcase trace CASE").typed("suspend").has("ctrl-z").lacks("half a page")
}

// TestMarks marks a range and takes the marks away.
func TestMarks(t *testing.T) {
	r := newRig(t, &fakeCase{n: 100}, 120, 36, Options{})
	r.press("7 space j j v").has("4 marked", "a.json.gz#4 ")
	r.press(`ctrl+\`).lacks("marked")
}

// TestBadges: always exactly one.
func TestBadges(t *testing.T) {
	for want, f := range map[string]*fakeCase{"[EVIDENCE RO]": {}, "[READ-ONLY]": {readOnly: true}, "[BUNDLE READ-ONLY]": {readOnly: true, bundle: true}} {
		r := newRig(t, f, 80, 24, Options{})
		if s := r.has(want).screen(); strings.Count(s, "RO]")+strings.Count(s, "ONLY]") != 1 {
			t.Errorf("not one badge:\n%s", s)
		}
	}
}

// TestASCII draws without box and block glyphs, TestA11y without borders.
func TestASCII(t *testing.T) {
	r := newRig(t, &fakeCase{n: 100}, 120, 36, Options{ASCII: true})
	for s := secOverview; s < sections; s++ {
		r.run(goTo[screen](s, nil))
		for _, c := range r.screen() {
			if c >= 0x2190 && c < 0x2700 || c >= 0xb7 && c == 0xd7 {
				t.Fatalf("%s shows %q:\n%s", s.title(), c, r.screen())
			}
		}
	}
}

// TestA11y: one pane, no borders, charts as numbers.
func TestA11y(t *testing.T) {
	r := newRig(t, &fakeCase{n: 100}, 120, 36, Options{A11y: true, Color: "never"})
	for s := secOverview; s < sections; s++ {
		r.run(goTo[screen](s, nil))
		r.lacks("╭", "│ ", "█")
	}
	r.run(goTo[screen](secOverview, nil))
	r.press("tab").has("bar 1:")
}

// TestTypedTimes reads what examiners write.
func TestTypedTimes(t *testing.T) {
	for in, want := range map[string]string{
		"2019-09-04T23:00Z": "2019-09-04T23:00:00Z", "2019-09-04 23:00": "2019-09-04T23:00:00Z", "2019-09-04": "2019-09-04T00:00:00Z", "2019-09-04T23:00:13.5Z": "2019-09-04T23:00:13.5Z",
		"2019-09-05T01:00:00+02:00": "2019-09-04T23:00:00Z", "1567638013": "2019-09-04T23:00:13Z",
	} {
		if got, err := parseTime(in); err != nil || got.String() != want {
			t.Errorf("parseTime(%q) is %v, %v; want %s", in, got, err, want)
		}
	}
	for _, in := range []string{"", "yesterday", "2019-13-01", "12"} {
		if _, err := parseTime(in); err == nil {
			t.Errorf("parseTime(%q) is no error", in)
		}
	}
}

// TestHostileNames: names made of escape sequences show escaped.
func TestHostileNames(t *testing.T) {
	r := newRig(t, &fakeCase{n: 10}, 120, 60, Options{})
	r.run(goTo(secFiles, func(s *fileScreen) tea.Cmd { return s.dir("EX-001", "p2", "/home/ec2-user") }))
	r.has("␛[31mred␛[0m", "inv‹U+202E›fdp.exe", "two␊lines␍and␉tab", `‹\x9b›31m`, "␛]52;c;aGk=␇")
	r.has("/etc/␛[31mpasswd")
	if _, err := evidence.ParseAddress("EX-001/p2/1:1/\x1b"); err != nil {
		t.Error(err)
	}
}

// TestRecordView opens a record that a finding names, and T lands on the row of
// the record, not only at its time.
func TestRecordView(t *testing.T) {
	r := newRig(t, &fakeCase{n: 4182}, 120, 36, Options{})
	r.run(goTo[screen](secFindings, nil))
	r.press("tab tab G enter").has("EX-002/us-east-1/a.json.gz#311", "secretAccessKey", "secrets are masked").lacks("wJalrXUtnFEMI")
	r.press("esc").lacks("secrets are masked")
	r.run(goMoment(at(-3600, 0), "EX-001/auth.log#7"))
	r.run(goMoment(fakeMoment(1001).Time, fakeMoment(1001).Record))
	if m, ok := r.m.screens[secTimeline].(*timelineScreen).list.value(); !ok || m.Record != fakeMoment(1001).Record {
		t.Errorf("T landed on %+v", m)
	}
}

// TestDeleted: D hides the deleted entries, then shows only them, at any depth.
func TestDeleted(t *testing.T) {
	r := newRig(t, &fakeCase{n: 10}, 120, 36, Options{})
	r.press("5 tab").has("$Orphan")
	r.press("D").has("without deleted ✕")
	r.press("D").has("only deleted ✕", "at any depth", "home/ec2-user/.bash_history", "·D").lacks("without deleted")
	r.press("D").lacks("✕")
}

// TestStop: esc stops a question that takes its time; r asks again.
func TestStop(t *testing.T) {
	f := &fakeCase{n: 100, block: make(chan struct{})}
	r := blockedRig(t, f, 120, 36)
	r.m.Update(keyMsg("7"))
	_, cmd := r.m.Update(keyMsg("esc"))
	r.run(cmd)
	r.has("✗ stopped before it was answered", "r asks again")
	close(f.block)
	r.press("r").has("RunInstances").lacks("stopped")
}
