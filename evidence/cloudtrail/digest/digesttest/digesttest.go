// Package digesttest makes a bucket with CloudTrail logs and signed digests, as
// CloudTrail delivers them, for tests: an hour has a digest and two logs, every
// fifth hour is quiet. It signs with a key of its own.
package digesttest

import (
	"bytes"
	"compress/gzip"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"snapcase/evidence"
)

// Bucket is a bucket with logs and digests.
type Bucket struct {
	t       testing.TB
	Key     *rsa.PrivateKey
	Start   time.Time // when the first hour begins
	Name    string
	Objects map[string]*Object // by key
	Digests []string           // their keys, in order
	Sums    []string           // of the unpacked digests, hexadecimal
	Sigs    []string
}

// Object is an object with the user's metadata; Older is what an older version
// of it had.
type Object struct {
	Data     []byte
	Metadata map[string]string
	Older    []byte
}

// Fingerprint is that of the key.
const Fingerprint = "67b9fa73676d86966b449dd677850753"

// TheKey is the key that signs.
var TheKey = sync.OnceValue(func() *rsa.PrivateKey {
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return k
})

// Chain makes hours digests with two logs an hour, none in every fifth.
func Chain(t testing.TB, hours int) *Bucket {
	return Unsigned(t, TheKey(), hours)
}

// Unsigned makes them with a key, or nil for signatures that are none.
func Unsigned(t testing.TB, key *rsa.PrivateKey, hours int) *Bucket {
	m := &Bucket{t: t, Key: key, Start: time.Date(2026, 11, 20, 22, 1, 31, 0, time.UTC), Name: "trail-bucket", Objects: map[string]*Object{}}
	for h := range hours {
		m.Hour(h, h == 0)
	}
	return m
}

// Answer is what ListPublicKeys says of a key.
func Answer(k *rsa.PrivateKey) []byte {
	return fmt.Appendf(nil, `{"PublicKeyList":[{"Fingerprint":%q,"Value":%q}]}`, Fingerprint, base64.StdEncoding.EncodeToString(x509.MarshalPKCS1PublicKey(&k.PublicKey)))
}

// Pack packs a text.
func Pack(text []byte) []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	z.Write(text) //nolint:errcheck // to memory
	z.Close()     //nolint:errcheck // to memory
	return b.Bytes()
}

