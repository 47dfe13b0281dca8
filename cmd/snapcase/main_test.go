package main

import (
	"bytes"
	"os"
	"os/exec"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// asSnapcase makes the test binary be snapcase, for tests that need a process
// of their own to kill or to measure.
const asSnapcase = "SNAPCASE_TEST_AS_COMMAND"

func TestMain(m *testing.M) {
	if os.Getenv(asSnapcase) != "" {
		main()
	}
	testscript.Main(m, map[string]func(){"snapcase": main})
}

// TestScripts drives the command line as a user does; each script in testdata
// says what it is about.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata",
		RequireExplicitExec: true,
		Setup: func(env *testscript.Env) error {
			env.Setenv("HOME", env.WorkDir)
			env.Setenv("XDG_CONFIG_HOME", env.WorkDir+"/.config")
			env.Setenv("XDG_CACHE_HOME", env.WorkDir+"/.cache")
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"flip":    flipBit,
			"code":    exitWith,
			"untouch": untouched,
		},
	})
}

// command is snapcase as a process, with a home of its own.
func command(t testing.TB, home string, args ...string) *exec.Cmd {
	t.Helper()
	c := exec.Command(os.Args[0], args...)
	c.Env = append(os.Environ(), asSnapcase+"=1", "HOME="+home, "XDG_CONFIG_HOME="+home+"/.config", "XDG_CACHE_HOME="+home+"/.cache")
	return c
}

// output runs snapcase and gives its stdout; any of the codes will do.
func output(t testing.TB, home string, codes []int, args ...string) []byte {
	t.Helper()
	var out, errs bytes.Buffer
	c := command(t, home, args...)
	c.Stdout, c.Stderr = &out, &errs
	err := c.Run()
	if !has(codes, c.ProcessState.ExitCode()) {
		t.Fatalf("snapcase %q: %v\n%s", args, err, errs.Bytes())
	}
	return out.Bytes()
}
