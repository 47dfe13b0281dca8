package digest

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
)

// Digest is the content of a digest file. Pointers are nil where the file has
// null: a starting digest has no previous one.
type Digest struct {
	Account           string    `json:"awsAccountId"`
	StartTime         string    `json:"digestStartTime"`
	EndTime           string    `json:"digestEndTime"` // as written: it is signed so
	Bucket            string    `json:"digestS3Bucket"`
	Object            string    `json:"digestS3Object"`
	Fingerprint       string    `json:"digestPublicKeyFingerprint"`
	Algorithm         string    `json:"digestSignatureAlgorithm"`
	PreviousBucket    *string   `json:"previousDigestS3Bucket"`
	PreviousObject    *string   `json:"previousDigestS3Object"`
	PreviousHash      *string   `json:"previousDigestHashValue"`
	PreviousAlgorithm *string   `json:"previousDigestHashAlgorithm"`
	PreviousSignature *string   `json:"previousDigestSignature"`
	LogFiles          []LogFile `json:"logFiles"`

	Start, End time.Time `json:"-"`
}

// LogFile is a log file that a digest lists.
type LogFile struct {
	Bucket    string `json:"s3Bucket"`
	Object    string `json:"s3Object"`
	Hash      string `json:"hashValue"` // hex, of the unpacked text
	Algorithm string `json:"hashAlgorithm"`
}

const (
	hashAlgorithm      = "SHA-256"
	signatureAlgorithm = "SHA256withRSA"
)

// required must stand in a digest, null or not: what is signed rests on them.
var required = []string{
	"digestStartTime", "digestEndTime", "digestS3Bucket", "digestS3Object", "digestPublicKeyFingerprint",
	"digestSignatureAlgorithm", "previousDigestSignature", "previousDigestHashValue", "previousDigestS3Object", "previousDigestS3Bucket", "logFiles",
}

// Parse reads the unpacked text of a digest file. Text that a reader could take
// in two ways (a name that stands twice, bytes that are not UTF-8) is an error.
func Parse(text []byte) (*Digest, error) {
	var names map[string]present
	if err := json.Unmarshal(text, &names); err != nil {
		return nil, fmt.Errorf("no digest: %w", err)
	}
	for _, n := range required {
		if _, ok := names[n]; !ok {
			return nil, fmt.Errorf("no digest: it has no %s", n)
		}
	}
	d := &Digest{}
	if err := json.Unmarshal(text, d); err != nil {
		return nil, fmt.Errorf("no digest: %w", err)
	}
	return d, d.check()
}

// present takes a value of any kind and keeps nothing of it.
type present struct{}

// UnmarshalJSON takes everything.
func (*present) UnmarshalJSON([]byte) error { return nil }

// check refuses what cannot be judged, and reads the times.
func (d *Digest) check() error {
	var err error
	if d.Start, err = time.Parse(time.RFC3339, d.StartTime); err != nil {
		return fmt.Errorf("digestStartTime: %w", err)
	}
	if d.End, err = time.Parse(time.RFC3339, d.EndTime); err != nil {
		return fmt.Errorf("digestEndTime: %w", err)
	}
	if d.Start, d.End = d.Start.UTC(), d.End.UTC(); !d.Start.Before(d.End) {
		return errors.New("the digest ends before it starts")
	}
	if d.Bucket == "" || d.Object == "" || d.Fingerprint == "" {
		return errors.New("digestS3Bucket, digestS3Object or digestPublicKeyFingerprint is empty")
	}
	if d.Algorithm != signatureAlgorithm {
		return fmt.Errorf("digestSignatureAlgorithm %q is not known", d.Algorithm)
	}
	null := 0
	for _, p := range []*string{d.PreviousBucket, d.PreviousObject, d.PreviousHash, d.PreviousSignature} {
		if p == nil {
			null++
		}
	}
	switch {
	case null != 0 && null != 4:
		return errors.New("only some fields of the previous digest are null")
	case null == 0 && (d.PreviousAlgorithm == nil || *d.PreviousAlgorithm != hashAlgorithm):
		return errors.New("previousDigestHashAlgorithm is not " + hashAlgorithm)
	}
	for i := range d.LogFiles {
		l := &d.LogFiles[i]
		if sum, err := hex.DecodeString(l.Hash); err != nil || len(sum) != sha256.Size || l.Algorithm != hashAlgorithm || l.Object == "" {
			return fmt.Errorf("log file %d of the list has no %s hash or no name", i+1, hashAlgorithm)
		}
	}
	return nil
}

// first says that the digest starts a chain.
func (d *Digest) first() bool { return d.PreviousSignature == nil }

// Signed is the text that is signed; sum is the SHA-256 of the unpacked digest
// file.
func (d *Digest) Signed(sum [sha256.Size]byte) []byte {
	previous := "null"
	if d.PreviousSignature != nil {
		previous = *d.PreviousSignature
	}
	return fmt.Appendf(nil, "%s\n%s/%s\n%x\n%s", d.EndTime, d.Bucket, d.Object, sum, previous)
}

// Verify checks a signature in hexadecimal digits over the digest.
func (d *Digest) Verify(sum [sha256.Size]byte, signature string, key *rsa.PublicKey) error {
	sig, err := hex.DecodeString(strings.TrimSpace(signature))
	if err != nil {
		return errors.New("the signature is not hexadecimal")
	}
	h := sha256.Sum256(d.Signed(sum))
	return rsa.VerifyPKCS1v15(key, crypto.SHA256, h[:], sig)
}
