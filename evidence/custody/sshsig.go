package custody

import (
	"bytes"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"strings"

	"golang.org/x/crypto/ssh"
)

// This file follows PROTOCOL.sshsig of OpenSSH.

const (
	armorBegin   = "-----BEGIN SSH SIGNATURE-----\n"
	armorEnd     = "-----END SSH SIGNATURE-----\n"
	sshsigMagic  = "SSHSIG"
	maxSignature = 16 << 10
)

// Signature is a parsed SSHSIG.
type Signature struct {
	Key       ssh.PublicKey
	Namespace string
	hashName  string
	sig       ssh.Signature
}

// armor is the file form of a signature, at 64 columns.
func armor(blob []byte, width int) []byte {
	text := base64.StdEncoding.EncodeToString(blob)
	var b bytes.Buffer
	b.WriteString(armorBegin)
	for len(text) > width {
		b.WriteString(text[:width] + "\n")
		text = text[width:]
	}
	b.WriteString(text + "\n" + armorEnd)
	return b.Bytes()
}

// unarmor gives the bytes in an armored signature. Only the two forms that are
// in use are accepted, so that no byte of the file is free to change.
func unarmor(b []byte) ([]byte, *lineError) {
	if len(b) > maxSignature {
		return nil, lineProblem(codeSigSyntax, "%d bytes, at most %d", len(b), maxSignature)
	}
	text := strings.TrimPrefix(string(b), armorBegin)
	if i := strings.LastIndex(text, "-----END"); i >= 0 {
		text = text[:i]
	}
	blob, err := base64.StdEncoding.DecodeString(strings.ReplaceAll(text, "\n", ""))
	if err != nil || len(blob) == 0 {
		return nil, lineProblem(codeSigSyntax, "no armored SSH signature")
	}
	if !bytes.Equal(armor(blob, 64), b) && !bytes.Equal(armor(blob, 70), b) {
		return nil, lineProblem(codeSigArmor, "neither the 64-column nor the 70-column form")
	}
	return blob, nil
}

// ParseSignature reads an armored SSHSIG. The error says SIG_SYNTAX or
// SIG_ARMOR_NOT_CANONICAL.
func ParseSignature(armored []byte) (Signature, error) {
	s, bad := parseSignature(armored)
	if bad != nil {
		return s, bad
	}
	return s, nil
}

func parseSignature(armored []byte) (Signature, *lineError) {
	var s Signature
	blob, bad := unarmor(armored)
	if bad != nil {
		return s, bad
	}
	rest, ok := bytes.CutPrefix(blob, []byte(sshsigMagic))
	if !ok || len(rest) < 4 || binary.BigEndian.Uint32(rest) != 1 {
		return s, lineProblem(codeSigSyntax, "no SSHSIG of version 1")
	}
	rest = rest[4:]
	var part [5][]byte // key, namespace, reserved, hash, signature
	for i := range part {
		if part[i], rest, ok = cutString(rest); !ok {
			return s, lineProblem(codeSigSyntax, "it is cut short")
		}
	}
	if len(rest) != 0 || len(part[2]) != 0 {
		return s, lineProblem(codeSigSyntax, "more in it than a signature has")
	}
	var err error
	if s.Key, err = ssh.ParsePublicKey(part[0]); err != nil {
		return s, lineProblem(codeSigSyntax, "public key: %v", err)
	}
	s.Namespace, s.hashName = string(part[1]), string(part[3])
	if s.hashName != "sha512" && s.hashName != "sha256" {
		return s, lineProblem(codeSigSyntax, "hash %q", s.hashName)
	}
	format, rest, ok1 := cutString(part[4])
	inner, rest, ok2 := cutString(rest)
	if !ok1 || !ok2 {
		return s, lineProblem(codeSigSyntax, "signature cut short")
	}
	s.sig = ssh.Signature{Format: string(format), Blob: inner, Rest: rest}
	return s, nil
}

func cutString(b []byte) (s, rest []byte, ok bool) {
	if len(b) < 4 {
		return nil, nil, false
	}
	n := binary.BigEndian.Uint32(b)
	if uint64(n) > uint64(len(b)-4) {
		return nil, nil, false
	}
	return b[4 : 4+n], b[4+n:], true
}

// MessageHashes takes a message of any length for Verify.
type MessageHashes struct{ sha256, sha512 hash.Hash }

// NewMessageHashes begins a message.
func NewMessageHashes() *MessageHashes { return &MessageHashes{sha256.New(), sha512.New()} }

// Write adds to the message; it never fails.
func (m *MessageHashes) Write(p []byte) (int, error) {
	m.sha256.Write(p)
	m.sha512.Write(p)
	return len(p), nil
}

// Verify says whether s was made over m in the given namespace by the key that
// it names. It does not say whether that key is trusted.
func (s Signature) Verify(m *MessageHashes, namespace string) error {
	if s.Namespace != namespace {
		return fmt.Errorf("the signature is for namespace %q, not %q", s.Namespace, namespace)
	}
	if s.sig.Format == ssh.KeyAlgoRSA {
		return errors.New("an RSA signature over SHA-1")
	}
	isSK := s.Key.Type() == ssh.KeyAlgoSKED25519 || s.Key.Type() == ssh.KeyAlgoSKECDSA256
	if !isSK && len(s.sig.Rest) > 0 {
		return errors.New("bytes after the signature")
	}
	sum := m.sha512.Sum(nil)
	if s.hashName == "sha256" {
		sum = m.sha256.Sum(nil)
	}
	return s.Key.Verify(signedData(namespace, s.hashName, sum), &s.sig)
}

// signedData is what the key signs in place of the message.
func signedData(namespace, hashName string, sum []byte) []byte {
	b := []byte(sshsigMagic)
	for _, s := range [][]byte{[]byte(namespace), nil, []byte(hashName), sum} {
		b = appendWire(b, s)
	}
	return b
}

func appendWire(b, s []byte) []byte {
	b = binary.BigEndian.AppendUint32(b, uint32(len(s))) //nolint:gosec // lengths here are small
	return append(b, s...)
}

// sign makes an armored signature; do signs the data that it is given.
func sign(key ssh.PublicKey, message []byte, namespace string, do func(data []byte) (*ssh.Signature, error)) ([]byte, error) {
	sum := sha512.Sum512(message)
	sig, err := do(signedData(namespace, "sha512", sum[:]))
	if err != nil {
		return nil, err
	}
	inner := appendWire(appendWire(nil, []byte(sig.Format)), sig.Blob)
	inner = append(inner, sig.Rest...)
	blob := binary.BigEndian.AppendUint32([]byte(sshsigMagic), 1)
	for _, s := range [][]byte{key.Marshal(), []byte(namespace), nil, []byte("sha512"), inner} {
		blob = appendWire(blob, s)
	}
	return armor(blob, 64), nil
}

// Key16 is the first 16 hex digits of the SHA-256 of a public key's wire
// form; it stands in the names of signature files.
func Key16(wire []byte) string {
	h := sha256.Sum256(wire)
	return hex.EncodeToString(h[:8])
}

// Fingerprint is the OpenSSH fingerprint of a public key's wire form.
func Fingerprint(wire []byte) string {
	h := sha256.Sum256(wire)
	return "SHA256:" + base64.RawStdEncoding.EncodeToString(h[:])
}
