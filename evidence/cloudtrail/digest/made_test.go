package digest_test

import (
	"bytes"
	"compress/gzip"
	"context"
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
	"snapcase/evidence/cloudtrail/digest"
)

// made is a bucket with logs and digests, made as CloudTrail does.
type made struct {
	t       *testing.T
	key     *rsa.PrivateKey
	start   time.Time
	bucket  string
	objects map[string]*object // by key
	digests []string           // keys, in order
	sums    []string           // of the unpacked digests
	sigs    []string
	keys    []digest.Key
	status  []digest.Status
	names   bool // the files know no bucket: they were copied to a folder
}

type object struct {
	data     []byte
	metadata map[string]string
	older    []byte
}

const fingerprint = "67b9fa73676d86966b449dd677850753"

var theKey = sync.OnceValue(func() *rsa.PrivateKey {
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return k
})

// chain makes hours digests with two logs an hour, none in every fifth.
func chain(t *testing.T, hours int) *made {
	m := unsigned(t, theKey(), hours)
	m.keys = []digest.Key{m.public(m.key)}
	return m
}

// unsigned makes them with a key, or nil for signatures that are none.
func unsigned(t *testing.T, key *rsa.PrivateKey, hours int) *made {
	m := &made{t: t, key: key, start: time.Date(2026, 11, 20, 22, 1, 31, 0, time.UTC), bucket: "trail-bucket", objects: map[string]*object{}}
	for h := range hours {
		m.hour(h, h == 0)
	}
	return m
}

func (m *made) public(k *rsa.PrivateKey) digest.Key {
	text := fmt.Sprintf(`{"PublicKeyList":[{"Fingerprint":%q,"Value":%q}]}`, fingerprint, base64.StdEncoding.EncodeToString(x509.MarshalPKCS1PublicKey(&k.PublicKey)))
	all, err := digest.ParseKeys([]byte(text), "given")
	if err != nil || len(all) != 1 {
		m.t.Fatal(all, err)
	}
	return all[0]
}

func pack(text []byte) []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	z.Write(text) //nolint:errcheck // to memory
	z.Close()     //nolint:errcheck // to memory
	return b.Bytes()
}

