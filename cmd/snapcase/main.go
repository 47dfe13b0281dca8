// Command snapcase is the workbench of a cloud incident examiner: it brings
// evidence in, keeps custody of it, indexes it, answers questions about it,
// and hands the case over as a sealed bundle.
//
// Every verb has a file of its own here. This package holds flags, wiring,
// text for people, and exit codes; what a verb does lies in the floors below,
// so that the screens of tui do the same.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"
	"time"

	"charm.land/fang/v2"
	"github.com/spf13/cobra"

	"snapcase/evidence"
	"snapcase/evidence/visible"
)

// version is set by the release build with -ldflags "-X main.version=…".
var version = "0.1.0"

// garbage is how much the heap may grow, in percent of what is in use, before
// it is collected: forensic hosts are small, and most memory here has no
// pointers, so collecting is cheap.
const garbage = 40

func main() {
	debug.SetGCPercent(garbage)
	os.Exit(run(os.Args[1:]))
}

// run executes one command line and gives the exit code of CLI.md.
func run(args []string) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	e := &edge{stdout: os.Stdout, stderr: os.Stderr, args: args, now: time.Now}
	root := rootCommand(e)
	root.SetArgs(args)
	err := fang.Execute(ctx, root,
		fang.WithVersion(version),
		fang.WithErrorHandler(func(io.Writer, fang.Styles, error) {}))
	if err == nil {
		return 0
	}
	if ctx.Err() != nil && evidence.Canceled(err) {
		err = fmt.Errorf("cancelled; what was finished is kept, and the same command resumes: %w", context.Canceled)
	}
	if errors.Is(err, syscall.EPIPE) {
		return 0 // the reader of stdout has what it wanted
	}
	complain(e.stderr, err)
	return exitCode(err)
}

// complain writes the error and its hint for a person.
func complain(w io.Writer, err error) {
	_, _ = fmt.Fprintf(w, "snapcase: %s\n", visible.Escape(err.Error()))
	var h evidence.Hinted
	if errors.As(err, &h) {
		_, _ = fmt.Fprintf(w, "hint: %s\n", visible.Escape(h.Hint()))
	}
}

// exitCode is the one place where an error becomes a code.
func exitCode(err error) int {
	var usage usageError
	switch {
	case err == nil:
		return 0
	case errors.Is(err, context.Canceled):
		return 130
	case errors.Is(err, evidence.ErrBroken):
		return 3
	case errors.Is(err, evidence.ErrGaps):
		return 4
	case errors.Is(err, evidence.ErrUntrusted):
		return 5
	case errors.Is(err, evidence.ErrUsage), errors.As(err, &usage), isCobraUsage(err):
		return 2
	}
	return 1
}

type usageError struct{ error }

func (u usageError) Unwrap() error { return u.error }

// isCobraUsage recognises the errors that the command-line library makes
// itself; it has no type for them.
func isCobraUsage(err error) bool {
	for _, p := range []string{"unknown command", "unknown flag", "unknown shorthand", "accepts ", "requires at least", "flag needs an argument", "required flag", "invalid argument"} {
		if strings.HasPrefix(err.Error(), p) {
			return true
		}
	}
	return false
}

func rootCommand(e *edge) *cobra.Command {
	root := &cobra.Command{
		Use:   "snapcase",
		Short: "Examine cloud incidents: acquire, index, trace, report, seal",
		Long: "snapcase preserves evidence of a cloud incident, keeps its chain of custody, indexes it,\n" +
			"ties what lies on disks to CloudTrail and network traffic, and seals the case for others.\n" +
			"Without a verb it opens the workbench on the cases below the current folder.",
		Example: "snapcase demo\n" +
			"snapcase new case1 --title \"Marc the intern\" --examiner jdoe\n" +
			"snapcase acquire case1 /evidence/disk.raw /evidence/cloudtrail\n" +
			"snapcase trace case1 AKIA2OGYBAH6QLWVZT7M",
		Args:          cobra.NoArgs,
		SilenceErrors: true,
		SilenceUsage:  true,
		RunE:          func(c *cobra.Command, _ []string) error { return e.openHere(c.Context()) },
	}
	f := root.PersistentFlags()
	f.BoolVar(&e.json, "json", false, "machine output on stdout, nothing else there")
	f.BoolVar(&e.quiet, "quiet", false, "no progress and no messages")
	e.color = "auto"
	f.Var(&e.color, "color", "auto, always or never (NO_COLOR counts too)")
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	root.AddCommand(
		newCommand(e), acquireCommand(e), hashsetCommand(e), intelCommand(e), indexCommand(e), statsCommand(e), filesCommand(e),
		catCommand(e), extractCommand(e), ownerCommand(e), keysCommand(e), eventsCommand(e), traceCommand(e),
		flowsCommand(e), packetsCommand(e), timelineCommand(e), findingsCommand(e), findingCommand(e), tagCommand(e),
		noteCommand(e), custodyCommand(e), reportCommand(e), bundleCommand(e), verifyCommand(e),
		imageCommand(e), openCommand(e), answerCommand(e), demoCommand(e), respondCommand(e),
		policyCommand(e), doctorCommand(e), cloudtrailCommand(e),
	)
	return root
}
