package custody

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
)

func needs(t *testing.T, tool string) {
	t.Helper()
	if _, err := exec.LookPath(tool); err != nil {
		t.Skipf("needs %s", tool)
	}
}

func run(t *testing.T, stdin []byte, name string, args ...string) (string, error) {
	t.Helper()
	c := exec.Command(name, args...)
	c.Stdin = bytes.NewReader(stdin)
	out, err := c.CombinedOutput()
	return string(out), err
}

// TestSSHKeygenAgrees signs here and verifies there, and the reverse.
func TestSSHKeygenAgrees(t *testing.T) {
	needs(t, "ssh-keygen")
	dir := t.TempDir()
	key := filepath.Join(dir, "key")
	must(t, MakeKey(key, "alice@example.org"))
	if fi, err := os.Stat(key); err != nil || fi.Mode().Perm() != 0o600 {
		t.Fatalf("%v %v", fi.Mode(), err)
	}
	if err := MakeKey(key, "x"); err == nil {
		t.Fatal("a key was replaced")
	}
	s, err := LoadSigner(key)
	must(t, err)
	if out, err := run(t, nil, "ssh-keygen", "-l", "-f", key+".pub"); err != nil || !strings.Contains(out, Fingerprint(s.PublicKey())) {
		t.Fatalf("%s %v", out, err)
	}
	signers := filepath.Join(dir, "signers")
	line, err := signerText("alice@example.org", s.PublicKey())
	must(t, err)
	must(t, os.WriteFile(signers, []byte(line), 0o644))
	message := example(t, "00000003.txt")
	sig, err := s.Sign(message, CheckpointNamespace)
	must(t, err)
	sigFile := filepath.Join(dir, "m.sig")
	must(t, os.WriteFile(sigFile, sig, 0o644))
	if out, err := run(t, message, "ssh-keygen", "-Y", "verify", "-f", signers, "-I", "alice@example.org", "-n", CheckpointNamespace, "-s", sigFile); err != nil {
		t.Fatal(out)
	}
	m := filepath.Join(dir, "message")
	must(t, os.WriteFile(m, message, 0o644))
	for _, hash := range []string{"sha512", "sha256"} {
		os.Remove(m + ".sig")
		if out, err := run(t, nil, "ssh-keygen", "-Y", "sign", "-O", "hashalg="+hash, "-f", key, "-n", CheckpointNamespace, m); err != nil {
			t.Fatal(out)
		}
		theirs, err := os.ReadFile(m + ".sig")
		must(t, err)
		parsed, err := ParseSignature(theirs) // 70 columns
		must(t, err)
		h := NewMessageHashes()
		h.Write(message)
		must(t, parsed.Verify(h, CheckpointNamespace))
		if err := parsed.Verify(h, BundleNamespace); err == nil {
			t.Error("another namespace is accepted")
		}
		h.Write([]byte("x"))
		if err := parsed.Verify(h, CheckpointNamespace); err == nil {
			t.Error("another message is accepted")
		}
	}
	// the case's checkpoints verify with ssh-keygen alone
	f, _ := wholeCase(t)
	names, err := checkpointNames(f)
	must(t, err)
	for _, n := range names {
		p := filepath.Join(f.Checkpoints(), n)
		b, err := os.ReadFile(p)
		must(t, err)
		sigs, err := filepath.Glob(p + ".*.sig")
		must(t, err)
		if out, err := run(t, b, "ssh-keygen", "-Y", "verify", "-f", allowedSigners(f), "-I", "alice@example.org", "-n", CheckpointNamespace, "-s", sigs[0]); err != nil {
			t.Fatal(out)
		}
	}
}