// Unpack is the text of what is packed.
func Unpack(t testing.TB, data []byte) []byte {
	z, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

const prefix = "AWSLogs/111122223333/"

// LogKey is the key of a log.
func (m *Bucket) LogKey(at time.Time, n int) string {
	return fmt.Sprintf("%sCloudTrail/eu-west-1/%s/111122223333_CloudTrail_eu-west-1_%s_%016d.json.gz", prefix, at.Format("2006/01/02"), at.Format("20060102T1504Z"), n)
}

// DigestKey is the key of a digest.
func (m *Bucket) DigestKey(end time.Time) string {
	return fmt.Sprintf("%sCloudTrail-Digest/eu-west-1/%s/111122223333_CloudTrail-Digest_eu-west-1_my_trail_eu-west-1_%s.json.gz", prefix, end.Format("2006/01/02"), end.Format("20060102T150405Z"))
}

// Hour delivers the logs and the digest of an hour.
func (m *Bucket) Hour(h int, first bool) {
	from := m.Start.Add(time.Duration(h) * time.Hour)
	logs := []any{}
	for n := range 2 {
		if h%5 == 4 {
			break
		}
		key, text := m.LogKey(from.Add(time.Duration(5+20*n)*time.Minute), n), fmt.Appendf(nil, `{"Records":[{"eventID":"%d-%d","eventName":"N","eventSource":"s"}]}`, h, n)
		m.Objects[key] = &Object{Data: Pack(text)}
		sum := sha256.Sum256(text)
		logs = append(logs, map[string]any{"s3Bucket": m.Name, "s3Object": key, "hashValue": hex.EncodeToString(sum[:]), "hashAlgorithm": "SHA-256", "newestEventTime": nil, "oldestEventTime": nil})
	}
	m.Digest(from, from.Add(time.Hour), first, logs)
}

// Digest delivers a digest that lists logs.
func (m *Bucket) Digest(from, to time.Time, first bool, logs []any) {
	d := map[string]any{
		"awsAccountId": "111122223333", "digestStartTime": from.Format(time.RFC3339), "digestEndTime": to.Format(time.RFC3339),
		"digestS3Bucket": m.Name, "digestS3Object": m.DigestKey(to), "digestPublicKeyFingerprint": Fingerprint, "digestSignatureAlgorithm": "SHA256withRSA",
		"newestEventTime": nil, "oldestEventTime": nil, "logFiles": logs,
		"previousDigestS3Bucket": nil, "previousDigestS3Object": nil, "previousDigestHashValue": nil, "previousDigestHashAlgorithm": nil, "previousDigestSignature": nil,
	}
	if n := len(m.Digests); !first {
		d["previousDigestS3Bucket"], d["previousDigestS3Object"], d["previousDigestHashAlgorithm"] = m.Name, m.Digests[n-1], "SHA-256"
		d["previousDigestHashValue"], d["previousDigestSignature"] = m.Sums[n-1], m.Sigs[n-1]
	}
	m.put(d, m.Key)
}

// put signs a digest and puts it where it says that it is.
func (m *Bucket) put(d map[string]any, key *rsa.PrivateKey) {
	text, err := json.Marshal(d)
	if err != nil {
		m.t.Fatal(err)
	}
	object, sig := m.sign(d, text, key)
	sum := sha256.Sum256(text)
	m.Digests, m.Sums, m.Sigs = append(m.Digests, object), append(m.Sums, hex.EncodeToString(sum[:])), append(m.Sigs, sig)
}

func (m *Bucket) sign(d map[string]any, text []byte, key *rsa.PrivateKey) (name, sig string) {
	previous, ok := d["previousDigestSignature"].(string)
	if !ok {
		previous = "null"
	}
	sum := sha256.Sum256(text)
	name = d["digestS3Object"].(string)                                                                                                                                         //nolint:errcheck // made so
	signed := sha256.Sum256([]byte(strings.Join([]string{d["digestEndTime"].(string), d["digestS3Bucket"].(string) + "/" + name, hex.EncodeToString(sum[:]), previous}, "\n"))) //nolint:errcheck // made so
	sig = "00"
	if key != nil {
		b, err := rsa.SignPKCS1v15(nil, key, crypto.SHA256, signed[:])
		if err != nil {
			m.t.Fatal(err)
		}
		sig = hex.EncodeToString(b)
	}
	m.Objects[name] = &Object{Data: Pack(text), Metadata: map[string]string{"signature": sig, "signature-algorithm": "SHA256withRSA"}}
	return name, sig
}

// Change gives a digest other content under its old metadata, or signed anew.
func (m *Bucket) Change(n int, key *rsa.PrivateKey, change func(d map[string]any)) {
	o := m.Objects[m.Digests[n]]
	var d map[string]any
	if err := json.Unmarshal(Unpack(m.t, o.Data), &d); err != nil {
		m.t.Fatal(err)
	}
	change(d)
	text, err := json.Marshal(d)
	if err != nil {
		m.t.Fatal(err)
	}
	if key == nil {
		o.Data = Pack(text)
		return
	}
	m.sign(d, text, key)
}

// LogsOf are the keys of the logs of an hour.
func (m *Bucket) LogsOf(h int) []string {
	from := m.Start.Add(time.Duration(h) * time.Hour)
	return []string{m.LogKey(from.Add(5*time.Minute), 0), m.LogKey(from.Add(25*time.Minute), 1)}
}

// Codes are the codes of the failures with how often each is there.
func Codes(v evidence.TrailValidation) string {
	count := map[string]int{}
	for _, f := range v.Failures {
		count[f.Code]++
	}
	var all []string
	for c, n := range count {
		if n > 1 {
			c = fmt.Sprintf("%s×%d", c, n)
		}
		all = append(all, c)
	}
	slices.Sort(all)
	return strings.Join(all, " ")
}
