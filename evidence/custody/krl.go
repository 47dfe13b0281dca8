package custody

import (
	"bytes"
	"crypto/sha1" //nolint:gosec // KRLs may list keys by SHA-1
	"crypto/sha256"
	"errors"
	"fmt"

	"golang.org/x/crypto/ssh"
)

// krl is a revocation list: PROTOCOL.krl of OpenSSH, or a plain list of
// public keys, one a line. Sections about certificates are passed over, since
// none is accepted here.
type krl struct{ keys, sha1s, sha256s map[string]bool }

const krlMagic = "SSHKRL\n\x00"

func parseKRL(b []byte) (*krl, error) {
	k := &krl{map[string]bool{}, map[string]bool{}, map[string]bool{}}
	rest, binary := bytes.CutPrefix(b, []byte(krlMagic))
	if !binary {
		return k, k.plain(b)
	}
	const fixed = 4 + 8 + 8 + 8 // version, serial, date, flags
	if len(rest) < fixed {
		return nil, errors.New("revocation list cut short")
	}
	if rest[0] != 0 || rest[1] != 0 || rest[2] != 0 || rest[3] != 1 {
		return nil, errors.New("revocation list of an unknown version")
	}
	rest = rest[fixed:]
	for range 2 { // reserved, comment
		_, after, ok := cutString(rest)
		if !ok {
			return nil, errors.New("revocation list cut short")
		}
		rest = after
	}
	for len(rest) > 0 {
		kind := rest[0]
		section, after, ok := cutString(rest[1:])
		if !ok {
			return nil, errors.New("revocation list cut short")
		}
		rest = after
		if err := k.section(kind, section); err != nil {
			return nil, err
		}
	}
	return k, nil
}

func (k *krl) section(kind byte, b []byte) error {
	into := map[byte]map[string]bool{2: k.keys, 3: k.sha1s, 5: k.sha256s}[kind]
	switch {
	case into == nil && (kind == 1 || kind == 4):
		return nil // certificates, signature of the list itself
	case into == nil:
		return fmt.Errorf("revocation list: section of unknown kind %d", kind)
	}
	for len(b) > 0 {
		s, rest, ok := cutString(b)
		if !ok {
			return errors.New("revocation list cut short")
		}
		into[string(s)] = true
		b = rest
	}
	return nil
}

func (k *krl) plain(b []byte) error {
	for _, line := range bytes.Split(b, []byte("\n")) {
		line = bytes.TrimSpace(line)
		if len(line) == 0 || line[0] == '#' {
			continue
		}
		key, _, _, _, err := ssh.ParseAuthorizedKey(line)
		if err != nil {
			return fmt.Errorf("revocation list: %w", err)
		}
		k.keys[string(key.Marshal())] = true
	}
	return nil
}

func (k *krl) has(wire []byte) bool {
	if k == nil {
		return false
	}
	s1, s256 := sha1.Sum(wire), sha256.Sum256(wire) //nolint:gosec // as above
	return k.keys[string(wire)] || k.sha1s[string(s1[:])] || k.sha256s[string(s256[:])]
}