func TestAgent(t *testing.T) {
	needs(t, "ssh-agent")
	needs(t, "ssh-add")
	dir, err := os.MkdirTemp("", "agent") // a socket's path must be short
	must(t, err)
	defer os.RemoveAll(dir)
	socket := filepath.Join(dir, "s")
	agent := exec.Command("ssh-agent", "-D", "-a", socket)
	must(t, agent.Start())
	defer func() { agent.Process.Kill(); agent.Wait() }() //nolint:errcheck // a test's process
	t.Setenv("SSH_AUTH_SOCK", socket)
	for range 200 {
		if _, err := os.Stat(socket); err == nil {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	key := filepath.Join(dir, "key")
	must(t, MakeKey(key, "k"))
	file, err := LoadSigner(key)
	must(t, err)
	if _, err := LoadSigner(key + ".pub"); err == nil || !strings.Contains(err.Error(), "does not hold") {
		t.Fatal(err)
	}
	if out, err := run(t, nil, "ssh-add", key); err != nil {
		t.Fatal(out)
	}
	must(t, os.Remove(key))
	held, err := LoadSigner(key) // only the public file is there
	must(t, err)
	a, err := file.Sign([]byte("m"), CheckpointNamespace)
	must(t, err)
	b, err := held.Sign([]byte("m"), CheckpointNamespace)
	if err != nil || !bytes.Equal(a, b) {
		t.Fatalf("%v\n%s\n%s", err, a, b)
	}
}

func TestTrust(t *testing.T) {
	dir := t.TempDir()
	s := newSigner(t)
	key, err := ssh.ParsePublicKey(s.PublicKey())
	must(t, err)
	pub := strings.TrimSpace(string(ssh.MarshalAuthorizedKey(key)))
	now := time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)
	for _, c := range []struct{ line, code string }{
		{"alice " + pub, ""},
		{"alice@example.org,bob " + pub + " a comment", ""},
		{`"alice b" namespaces="snapcase-*" ` + pub, ""},
		{`alice namespaces="file,snapcase-checkpoint@v1",valid-after="20260101Z" ` + pub, ""},
		{`alice namespaces="snapcase-*,!snapcase-checkpoint@v1" ` + pub, "SIGNER_UNTRUSTED"},
		{`alice namespaces="file" ` + pub, "SIGNER_UNTRUSTED"},
		{`alice valid-before="20260101Z" ` + pub, "SIGNER_EXPIRED"},
		{`alice valid-after="20270101120000Z" ` + pub, "SIGNER_EXPIRED"},
		{`alice cert-authority ` + pub, "SIGNER_UNTRUSTED"},
		{`alice some-option ` + pub, "SIGNER_UNTRUSTED"},
		{"# alice " + pub, "SIGNER_UNTRUSTED"},
		{"alice " + pub[:len(pub)-4], "SIGNER_UNTRUSTED"},
		{"alice valid-before=\"20260101Z\" " + pub + "\nalice " + pub, ""},
	} {
		p := filepath.Join(dir, "signers")
		must(t, os.WriteFile(p, []byte(c.line+"\n"), 0o644))
		list, err := readSigners(p)
		must(t, err)
		if got := list.judge(key, CheckpointNamespace, now); got.code != c.code {
			t.Errorf("%s: %+v, want %q", c.line, got, c.code)
		}
	}
}

func TestRevoked(t *testing.T) {
	needs(t, "ssh-keygen")
	f, signers := wholeCase(t)
	if r := verify(t, f, signers); r.Verdict != Intact {
		t.Fatalf("%+v", r)
	}
	b, err := os.ReadFile(signers)
	must(t, err)
	_, pub, _ := strings.Cut(string(b), `" `)
	dir := t.TempDir()
	key := filepath.Join(dir, "k.pub")
	must(t, os.WriteFile(key, []byte(pub), 0o644))
	hash := filepath.Join(dir, "spec")
	out, err := run(t, nil, "ssh-keygen", "-l", "-f", key)
	must(t, err)
	must(t, os.WriteFile(hash, []byte("hash: "+strings.Fields(out)[1]+"\n"), 0o644))
	other := filepath.Join(dir, "other")
	must(t, MakeKey(other, "o"))
	for name, c := range map[string]struct {
		spec, code string
	}{"key": {key, "SIGNER_REVOKED"}, "hash": {hash, "SIGNER_REVOKED"}, "other": {other + ".pub", ""}} {
		if out, err := run(t, nil, "ssh-keygen", "-k", "-f", signers+".krl", c.spec); err != nil {
			t.Fatalf("%s: %s", name, out)
		}
		r := verify(t, f, signers)
		if c.code == "" && r.Verdict != Intact || c.code != "" && (r.Verdict != Untrusted || !has(r, c.code)) {
			t.Errorf("%s: %+v", name, r)
		}
		os.Remove(signers + ".krl")
	}
	must(t, os.WriteFile(signers+".krl", []byte(pub), 0o644)) // a plain list
	if r := verify(t, f, signers); !has(r, "SIGNER_REVOKED") {
		t.Errorf("plain: %+v", r)
	}
	must(t, os.WriteFile(signers+".krl", []byte("SSHKRL\n\x00garbage"), 0o644))
	if r := verify(t, f, signers); r.Verdict != Untrusted {
		t.Errorf("garbage: %+v", r)
	}
}

func TestRedactArgs(t *testing.T) {
	secret := "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
	args := []string{
		"acquire", "case1", "--token", "abc", "--password=abc", "https://u:pw@example.org/x", secret, "x=" + secret, "-----BEGIN OPENSSH PRIVATE KEY-----\nabc",
		"s3://bucket/key?X-Amz-Signature=abc&x=1", "AGE-SECRET-KEY-1ABC", "bad\xff", "0123456789abcdef0123456789abcdef01234567",
		"/evidence/a/path/of/some/length/forty/x.raw", "--key", "AKIAIOSFODNN7EXAMPLE", "--secret-file", "f",
	}
	got := strings.Join(redactArgs(args), " ")
	for _, s := range []string{"abc", "pw", secret, "bad\xff"} {
		if strings.Contains(strings.ReplaceAll(got, "0123456789abcdef0123456789abcdef01234567", ""), s) {
			t.Errorf("%q is in %q", s, got)
		}
	}
	for _, s := range []string{"acquire case1", "example.org/x", "x=1", `bad\xff`, "0123456789abcdef0123456789abcdef01234567", "/evidence/a/path/of/some/length/forty/x.raw", "AKIAIOSFODNN7EXAMPLE", "--token REDACTED"} {
		if !strings.Contains(got, s) {
			t.Errorf("%q is not in %q", s, got)
		}
	}
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if sum, err := RunningBinary(); err != nil || sum != fmt.Sprintf("%x", sha256.Sum256(b)) {
		t.Fatalf("%q %v", sum, err)
	}
	id, ns := SystemBoot()
	if id == "" || ns < 0 {
		t.Fatal(id, ns)
	}
}
