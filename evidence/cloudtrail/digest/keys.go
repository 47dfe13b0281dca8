package digest

import (
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
)

// Key is a public key of CloudTrail.
type Key struct {
	Fingerprint string
	Public      *rsa.PublicKey
	From        string // the file it was read from, and how that came
}

// maxKeyBits bounds the work of one check.
const maxKeyBits = 16 << 10

// ParseKeys reads answers of ListPublicKeys, one behind another. A key that
// cannot be read is an error beside those that can.
func ParseKeys(text []byte, from string) ([]Key, error) {
	dec := json.NewDecoder(strings.NewReader(string(text)))
	var all []Key
	var bad error
	for dec.More() {
		var answer struct {
			PublicKeyList []struct{ Fingerprint, Value string }
		}
		if err := dec.Decode(&answer); err != nil {
			return all, errors.Join(bad, fmt.Errorf("public keys: %w", err))
		}
		for _, k := range answer.PublicKeyList {
			public, err := parseKey(k.Value)
			if err == nil && k.Fingerprint == "" {
				err = errors.New("no fingerprint")
			}
			if err != nil {
				bad = errors.Join(bad, fmt.Errorf("public key %q: %w", k.Fingerprint, err))
				continue
			}
			all = append(all, Key{Fingerprint: k.Fingerprint, Public: public, From: from})
		}
	}
	return all, bad
}

// parseKey reads base64 or PEM of DER: PKCS#1, or SubjectPublicKeyInfo.
func parseKey(value string) (*rsa.PublicKey, error) {
	var der []byte
	if block, _ := pem.Decode([]byte(value)); block != nil {
		der = block.Bytes
	} else {
		var err error
		if der, err = base64.StdEncoding.DecodeString(strings.Join(strings.Fields(value), "")); err != nil {
			return nil, fmt.Errorf("not base64: %w", err)
		}
	}
	key, err := x509.ParsePKCS1PublicKey(der)
	if err != nil {
		any, err := x509.ParsePKIXPublicKey(der)
		if err != nil {
			return nil, errors.New("neither PKCS#1 nor SubjectPublicKeyInfo")
		}
		var ok bool
		if key, ok = any.(*rsa.PublicKey); !ok {
			return nil, errors.New("not an RSA key")
		}
	}
	if key.N.BitLen() > maxKeyBits {
		return nil, fmt.Errorf("a key of %d bits", key.N.BitLen())
	}
	return key, nil
}

// keyring finds keys by their fingerprints.
type keyring map[string][]*Key

func newKeyring(all []Key) keyring {
	r := keyring{}
	for i := range all {
		k := &all[i]
		known := false
		for _, have := range r[k.Fingerprint] {
			known = known || have.Public.Equal(k.Public)
		}
		if !known {
			r[k.Fingerprint] = append(r[k.Fingerprint], k)
		}
	}
	return r
}

// find gives the one key of a fingerprint. Two keys under one fingerprint mean
// that somebody made one of them up, and neither is used.
func (r keyring) find(fingerprint string) (*Key, error) {
	switch all := r[fingerprint]; len(all) {
	case 0:
		return nil, fmt.Errorf("no public key with the fingerprint %s is at hand", fingerprint)
	case 1:
		return all[0], nil
	default:
		return nil, fmt.Errorf("%d different public keys have the fingerprint %s (%s; %s)", len(all), fingerprint, all[0].From, all[1].From)
	}
}
