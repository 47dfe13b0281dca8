package main

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
	"os/exec"
	"strconv"

	"github.com/rogpeppe/go-internal/testscript"
)

// flipBit is the script command "flip FILE OFFSET": it flips the lowest bit of
// one byte; a negative offset counts from the end.
func flipBit(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: flip FILE OFFSET")
	}
	path := ts.MkAbs(args[0])
	fi, err := os.Stat(path)
	ts.Check(err)
	off, err := strconv.ParseInt(args[1], 10, 64)
	ts.Check(err)
	if off < 0 {
		off += fi.Size()
	}
	ts.Check(os.Chmod(path, 0o644))
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	ts.Check(err)
	defer f.Close()
	b := make([]byte, 1)
	_, err = f.ReadAt(b, off)
	ts.Check(err)
	b[0] ^= 1
	_, err = f.WriteAt(b, off)
	ts.Check(err)
	ts.Check(f.Close())
	ts.Check(os.Chmod(path, fi.Mode()))
}

// exitWith is the script command "code N COMMAND…": the command must end with
// exit code N; its output can be tested as after exec.
func exitWith(ts *testscript.TestScript, _ bool, args []string) {
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec(args[1], args[2:]...)
	got := 0
	var ee *exec.ExitError
	switch {
	case errors.As(err, &ee):
		got = ee.ExitCode()
	case err != nil:
		ts.Fatalf("%v", err)
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

// untouched is the script command "untouch FILE": the first call remembers the
// SHA-256 of FILE in an environment variable, later calls compare.
func untouched(ts *testscript.TestScript, _ bool, args []string) {
	b, err := os.ReadFile(ts.MkAbs(args[0]))
	ts.Check(err)
	sum := sha256.Sum256(b)
	now := hex.EncodeToString(sum[:])
	name := "SHA_" + args[0]
	if was := ts.Getenv(name); was != "" && was != now {
		ts.Fatalf("%s has changed: %s, was %s", args[0], now, was)
	}
	ts.Setenv(name, now)
}
