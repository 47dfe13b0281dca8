package digest_test

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"snapcase/evidence/cloudtrail/digest"
	"snapcase/evidence/cloudtrail/digest/digesttest"
)

// TestSigned compares the text that is signed with the one in aws-cli's own test
// (test_properly_signs_when_no_previous_signature).
func TestSigned(t *testing.T) {
	d := digest.Digest{EndTime: "a", Bucket: "b", Object: "c"}
	const want = "a\nb/c\nba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\nnull"
	if got := string(d.Signed(sha256.Sum256([]byte("abc")))); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	previous := "0aFF"
	d.PreviousSignature = &previous
	if got := string(d.Signed(sha256.Sum256([]byte("abc")))); got != strings.TrimSuffix(want, "null")+"0aFF" {
		t.Errorf("with a previous one: %q", got)
	}
}

// TestAsOpenSSL lets openssl judge signatures: a good one, and one of which a bit
// was turned.
func TestAsOpenSSL(t *testing.T) {
	if _, err := exec.LookPath("openssl"); err != nil {
		t.Skip("needs openssl")
	}
	m := chain(t, 3)
	der, err := x509.MarshalPKIXPublicKey(&m.Key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	write := func(name string, b []byte) string {
		p := filepath.Join(dir, name)
		if err := os.WriteFile(p, b, 0o600); err != nil {
			t.Fatal(err)
		}
		return p
	}
	pub := write("key.pem", pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
	for _, key := range m.Digests {
		text := digesttest.Unpack(t, m.Objects[key].Data)
		d, err := digest.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		sum := sha256.Sum256(text)
		signed := write("signed", d.Signed(sum))
		sig, err := hex.DecodeString(m.Objects[key].Metadata["signature"])
		if err != nil {
			t.Fatal(err)
		}
		for _, good := range []bool{true, false} {
			if !good {
				sig[17] ^= 4
			}
			ours := d.Verify(sum, hex.EncodeToString(sig), &m.Key.PublicKey) == nil
			theirs := exec.CommandContext(t.Context(), "openssl", "dgst", "-sha256", "-verify", pub, "-signature", write("sig", sig), signed).Run() == nil //nolint:gosec // the test's own files
			if ours != good || theirs != good {
				t.Errorf("%s: we say %t, openssl says %t, want %t", key, ours, theirs, good)
			}
		}
	}
}

// knownKey is the key of aws-cli's tests.
const knownKey = "MIIBCgKCAQEAn11L2YZ9h7onug2ILi1MWyHiMRsTQjfWE+pHVRLk1QjfWhirG+lpOa8NrwQ/r7Ah5bNL6HepznOU9XTDSfmmnP97mqyc7z/upfZdS/AHhYcGaz7n6Wc/RRBU6VmiPCrAUojuSk6/GjvA8iOPFsYDuBtviXarvuLPlrT9kAd4Lb+rFfR5peEgBEkhlzc5HuWO7S0y+KunqxX6jQBnXGMtxmPBPP0FylgWGNdFtks/4YSKcgqwH0YDcawP9GGGDAeCIqPWIXDLG1jOjRRzWfCmD0iJUkz8vTsn4hq/5ZxRFE7UBAUiVcGbdnDdvVfhF9C3dQiDq3k7adQIziLT0cShgQIDAQAB"

// TestKeys reads a key of each form that occurs; the first is that of aws-cli's
// tests.
func TestKeys(t *testing.T) {
	spki, err := x509.MarshalPKIXPublicKey(&digesttest.TheKey().PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	text := `{"PublicKeyList":[{"Fingerprint":"one","Value":"` + knownKey + `"},{"Fingerprint":"two","Value":"` + base64.StdEncoding.EncodeToString(spki) + `"}],"NextToken":null}
{"PublicKeyList":[{"Fingerprint":"three","Value":"YQo="}]}`
	all, err := digest.ParseKeys([]byte(text), "f")
	if len(all) != 2 || err == nil || all[0].Public.Size() != 256 || !all[1].Public.Equal(&digesttest.TheKey().PublicKey) {
		t.Errorf("%d keys, %v", len(all), err)
	}
}

// TestParse refuses what cannot be judged.
func TestParse(t *testing.T) {
	m := chain(t, 2)
	good := string(digesttest.Unpack(t, m.Objects[m.Digests[1]].Data))
	if _, err := digest.Parse([]byte(good)); err != nil {
		t.Fatal(err)
	}
	for _, swap := range [][2]string{
		{`"digestStartTime"`, `"digestStartTimes"`},
		{`"previousDigestSignature"`, `"PreviousDigestSignature"`},
		{`"logFiles"`, `"logfiles"`},
		{`"SHA256withRSA"`, `"MD5withRSA"`},
		{`"hashAlgorithm":"SHA-256"`, `"hashAlgorithm":"MD5"`},
		{`"previousDigestHashAlgorithm":"SHA-256"`, `"previousDigestHashAlgorithm":null`},
		{`"digestEndTime":"`, `"digestEndTime":"x`},
		{`{"awsAccountId"`, `{"digestS3Bucket":"another","awsAccountId"`},
	} {
		bad := strings.Replace(good, swap[0], swap[1], 1)
		if bad == good {
			t.Fatalf("no %s in %s", swap[0], good)
		}
		if _, err := digest.Parse([]byte(bad)); err == nil {
			t.Errorf("%s was taken", swap[1])
		}
	}
}

func FuzzParse(f *testing.F) {
	m := digesttest.Unsigned(&testing.T{}, nil, 2)
	for _, key := range m.Digests {
		text, _, err := digest.Unpack(f.Context(), strings.NewReader(string(m.Objects[key].Data)))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
		f.Add(m.Objects[key].Data)
	}
	f.Add([]byte(`{"logFiles":[null],"digestStartTime":null}`))
	f.Add([]byte(`[]`))
	keys, err := digest.ParseKeys([]byte(`{"PublicKeyList":[{"Fingerprint":"`+digesttest.Fingerprint+`","Value":"`+knownKey+`"}]}`), "f")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		digest.Unpack(t.Context(), strings.NewReader(string(b))) //nolint:errcheck // must not fail
		d, err := digest.Parse(b)
		if err != nil {
			return
		}
		if !d.Start.Before(d.End) {
			t.Error("taken with an end before its start")
		}
		// What is taken goes through a whole validation.
		m := &bucket{t: t, Public: []digest.Key{{Fingerprint: d.Fingerprint, Public: keys[0].Public}}, Bucket: &digesttest.Bucket{Name: d.Bucket, Objects: map[string]*digesttest.Object{
			"AWSLogs/111122223333/CloudTrail-Digest/eu-west-1/2026/11/20/111122223333_CloudTrail-Digest_eu-west-1_t_eu-west-1_20261120T230131Z.json.gz": {Data: digesttest.Pack(b)},
			d.Object: {Data: digesttest.Pack(b), Metadata: map[string]string{"signature": "00"}},
		}}}
		v := m.Validate()
		verdict(t, v)
		if v.Verdict == "valid" {
			t.Error("valid without a signature")
		}
	})
}

// FuzzBeside reads what lies beside digests.
func FuzzBeside(f *testing.F) {
	f.Add([]byte(`{"PublicKeyList":[{"Fingerprint":"a","Value":"YQo="}]}`))
	f.Add([]byte(`{"Metadata":{"Signature":"00"},"VersionId":null}`))
	f.Add([]byte(`{"111122223333/eu-west-1/t":{"LatestDigestDeliveryTime":"2026-11-20T22:00:00Z"},"1/2/3":{"LatestDigestDeliveryTime":1763676091.5}}`))
	f.Fuzz(func(_ *testing.T, b []byte) {
		digest.ParseKeys(b, "f") //nolint:errcheck // must not panic
		digest.ParseMetadata(b)  //nolint:errcheck // must not panic
		digest.ParseStatus(b)    //nolint:errcheck // must not panic
		digest.IsDigest(string(b))
	})
}
