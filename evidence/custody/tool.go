package custody

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
	"unicode/utf8"

	"golang.org/x/sys/unix"
)

// ToolOf describes the running program: its arguments without secrets, and its
// version. The SHA-256 of its binary is RunningBinary's.
func ToolOf(args []string, version string) Tool {
	return Tool{Args: redactArgs(args), Name: "snapcase", Version: version}
}

// RunningBinary is the SHA-256 of the program that runs, in hex: of the file
// that was started, also where another lies under its name by now. It reads
// the whole of it, which takes longer than many a verb does without.
func RunningBinary() (string, error) {
	f, err := os.Open("/proc/self/exe")
	if err != nil { // another system, or no /proc
		var path string
		if path, err = os.Executable(); err == nil {
			f, err = os.Open(path)
		}
	}
	if err != nil {
		return "", fmt.Errorf("find the running program: %w", err)
	}
	defer f.Close() //nolint:errcheck // read-only
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", fmt.Errorf("hash the running program: %w", err)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

var (
	secretFlag  = regexp.MustCompile(`(?i)^--?[a-z0-9-]*(secret|passw|passphrase|token|credential|session-key|private-key|api-?key)[a-z0-9-]*(=|$)`)
	secretURL   = regexp.MustCompile(`(://[^/@:\s]*:)[^/@\s]+@`)
	secretParam = regexp.MustCompile(`(?i)((?:secret|passw|token|signature|credential)[a-z0-9_.-]*[=:])[^&\s]+`)
	// secretShape is what an AWS secret access key looks like: 40 characters
	// of base64. A path of that length has a dot or begins with a slash.
	secretShape = regexp.MustCompile(`(^|[^A-Za-z0-9/+])[A-Za-z0-9+][A-Za-z0-9/+]{39}($|[^A-Za-z0-9/+=])`)
	allHex      = regexp.MustCompile(`[0-9a-f]{40}`) // a commit, a SHA-1
	privateKey  = regexp.MustCompile(`-----BEGIN [A-Z ]*PRIVATE KEY-----|AGE-SECRET-KEY-1`)
)

const redacted = "REDACTED"

// redactArgs replaces what looks like a secret by REDACTED: the values of
// flags with telling names, passwords in URLs, and the shapes of AWS secret
// access keys and private keys.
func redactArgs(args []string) []string {
	out := make([]string, len(args))
	next := false
	for i, a := range args {
		switch {
		case next:
			out[i], next = redacted, false
			continue
		case secretFlag.MatchString(a):
			name, _, joined := strings.Cut(a, "=")
			if joined {
				name += "=" + redacted
			}
			out[i], next = escapeBytes(name), !joined
			continue
		case privateKey.MatchString(a):
			out[i] = redacted
			continue
		}
		a = secretURL.ReplaceAllString(a, "${1}"+redacted+"@")
		a = secretParam.ReplaceAllString(a, "${1}"+redacted)
		a = secretShape.ReplaceAllStringFunc(a, func(s string) string {
			if allHex.MatchString(s) {
				return s
			}
			m := secretShape.FindStringSubmatch(s)
			return m[1] + redacted + m[2]
		})
		out[i] = escapeBytes(a)
	}
	return out
}

// escapeBytes writes bytes that are not UTF-8 as \xNN.
func escapeBytes(s string) string {
	if utf8.ValidString(s) {
		return s
	}
	var b strings.Builder
	for len(s) > 0 {
		r, n := utf8.DecodeRuneInString(s)
		if r == utf8.RuneError && n == 1 {
			fmt.Fprintf(&b, `\x%02x`, s[0])
		} else {
			b.WriteString(s[:n])
		}
		s = s[n:]
	}
	return b.String()
}

// SystemBoot reads the boot id of Linux and CLOCK_BOOTTIME in nanoseconds:
// a clock that setting the time does not move. Where there is none, the id is
// "unknown" and the time 0.
func SystemBoot() (id string, ns int64) {
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	var ts unix.Timespec
	if err != nil || unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts) != nil {
		return "unknown", 0
	}
	return strings.TrimSpace(string(b)), ts.Nano()
}