func unpack(t *testing.T, data []byte) []byte {
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

func (m *made) logKey(at time.Time, n int) string {
	return fmt.Sprintf("%sCloudTrail/eu-west-1/%s/111122223333_CloudTrail_eu-west-1_%s_%016d.json.gz", prefix, at.Format("2006/01/02"), at.Format("20060102T1504Z"), n)
}

func (m *made) digestKey(end time.Time) string {
	return fmt.Sprintf("%sCloudTrail-Digest/eu-west-1/%s/111122223333_CloudTrail-Digest_eu-west-1_my_trail_eu-west-1_%s.json.gz", prefix, end.Format("2006/01/02"), end.Format("20060102T150405Z"))
}

// hour delivers the logs and the digest of an hour.
func (m *made) hour(h int, first bool) {
	from := m.start.Add(time.Duration(h) * time.Hour)
	logs := []any{}
	for n := range 2 {
		if h%5 == 4 {
			break
		}
		key, text := m.logKey(from.Add(time.Duration(5+20*n)*time.Minute), n), fmt.Appendf(nil, `{"Records":[{"eventID":"%d-%d","eventName":"N","eventSource":"s"}]}`, h, n)
		m.objects[key] = &object{data: pack(text)}
		sum := sha256.Sum256(text)
		logs = append(logs, map[string]any{"s3Bucket": m.bucket, "s3Object": key, "hashValue": hex.EncodeToString(sum[:]), "hashAlgorithm": "SHA-256", "newestEventTime": nil, "oldestEventTime": nil})
	}
	m.digest(from, from.Add(time.Hour), first, logs)
}

func (m *made) digest(from, to time.Time, first bool, logs []any) {
	d := map[string]any{
		"awsAccountId": "111122223333", "digestStartTime": from.Format(time.RFC3339), "digestEndTime": to.Format(time.RFC3339),
		"digestS3Bucket": m.bucket, "digestS3Object": m.digestKey(to), "digestPublicKeyFingerprint": fingerprint, "digestSignatureAlgorithm": "SHA256withRSA",
		"newestEventTime": nil, "oldestEventTime": nil, "logFiles": logs,
		"previousDigestS3Bucket": nil, "previousDigestS3Object": nil, "previousDigestHashValue": nil, "previousDigestHashAlgorithm": nil, "previousDigestSignature": nil,
	}
	if n := len(m.digests); !first {
		d["previousDigestS3Bucket"], d["previousDigestS3Object"], d["previousDigestHashAlgorithm"] = m.bucket, m.digests[n-1], "SHA-256"
		d["previousDigestHashValue"], d["previousDigestSignature"] = m.sums[n-1], m.sigs[n-1]
	}
	m.put(d, m.key)
}

// put signs a digest and puts it where it says that it is.
func (m *made) put(d map[string]any, key *rsa.PrivateKey) {
	text, err := json.Marshal(d)
	if err != nil {
		m.t.Fatal(err)
	}
	object, sig := m.sign(d, text, key)
	sum := sha256.Sum256(text)
	m.digests, m.sums, m.sigs = append(m.digests, object), append(m.sums, hex.EncodeToString(sum[:])), append(m.sigs, sig)
}

func (m *made) sign(d map[string]any, text []byte, key *rsa.PrivateKey) (name, sig string) {
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
	m.objects[name] = &object{data: pack(text), metadata: map[string]string{"signature": sig, "signature-algorithm": "SHA256withRSA"}}
	return name, sig
}

// change gives a digest other content under its old metadata, or signed anew.
func (m *made) change(n int, key *rsa.PrivateKey, change func(d map[string]any)) {
	o := m.objects[m.digests[n]]
	var d map[string]any
	if err := json.Unmarshal(unpack(m.t, o.data), &d); err != nil {
		m.t.Fatal(err)
	}
	change(d)
	text, err := json.Marshal(d)
	if err != nil {
		m.t.Fatal(err)
	}
	if key == nil {
		o.data = pack(text)
		return
	}
	m.sign(d, text, key)
}

// logsOf are the keys of the logs of an hour.
func (m *made) logsOf(h int) []string {
	from := m.start.Add(time.Duration(h) * time.Hour)
	return []string{m.logKey(from.Add(5*time.Minute), 0), m.logKey(from.Add(25*time.Minute), 1)}
}

func (m *made) input() *digest.Input {
	in := &digest.Input{Keys: m.keys, Status: m.status}
	keys := make([]string, 0, len(m.objects))
	for k := range m.objects {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	for _, k := range keys {
		f := digest.File{Address: "EX-001/" + k, Key: k, Bucket: m.bucket, Path: k, Log: true, Metadata: m.objects[k].metadata}
		if m.names {
			f.Bucket, f.Key = "", "/copied/here/"+k
		}
		in.Files = append(in.Files, f)
		if m.objects[k].older != nil {
			f.Older, f.Address, f.Path = true, f.Address+"?versionId=v1", "older:"+k
			in.Files = append(in.Files, f)
		}
	}
	in.Open = func(f *digest.File) (io.ReadCloser, error) {
		if k, ok := strings.CutPrefix(f.Path, "older:"); ok {
			return io.NopCloser(bytes.NewReader(m.objects[k].older)), nil
		}
		return io.NopCloser(bytes.NewReader(m.objects[f.Path].data)), nil
	}
	return in
}

func (m *made) validate() evidence.TrailValidation {
	v, err := digest.Validate(context.Background(), m.input())
	if err != nil {
		m.t.Fatal(err)
	}
	return v
}

// codes are the codes of the failures with how often each is there.
func codes(v evidence.TrailValidation) string {
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
