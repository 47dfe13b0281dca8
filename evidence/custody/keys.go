package custody

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"

	"snapcase/evidence"
)

// maxKeyFile bounds what is read of a key file.
const maxKeyFile = 64 << 10

type fileSigner struct{ s ssh.Signer }

func (f fileSigner) PublicKey() []byte { return f.s.PublicKey().Marshal() }

func (f fileSigner) Sign(message []byte, namespace string) ([]byte, error) {
	return sign(f.s.PublicKey(), message, namespace, func(data []byte) (*ssh.Signature, error) { return f.s.Sign(rand.Reader, data) })
}

type agentSigner struct {
	key    ssh.PublicKey
	socket string
}

func (a agentSigner) PublicKey() []byte { return a.key.Marshal() }

func (a agentSigner) Sign(message []byte, namespace string) ([]byte, error) {
	conn, err := net.Dial("unix", a.socket)
	if err != nil {
		return nil, fmt.Errorf("ask ssh-agent to sign: %w", err)
	}
	defer conn.Close() //nolint:errcheck // a local socket
	b, err := sign(a.key, message, namespace, func(data []byte) (*ssh.Signature, error) { return agent.NewClient(conn).Sign(a.key, data) })
	if err != nil {
		return nil, fmt.Errorf("ask ssh-agent to sign: %w", err)
	}
	return b, nil
}

// LoadSigner gives the signer of a key: an OpenSSH Ed25519 private key file,
// or the public key file of a key that ssh-agent (SSH_AUTH_SOCK) holds, plain
// or on a security key. A private key with a passphrase is asked of ssh-agent
// too.
func LoadSigner(path string) (Signer, error) {
	b, err := readSmall(path, maxKeyFile)
	if errors.Is(err, os.ErrNotExist) && !strings.HasSuffix(path, ".pub") {
		if public, perr := readSmall(path+".pub", maxKeyFile); perr == nil {
			b, err = public, nil
		}
	}
	if err != nil {
		return nil, evidence.WithHint(fmt.Errorf("load signing key: %w", err), "make one with: ssh-keygen -t ed25519 -f %s", path)
	}
	if key, _, _, _, perr := ssh.ParseAuthorizedKey(b); perr == nil {
		return fromAgent(path, key)
	}
	s, err := ssh.ParsePrivateKey(b)
	var locked *ssh.PassphraseMissingError
	if errors.As(err, &locked) && locked.PublicKey != nil {
		return fromAgent(path, locked.PublicKey)
	}
	if err != nil { // the parser's error may tell of the key's bytes
		return nil, evidence.WithHint(fmt.Errorf("load signing key %s: it is no OpenSSH private key", path), "give an OpenSSH Ed25519 key, or the public key file of one that ssh-agent holds")
	}
	if s.PublicKey().Type() != ssh.KeyAlgoED25519 {
		return nil, evidence.WithHint(fmt.Errorf("load signing key %s: it is of type %s", path, s.PublicKey().Type()), "make an Ed25519 key with: ssh-keygen -t ed25519")
	}
	return fileSigner{s}, nil
}

// fromAgent gives the signer of a key that ssh-agent must hold.
func fromAgent(path string, key ssh.PublicKey) (Signer, error) {
	if t := key.Type(); t != ssh.KeyAlgoED25519 && t != ssh.KeyAlgoSKED25519 {
		return nil, fmt.Errorf("load signing key %s: it is of type %s, want Ed25519", path, t)
	}
	hint := fmt.Sprintf("start ssh-agent and run: ssh-add %s", strings.TrimSuffix(path, ".pub"))
	socket := os.Getenv("SSH_AUTH_SOCK")
	if socket == "" {
		return nil, evidence.WithHint(fmt.Errorf("load signing key %s: SSH_AUTH_SOCK names no ssh-agent", path), "%s", hint)
	}
	conn, err := net.Dial("unix", socket)
	if err != nil {
		return nil, evidence.WithHint(fmt.Errorf("load signing key %s: ssh-agent: %w", path, err), "%s", hint)
	}
	defer conn.Close() //nolint:errcheck // a local socket
	keys, err := agent.NewClient(conn).List()
	if err != nil {
		return nil, fmt.Errorf("load signing key %s: ssh-agent: %w", path, err)
	}
	for _, k := range keys {
		if bytes.Equal(k.Blob, key.Marshal()) {
			return agentSigner{key, socket}, nil
		}
	}
	return nil, evidence.WithHint(fmt.Errorf("load signing key %s: ssh-agent does not hold it", path), "%s", hint)
}

// MakeKey makes an Ed25519 key at path (0600) and its public half at path.pub
// (0644). Existing files are never replaced.
func MakeKey(path, comment string) error {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return fmt.Errorf("make signing key: %w", err)
	}
	comment = signerLine(comment)
	block, err := ssh.MarshalPrivateKey(private, comment)
	if err != nil {
		return fmt.Errorf("make signing key: %w", err)
	}
	key, err := ssh.NewPublicKey(public)
	if err != nil {
		return fmt.Errorf("make signing key: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("make signing key: %w", err)
	}
	if err := writeNew(path, pem.EncodeToMemory(block), 0o600); err != nil {
		return fmt.Errorf("make signing key: %w", err)
	}
	line := strings.TrimSuffix(string(ssh.MarshalAuthorizedKey(key)), "\n") + " " + comment + "\n"
	if err := writeNew(path+".pub", []byte(line), 0o644); err != nil {
		return fmt.Errorf("make signing key: %w", err)
	}
	return nil
}

// writeNew makes a file that must not exist and syncs it.
func writeNew(path string, b []byte, mode os.FileMode) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, mode)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	return errors.Join(err, f.Sync(), f.Close())
}

// readSmall reads a regular file of at most limit bytes.
func readSmall(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // read-only
	if fi, err := f.Stat(); err != nil {
		return nil, err
	} else if !fi.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is no regular file", path)
	}
	b, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(b)) > limit {
		err = fmt.Errorf("%s has more than %d bytes", path, limit)
	}
	return b, err
}
