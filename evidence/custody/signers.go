package custody

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"
)

// This file reads the allowed_signers format of ssh-keygen(1).

const maxSigners = 4 << 20

// signers are the keys that whoever verifies trusts.
type signers struct {
	lines   []signerEntry
	revoked *krl
	krlErr  error // revocations that cannot be read: nobody is trusted
	ignored int   // lines that are certificate authorities or malformed
}

type signerEntry struct {
	principals    string
	key           []byte
	namespaces    []string // nil: all
	after, before time.Time
}

// trust is what the signers file says about a key.
type trust struct {
	code string // "" when trusted, else SIGNER_UNTRUSTED, SIGNER_EXPIRED, SIGNER_REVOKED
	who  string
	why  string
}

// readSigners reads an allowed_signers file and the revocation list FILE.krl
// beside it, if there is one.
func readSigners(file string) (*signers, error) {
	b, err := readSmall(file, maxSigners)
	if err != nil {
		return nil, fmt.Errorf("read signers: %w", err)
	}
	s := &signers{}
	for _, line := range strings.Split(string(b), "\n") {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		e, err := parseSigner(line)
		if err != nil {
			s.ignored++
			continue
		}
		s.lines = append(s.lines, e)
	}
	raw, err := readSmall(file+".krl", maxSigners)
	if errors.Is(err, os.ErrNotExist) {
		return s, nil
	}
	if err == nil {
		s.revoked, err = parseKRL(raw)
	}
	s.krlErr = err
	return s, nil
}

// parseSigner reads one line: principals, options, key type, key, comment.
func parseSigner(line string) (signerEntry, error) {
	var e signerEntry
	words := splitQuoted(line)
	if len(words) < 3 {
		return e, errors.New("want principals, key type and key")
	}
	e.principals = strings.Trim(words[0], `"`)
	rest := words[1:]
	if !isKeyType(rest[0]) {
		for _, o := range splitOptions(rest[0]) {
			if err := e.option(o); err != nil {
				return e, err
			}
		}
		rest = rest[1:]
	}
	if len(rest) < 2 || !isKeyType(rest[0]) {
		return e, errors.New("want a key type and a key")
	}
	wire, err := base64.StdEncoding.DecodeString(rest[1])
	if err != nil {
		return e, fmt.Errorf("key: %w", err)
	}
	key, err := ssh.ParsePublicKey(wire)
	if err != nil {
		return e, fmt.Errorf("key: %w", err)
	}
	if key.Type() != rest[0] || !bytes.Equal(key.Marshal(), wire) {
		return e, errors.New("key: its type differs")
	}
	e.key = wire
	return e, nil
}

func isKeyType(s string) bool {
	return strings.HasPrefix(s, "ssh-") || strings.HasPrefix(s, "sk-ssh-") || strings.HasPrefix(s, "ecdsa-") || strings.HasPrefix(s, "sk-ecdsa-")
}

func (e *signerEntry) option(o string) error {
	name, value, _ := strings.Cut(o, "=")
	value = strings.Trim(value, `"`)
	var err error
	switch strings.ToLower(name) {
	case "namespaces":
		e.namespaces = strings.Split(value, ",")
	case "valid-after":
		e.after, err = parseValid(value)
	case "valid-before":
		e.before, err = parseValid(value)
	default: // cert-authority among them: certificates are not used here
		err = fmt.Errorf("option %q is not known", name)
	}
	return err
}

// parseValid reads YYYYMMDD[HHMM[SS]], in local time or, with a Z, in UTC.
func parseValid(s string) (time.Time, error) {
	zone := time.Local
	if t, ok := strings.CutSuffix(strings.ToUpper(s), "Z"); ok {
		s, zone = t, time.UTC
	}
	for _, layout := range []string{"20060102", "200601021504", "20060102150405"} {
		if len(s) == len(layout) {
			return time.ParseInLocation(layout, s, zone)
		}
	}
	return time.Time{}, fmt.Errorf("time %q is not like 20261123", s)
}

// splitQuoted cuts at blanks outside of quotes; the quotes stay.
func splitQuoted(s string) []string { return cutOutsideQuotes(s, " \t") }

func splitOptions(s string) []string { return cutOutsideQuotes(s, ",") }

func cutOutsideQuotes(s, at string) []string {
	var out []string
	quoted := false
	start := 0
	for i := 0; i <= len(s); i++ {
		switch {
		case i == len(s) || !quoted && strings.IndexByte(at, s[i]) >= 0:
			if i > start {
				out = append(out, s[start:i])
			}
			start = i + 1
		case s[i] == '"':
			quoted = !quoted
		}
	}
	return out
}

// judge says whether a key is trusted for a namespace at a time.
func (s *signers) judge(key ssh.PublicKey, namespace string, now time.Time) trust {
	wire := key.Marshal()
	result := trust{code: codeSignerUntrusted, why: "the key is not in the signers file"}
	for _, e := range s.lines {
		if !bytes.Equal(e.key, wire) {
			continue
		}
		switch {
		case !e.allows(namespace):
			if result.code == codeSignerUntrusted {
				result = trust{codeSignerUntrusted, e.principals, "the key is not allowed for " + namespace}
			}
		case !e.after.IsZero() && now.Before(e.after), !e.before.IsZero() && now.After(e.before):
			result = trust{codeSignerExpired, e.principals, "the key is not valid now"}
		case s.krlErr != nil:
			return trust{codeSignerUntrusted, e.principals, fmt.Sprintf("the revocation list cannot be read: %v", s.krlErr)}
		case s.revoked.has(wire):
			return trust{codeSignerRevoked, e.principals, "the key is revoked"}
		default:
			return trust{who: e.principals}
		}
	}
	return result
}

func (e signerEntry) allows(namespace string) bool {
	if e.namespaces == nil {
		return true
	}
	ok := false
	for _, p := range e.namespaces {
		p, not := strings.CutPrefix(p, "!")
		if m, err := path.Match(p, namespace); err == nil && m { // * and ? as OpenSSH has them
			if not {
				return false
			}
			ok = true
		}
	}
	return ok
}

// signerText is a line of allowed_signers for a key of ours.
func signerText(actor string, wire []byte) (string, error) {
	key, err := ssh.ParsePublicKey(wire)
	if err != nil {
		return "", fmt.Errorf("public key: %w", err)
	}
	who := strings.Map(func(r rune) rune {
		if r <= ' ' || strings.ContainsRune(`"',!*?#`, r) || r == 0x7f {
			return '_'
		}
		return r
	}, signerLine(actor))
	return who + ` namespaces="snapcase-*" ` + strings.TrimSuffix(string(ssh.MarshalAuthorizedKey(key)), "\n") + "\n", nil
}
