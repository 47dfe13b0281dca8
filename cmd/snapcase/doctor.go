package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"snapcase/evidence"
	"snapcase/evidence/aws"
	"snapcase/evidence/custody"
	"snapcase/evidence/respond"
)

// finding is one line of the doctor.
type finding struct {
	Check  string `json:"check"`
	State  string `json:"state"` // ok, warn, missing
	Detail string `json:"detail"`
	Hint   string `json:"hint,omitempty"`
}

func doctorCommand(e *edge) *cobra.Command {
	var region, profile, instance string
	c := &cobra.Command{
		Use:   "doctor",
		Short: "What this host can do: key, clock, write block, sandbox, AWS",
		Long: "doctor looks at what the work needs and changes nothing: the signing key, the clock, whether devices can be\n" +
			"set read-only, which sandbox the kernel offers, who the AWS credentials are, and by DryRun what they may do.\n" +
			"With --instance it also asks about every call that respond would make there. AWS need not be reachable.",
		Example: "snapcase doctor\nsnapcase doctor --profile preserve --region eu-west-1 --instance i-0abc1234def567890",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			all := []finding{e.doctorKey(), e.doctorClock(), doctorWriteBlock(), doctorSandbox()}
			who, board, err := e.doctorAWS(c.Context(), aws.Options{Region: region, Profile: profile, Now: e.now}, instance)
			if err != nil {
				return err
			}
			return e.tellDoctor(append(all, who), board)
		},
	}
	c.Flags().StringVar(&region, "region", "", "region (default: the usual AWS variables)")
	c.Flags().StringVar(&profile, "profile", "", "profile of ~/.aws/config")
	c.Flags().StringVar(&instance, "instance", "", "ask about the calls that respond would make on this instance")
	return c
}

func (e *edge) tellDoctor(all []finding, board []respond.Permission) error {
	if e.json {
		if board == nil {
			board = []respond.Permission{}
		}
		return emit(e.stdout, map[string]any{"checks": all, "permissions": board})
	}
	w := e.out()
	for _, f := range all {
		row(w, fmt.Sprintf("%-8s", f.State), fmt.Sprintf("%-12s", f.Check), f.Detail)
		if f.Hint != "" {
			row(w, strings.Repeat(" ", 22)+"hint:", f.Hint)
		}
	}
	for _, p := range board {
		row(w, fmt.Sprintf("%-8s", p.Allowed), p.Call)
	}
	return w.Flush()
}

func (e *edge) doctorKey() finding {
	f := finding{Check: "key", State: "missing"}
	conf, err := os.UserConfigDir()
	if err != nil {
		f.Detail, f.Hint = err.Error(), "name a key with snapcase new --key"
		return f
	}
	path := filepath.Join(conf, "snapcase", "examiner_ed25519")
	signer, err := custody.LoadSigner(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		f.Detail, f.Hint = "no key at "+path, "snapcase new makes one, or takes yours with --key"
	case err != nil:
		f.Detail, f.Hint = err.Error(), "look at the file's mode (0600) and at ssh-agent"
	default:
		f.State, f.Detail = "ok", path+" "+custody.Fingerprint(signer.PublicKey())
	}
	return f
}

// doctorClock says whether the kernel's clock is kept by a time service.
func (e *edge) doctorClock() finding {
	f := finding{Check: "clock", State: "ok", Detail: e.now().UTC().Format("2006-01-02 15:04:05Z")}
	var t unix.Timex
	if _, err := unix.Adjtimex(&t); err != nil {
		f.State, f.Detail = "warn", f.Detail+", and the kernel does not say whether it is kept: "+err.Error()
	} else if t.Status&unix.STA_UNSYNC != 0 {
		f.State, f.Detail = "warn", f.Detail+", not kept by a time service"
		f.Hint = "start chrony or systemd-timesyncd; each AWS answer's own date stands in the ledger beside it"
	}
	return f
}

// doctorWriteBlock says whether block devices can be set read-only here, and
// which are.
func doctorWriteBlock() finding {
	f := finding{Check: "write block", State: "ok"}
	names, err := filepath.Glob("/sys/block/*/ro")
	if err != nil || len(names) == 0 {
		return finding{Check: "write block", State: "warn", Detail: "no block devices are seen here"}
	}
	var ro []string
	for _, n := range names {
		if b, err := os.ReadFile(n); err == nil && strings.TrimSpace(string(b)) == "1" {
			ro = append(ro, filepath.Base(filepath.Dir(n)))
		}
	}
	slices.Sort(ro)
	f.Detail = fmt.Sprintf("%d block devices, read-only: %s", len(names), or(strings.Join(ro, ", "), "none"))
	if os.Geteuid() != 0 {
		f.State, f.Detail, f.Hint = "warn", f.Detail+"; this user cannot set one read-only", "sudo blockdev --setro /dev/… before acquiring a device"
	}
	return f
}

// landlockVersion asks landlock_create_ruleset for the version of its ABI.
const landlockVersion = 1

func doctorSandbox() finding {
	v, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, landlockVersion)
	if errno != 0 {
		return finding{Check: "sandbox", State: "warn", Detail: "the kernel has no Landlock: " + errno.Error() + "; parsers run in this process, unconfined"}
	}
	return finding{Check: "sandbox", State: "ok", Detail: fmt.Sprintf("Landlock ABI %d is there; parsers run in this process, with bounded memory and depth", v)}
}

// doctorAWS says who the credentials are. Without AWS that is a finding, not a
// failure.
func (e *edge) doctorAWS(ctx context.Context, o aws.Options, instance string) (finding, []respond.Permission, error) {
	f := finding{Check: "AWS", State: "missing"}
	if o.Region == "" && os.Getenv("AWS_REGION") == "" && os.Getenv("AWS_DEFAULT_REGION") == "" {
		o.Region = "us-east-1" // to ask who the caller is, any will do
	}
	account, err := aws.Open(ctx, o)
	if err != nil {
		f.Detail = err.Error()
		return f, nil, nil
	}
	s := &respond.Session{Region: account.Region, Cloud: account.Calls(aws.CallOptions{}), Now: e.now}
	id, err := s.Identify(ctx)
	if ctx.Err() != nil {
		return f, nil, ctx.Err()
	}
	if err != nil {
		f.Detail = err.Error()
		var h evidence.Hinted
		if errors.As(err, &h) {
			f.Hint = h.Hint()
		}
		return f, nil, nil
	}
	f.State, f.Detail = "ok", id.Arn+" in account "+id.Account+", region "+account.Region
	board := s.ReadBoard(ctx)
	if instance == "" {
		return f, board, nil
	}
	p, err := s.Plan(ctx, respond.Options{Instance: instance, CutEstablished: true, NACL: true, DetachEIP: true})
	if err != nil {
		return f, nil, err
	}
	for i := range p.Steps {
		for j := range p.Steps[i].Calls {
			if c := &p.Steps[i].Calls[j]; c.Mutates {
				board = append(board, respond.Permission{Call: c.Name() + " " + c.ID, Allowed: c.Allowed})
			}
		}
	}
	return f, board, nil
}
