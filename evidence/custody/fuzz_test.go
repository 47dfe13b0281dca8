package custody

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"testing"
)

func FuzzRecord(f *testing.F) {
	for line := range bytes.Lines(example(f, "ledger.jsonl")) {
		f.Add(bytes.TrimSuffix(line, []byte("\n")))
	}
	f.Add([]byte(`{"a":"\u0001\n","b":[1,-5,true,{}],"é":"x"}`))
	f.Add(bytes.Repeat([]byte("["), 5000))
	f.Fuzz(func(t *testing.T, line []byte) {
		r, bad := decodeRecord(line)
		if bad != nil {
			if bad.Code == "" {
				t.Fatal("no code")
			}
			return
		}
		again, err := encodeRecord(r)
		if err != nil || !bytes.Equal(again, line) {
			t.Fatalf("%v\n%s\n%s", err, line, again)
		}
		if !json.Valid(line) {
			t.Fatalf("no JSON: %s", line)
		}
	})
}

// FuzzJSON holds the canonical parser against encoding/json: what it takes and
// finds canonical is JSON with the same text once written again.
func FuzzJSON(f *testing.F) {
	f.Add(`{"a":"\u0001\n","b":[1,-5,true,{}],"é":"x"}`)
	f.Fuzz(func(t *testing.T, s string) {
		m, err := parseObject(s)
		if err != nil {
			return
		}
		if !json.Valid([]byte(s)) {
			t.Fatalf("%q is no JSON", s)
		}
		b, err := appendObject(nil, m, 0)
		if err != nil {
			t.Fatalf("%q: %v", s, err)
		}
		again, err := parseObject(string(b))
		if err != nil {
			t.Fatalf("%q: %v", b, err)
		}
		if c, err := appendObject(nil, again, 0); err != nil || !bytes.Equal(b, c) {
			t.Fatalf("%q, then %q", b, c)
		}
	})
}

func FuzzCheckpoint(f *testing.F) {
	f.Add(example(f, "00000003.txt"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if c, err := ParseCheckpoint(b); err == nil && !bytes.Equal(c.Text(), b) {
			t.Fatalf("%q, then %q", b, c.Text())
		}
		parseHeldHead(b) //nolint:errcheck // it must only not panic
	})
}

func FuzzSignature(f *testing.F) {
	f.Add(example(f, "00000003.txt.19073141c32d1741.sig"))
	m := NewMessageHashes()
	m.Write(example(f, "00000003.txt"))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := ParseSignature(b)
		if err != nil {
			return
		}
		if s.Verify(m, CheckpointNamespace) == nil && !bytes.Equal(b, example(t, "00000003.txt.19073141c32d1741.sig")) {
			blob, _ := unarmor(b)
			if !bytes.Equal(armor(blob, 64), example(t, "00000003.txt.19073141c32d1741.sig")) {
				t.Fatalf("another signature verifies:\n%s", b)
			}
		}
	})
}

func FuzzSigners(f *testing.F) {
	f.Add(example(f, "allowed_signers"))
	f.Add([]byte("SSHKRL\n\x00\x00\x00\x00\x01"))
	f.Fuzz(func(_ *testing.T, b []byte) {
		parseSigner(string(b)) //nolint:errcheck // it must only not panic
		parseKRL(b)            //nolint:errcheck // as above
	})
}

func FuzzRead(f *testing.F) {
	f.Add(example(f, "ledger.jsonl"))
	f.Fuzz(func(t *testing.T, b []byte) {
		n := 0
		for r, err := range Read(bytes.NewReader(b)) {
			if err == nil && r.Hash == "" {
				t.Fatal("a record without hash")
			}
			n++
		}
		if lines := bytes.Count(b, []byte("\n")); n < lines {
			t.Fatalf("%d of %d lines were yielded", n, lines)
		}
	})
}

// FuzzWithheld reads lines of a redacted ledger: one that counts as withheld has
// only one form.
func FuzzWithheld(f *testing.F) {
	f.Add([]byte(`{"leaf":"YsVBFB7dyjyYjjOFKcFQFZRfuGd5RneG7ecSrcd7R9o=","redacted":true,"seq":3}`))
	f.Add([]byte(`{"leaf":"YsVBFB7dyjyYjjOFKcFQFZRfuGd5RneG7ecSrcd7R9p=","redacted":true,"seq":3}`))
	f.Add([]byte(`{"leaf":"","redacted":true,"seq":-1}`))
	f.Fuzz(func(t *testing.T, line []byte) {
		leaf, seq, ok := withheld(line)
		if !ok {
			return
		}
		if again := fmt.Sprintf(`{"leaf":"%s","redacted":true,"seq":%d}`, base64.StdEncoding.EncodeToString(leaf[:]), seq); again != string(line) {
			t.Fatalf("%q reads as %q", line, again)
		}
	})
}
