package respond_test

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"snapcase/evidence"
	"snapcase/evidence/aws/awstest"
	"snapcase/evidence/respond"
)

// reader stands in for AVML: it writes a LiME image of one range of so many
// bytes, the header in octal.
const reader = "#!/bin/sh\nprintf '%s' > \"$1\"\nhead -c %d /dev/zero | tr '\\0' m >> \"$1\"\n"

// header is that of a range from address 0, in octal for printf.
func header(length int) string {
	b := append([]byte("EMiL\x01\x00\x00\x00"), make([]byte, 24)...)
	binary.LittleEndian.PutUint64(b[16:], uint64(length-1)) //nolint:gosec // of a test
	var s strings.Builder
	for _, c := range b {
		fmt.Fprintf(&s, "\\%03o", c)
	}
	return s.String()
}

// Memory is taken by the script itself, run by a shell with the tools that it
// asks for.
func TestMemory(t *testing.T) {
	for _, tool := range []string{"sh", "curl", "sha256sum", "dd", "awk", "stat"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skip(tool + " is not installed")
		}
	}
	const ram, image = 3 << 20, 3<<20 + 4096
	for _, c := range []struct {
		name, want string
		bytes      int
		sum        string
		agent      bool
		head       int    // bytes that the header of the range says; 0: as many as there are
		raw        string // of the image in place of the header
		hurt       bool   // something changes the object on its way
	}{
		{name: "whole", bytes: image, agent: true},
		{name: "short", bytes: ram / 2, agent: true, want: "it is short"},
		{name: "cut off", bytes: image, head: image + 4096, agent: true, want: "damaged"},
		{name: "no image", bytes: image, raw: "none", agent: true, want: "no header of a range stands at byte 0"},
		{name: "changed on its way", bytes: image, agent: true, hurt: true, want: "the object has the SHA-256"},
		{name: "another tool", bytes: image, agent: true, sum: strings.Repeat("0", 64), want: "ended as Failed"},
		{name: "refused", want: "InvalidInstanceId"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, 7)
			up := awstest.NewUploads()
			w.server.Serve("s3", up)
			head := cmp.Or(c.raw, header(cmp.Or(c.head, c.bytes)))
			tool := fmt.Appendf(nil, reader, head, c.bytes)
			up.Hurt = c.hurt
			up.Objects["evidence/avml"] = tool
			sum := sha256.Sum256(tool)
			if c.sum == "" {
				c.sum = hex.EncodeToString(sum[:])
			}
			if c.agent {
				w.ssm.Run = agent(t, ram)
			} else {
				w.server.Break(awstest.Fault{Service: "ssm", Action: "SendCommand", Error: &awstest.Error{Status: 400, Code: "InvalidInstanceId", Message: "Instances not in a valid state for account"}, Kind: awstest.Denied})
			}
			p := w.plan(respond.Options{Instance: victim, Memory: true, MemoryBucket: "evidence", AVML: "avml", AVMLSHA256: c.sum})
			if p.Order != respond.CaptureFirst {
				t.Errorf("order %s: %s", p.Order, p.Reason)
			}
			err := w.s.Run(t.Context(), p)
			if c.want == "" && err != nil || c.want != "" && (!errors.Is(err, evidence.ErrGaps) || !strings.Contains(err.Error(), c.want)) {
				t.Fatalf("run: %v", err)
			}
			if c.want == "" && len(up.Objects) != 2 {
				t.Errorf("%d objects", len(up.Objects))
			}
			for k, b := range up.Objects {
				if k != "evidence/avml" && len(b) != c.bytes+32 && c.raw == "" {
					t.Errorf("%s has %d bytes", k, len(b))
				}
			}
			if w.ec2.Allowed("eni-2", true, true) {
				t.Error("the instance is open: memory held up the rest")
			}
			ledger, err := os.ReadFile(w.folder.Ledger())
			if err != nil || strings.Contains(string(ledger), "X-Amz-Signature") {
				t.Errorf("signed addresses stand in the ledger: %v", err)
			}
		})
	}
}

// agent runs the script with a memory size of its own.
func agent(t *testing.T, ram int) func(script string) (string, string) {
	dir := t.TempDir()
	info := filepath.Join(dir, "meminfo")
	if err := os.WriteFile(info, fmt.Appendf(nil, "MemTotal: %d kB\n", ram/1024), 0o600); err != nil {
		t.Fatal(err)
	}
	return func(script string) (string, string) {
		for _, secret := range []string{"AWS_SECRET", "aws_session_token"} {
			if strings.Contains(script, secret) {
				return "credentials reached the instance", "Failed"
			}
		}
		c := exec.Command("sh", "-c", strings.ReplaceAll(script, "/proc/meminfo", info)) //nolint:gosec // of this test
		c.Dir = dir
		out, err := c.CombinedOutput()
		if err != nil {
			return string(out), "Failed"
		}
		return string(out), "Success"
	}
}
