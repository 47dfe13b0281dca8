package netcap

import (
	"bytes"
	"slices"
	"unicode/utf8"
)

// Marks of known channels. Their settings change: a mark says something, its
// absence nothing.
const (
	doorID       = 13170 // icmpdoor
	pingbackLow  = 1234  // Pingback: these sequence numbers alone
	pingbackHigh = 1236
	nachiLength  = 64 // Nachi: nothing but 0xaa
)

var ptunnelMagic = []byte{0xd5, 0x20, 0x08, 0x80}

func isPtunnel(b []byte) bool { return bytes.HasPrefix(b, ptunnelMagic) }

func isNachi(b []byte, declared int64) bool {
	return declared == nachiLength && len(b) == nachiLength && every(b, func(int) byte { return 0xaa })
}

// isPingback says that the sequence number is one of Pingback's, in either
// byte order.
func isPingback(seq uint16) bool {
	swapped := seq<<8 | seq>>8
	return seq >= pingbackLow && seq <= pingbackHigh || swapped >= pingbackLow && swapped <= pingbackHigh
}

// shellProof is text that hardly anything but a shell and its programs write.
var shellProof = []string{
	"/etc/passwd", "/etc/shadow", "/bin/sh", "/bin/bash", "root:x:0:0", "sh -i", "(www-data)", "command not found", "No such file or directory",
	"Permission denied", "drwxr-xr-x", "-rw-r--r--", "Microsoft Windows [Version", "Volume Serial Number", "is not recognized as an internal",
}

// shellWords are commands as a line may begin with, but for those that are
// words of plain text as well.
var shellWords = []string{
	"ls", "cd", "cat", "id", "whoami", "pwd", "uname", "ps", "netstat", "ifconfig", "wget", "curl", "chmod", "dir", "ipconfig",
	"sudo", "ssh", "python", "python3", "perl", "powershell", "cmd", "systeminfo", "tasklist",
}

// readsAsShell says of a payload whether it is text that proves a shell, or
// text that looks as if typed into one: a line, with its end, that begins with
// a command.
func readsAsShell(b []byte) (proof, typed bool) {
	b = bytes.TrimRight(b, "\x00")
	if len(b) < 2 || !isText(b) {
		return false, false
	}
	for _, p := range shellProof {
		if bytes.Contains(b, []byte(p)) {
			return true, true
		}
	}
	if bytes.Contains(b, []byte("uid=")) && bytes.Contains(b, []byte("gid=")) {
		return true, true
	}
	for line := range bytes.Lines(b) {
		line = bytes.TrimLeft(line, " \t")
		end := bytes.IndexAny(line, " \t\r\n;|&>")
		if end > 0 && line[len(line)-1] == '\n' && slices.Contains(shellWords, string(line[:end])) {
			return false, true
		}
	}
	return false, false
}

// isText says that b is UTF-8 without control characters but those of a
// terminal. A character that was cut at the end does not count.
func isText(b []byte) bool {
	for len(b) > 0 {
		r, n := utf8.DecodeRune(b)
		if r == utf8.RuneError && n == 1 {
			return !utf8.FullRune(b)
		}
		if r < ' ' && r != '\n' && r != '\r' && r != '\t' && r != '\b' && r != 0x1b || r == 0x7f {
			return false
		}
		b = b[n:]
	}
	return true
}
