package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"snapcase/evidence"
	"snapcase/evidence/aws"
	"snapcase/evidence/respond"
	"snapcase/evidence/visible"
	"snapcase/store"
)

// respondFlags are the flags of the four verbs below respond.
type respondFlags struct {
	o               respond.Options
	instances       []string
	region, profile string
	examiner        string
	yes             bool
	keepEgress      string
	named           []string
}

func respondCommand(e *edge) *cobra.Command {
	c := &cobra.Command{
		Use:   "respond plan|run|undo|status CASE --instance i-…",
		Short: "Preserve and contain an instance on AWS, step by step",
		Long: "respond makes a compromised instance safe and keeps what it holds: its configuration becomes an exhibit, it\n" +
			"is protected from deletion, every interface is isolated, its credentials are taken away, its volumes are\n" +
			"snapshotted as one set and shared with the security account. plan shows every call and changes nothing; run\n" +
			"can be interrupted at any moment and goes on where it stopped; undo brings everything back but evidence.",
		Example: "snapcase respond plan case1 --instance i-0abc1234def567890 --share-with 444455556666\n" +
			"snapcase respond run case1 --instance i-0abc1234def567890 --share-with 444455556666 --cut-established --revoke-role\n" +
			"snapcase respond status case1 --instance i-0abc1234def567890\n" +
			"snapcase respond undo case1 --instance i-0abc1234def567890",
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return usageOf(c, "plan, run, undo or status") },
	}
	c.AddCommand(respondVerb(e, "plan", "Show every call that run may make, in order; change nothing", e.respondPlan),
		respondVerb(e, "run", "Carry the plan out, or go on with it", e.respondRun),
		respondVerb(e, "undo", "Bring back what run changed, but never evidence", e.respondUndo),
		respondVerb(e, "status", "Show what is done, open and left; change nothing", e.respondStatus))
	return c
}

func respondVerb(e *edge, name, short string, do func(context.Context, string, *respondFlags) error) *cobra.Command {
	f := &respondFlags{}
	c := &cobra.Command{
		Use: name + " CASE --instance i-…", Short: short, Args: exactly(1, "one case"),
		Example: "snapcase respond " + name + " case1 --instance i-0abc1234def567890 --region eu-west-1",
		RunE: func(c *cobra.Command, args []string) error {
			if len(f.instances) == 0 {
				return usageOf(c, "--instance")
			}
			if f.keepEgress != "" {
				return evidence.WithHint(fmt.Errorf("--keep-egress %s: keeping single services reachable is not in this version: %w", f.keepEgress, evidence.ErrUsage), "take memory before isolation: --memory --order capture-first")
			}
			var gaps error
			for _, id := range f.instances { // each is a playbook of its own; a gap in one holds up none
				g := *f
				g.o.Instance = id
				err := do(c.Context(), args[0], &g)
				if err != nil && !errors.Is(err, evidence.ErrGaps) {
					return errors.Join(gaps, err)
				}
				gaps = errors.Join(gaps, err)
			}
			return gaps
		},
	}
	fl := c.Flags()
	fl.StringSliceVar(&f.instances, "instance", nil, "the instance, or several: i-…")
	fl.StringVar(&f.region, "region", "", "region of the instance (default: the usual AWS variables)")
	fl.StringVar(&f.profile, "profile", "", "profile of ~/.aws/config for the instance's account")
	if name == "plan" || name == "run" {
		f.planFlags(c)
	}
	if name == "run" || name == "undo" {
		fl.BoolVar(&f.yes, "yes", false, "do not ask; needed where there is no terminal")
	}
	if name == "undo" {
		fl.StringSliceVar(&f.named, "enable-key", nil, "also make these access keys active again: AKIA…")
		fl.StringSliceVar(&f.named, "allow-role", nil, "also let older sessions of these roles or users live again")
	}
	fl.StringVar(&f.examiner, "examiner-profile", "", "profile of the security account, for --with-volume (default: --profile)")
	return c
}

func (f *respondFlags) planFlags(c *cobra.Command) {
	fl, o := c.Flags(), &f.o
	fl.StringVar(&o.ShareWith, "share-with", "", "account that gets the snapshots: twelve digits")
	fl.StringVar(&o.KMSKey, "kms-key", "", "ARN of the key for copies of snapshots that cannot be shared as they are")
	fl.BoolVar(&o.Memory, "memory", false, "take memory through SSM with AVML")
	fl.StringVar(&o.MemoryBucket, "memory-bucket", "", "bucket that takes the memory image")
	fl.StringVar(&o.AVML, "avml", "", "object of that bucket with the AVML binary")
	fl.StringVar(&o.AVMLSHA256, "avml-sha256", "", "its SHA-256: nothing else is run on the instance")
	fl.StringVar(&o.Mirror, "mirror", "", "interface that gets a copy of all traffic: eni-…")
	fl.BoolVar(&o.WithVolume, "with-volume", false, "make a volume of each snapshot and attach it")
	fl.StringVar(&o.HostInstance, "host-instance", "", "the examiner's instance, for --with-volume: i-…")
	fl.IntVar(&o.Lock, "lock", 0, "lock the snapshots for so many days")
	fl.BoolVar(&o.CutEstablished, "cut-established", false, "end connections that are being tracked: an open group first, then the closed one")
	fl.BoolVar(&o.NACL, "nacl", false, "cut off the whole subnet with a network ACL")
	fl.BoolVar(&o.DetachEIP, "detach-eip", false, "take the Elastic IP addresses off")
	fl.BoolVar(&o.DetachASG, "detach-asg", false, "first put the instance into standby in its Auto Scaling group and take it off load balancers")
	fl.BoolVar(&o.RevokeRole, "revoke-role", false, "replace the instance profile and end older sessions of its roles")
	fl.StringVar(&o.DenyProfile, "deny-profile", "", "instance profile that denies everything (default snapcase-deny)")
	fl.StringSliceVar(&o.DisableKeys, "disable-key", nil, "make access keys inactive: AKIA…")
	fl.StringVar(&f.keepEgress, "keep-egress", "", "not in this version")
	fl.StringVar(&o.Order, "order", "auto", "auto, contain-first or capture-first")
	fl.StringSliceVar(&o.Only, "only", nil, "only these steps")
	fl.StringSliceVar(&o.Skip, "skip", nil, "all but these steps")
}

// session opens the case and the account.
func (e *edge) session(ctx context.Context, cs *store.Case, f *respondFlags) (*respond.Session, error) {
	account, err := aws.Open(ctx, aws.Options{Region: f.region, Profile: f.profile, Now: e.now})
	if err != nil {
		return nil, err
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = os.TempDir()
	}
	calls := account.Calls(aws.CallOptions{})
	s := &respond.Session{
		Folder: cs.Folder(), CaseID: cs.File().ID, Region: account.Region, Cloud: calls, Presigner: calls, Library: calls,
		Scratch: filepath.Join(cache, "snapcase"), Now: e.now, Watch: e.watch,
		Exhibit: func(ctx context.Context, dir, label string) (evidence.Acquisition, error) {
			return cs.Acquire(ctx, store.AcquireRequest{Source: dir, Kind: evidence.KindFile, Label: label, NoIndex: true}, nil)
		},
	}
	if l := cs.Ledger(); l != nil {
		s.Ledger = l
	}
	if f.examiner != "" {
		other, err := aws.Open(ctx, aws.Options{Region: f.region, Profile: f.examiner, Now: e.now})
		if err != nil {
			return nil, err
		}
		s.Examiner = other.Calls(aws.CallOptions{})
	}
	return s, nil
}

// watch tells of progress, one line each.
func (e *edge) watch(p respond.Progress) {
	switch {
	case p.What == "waiting" && p.Total > 0:
		e.say("%s: %s: %d of %d", p.Step, p.Call, p.Done, p.Total)
	case p.Call != "":
		e.say("%s: %s: %s", p.Step, p.Call, p.What)
	default:
		e.say("%s: %s", p.Step, p.What)
	}
}

// onCase opens a case for reading or writing and runs f on a session.
func (e *edge) onCase(ctx context.Context, dir string, write bool, f *respondFlags, do func(*respond.Session, *store.Case) error) error {
	open := e.read
	if write {
		open = e.write
	}
	cs, err := open(ctx, dir)
	if err != nil {
		return err
	}
	s, err := e.session(ctx, cs, f)
	if err == nil {
		err = do(s, cs)
	}
	return errors.Join(err, cs.Close())
}

func (e *edge) respondPlan(ctx context.Context, dir string, f *respondFlags) error {
	return e.onCase(ctx, dir, false, f, func(s *respond.Session, _ *store.Case) error {
		p, err := s.Plan(ctx, f.o)
		if err != nil {
			return err
		}
		if e.json {
			return emit(e.stdout, p)
		}
		return e.showPlan(p)
	})
}

// showPlan writes a plan for people.
func (e *edge) showPlan(p *respond.Plan) error {
	w := e.out()
	row(w, p.Instance, p.Subject.Name, p.Subject.Type, p.Subject.State, p.Region, "account "+p.Account)
	row(w, "as", p.Caller)
	row(w, "order", p.Order+": "+p.Reason)
	for i := range p.Steps {
		st := &p.Steps[i]
		number := ""
		if st.Whitepaper > 0 {
			number = fmt.Sprintf("(%d)", st.Whitepaper)
		}
		row(w, "")
		row(w, st.ID, number, st.Title)
		if st.Cannot != "" {
			row(w, "  cannot:", st.Cannot)
		}
		reads := 0
		for j := range st.Calls {
			c := &st.Calls[j]
			if !c.Mutates {
				reads++
				continue
			}
			row(w, "  change", c.Service+":"+c.Action, compact(c.Params), "allowed: "+c.Allowed, "undo: "+or(c.Undo, "none"))
		}
		if reads > 0 {
			row(w, "  reads", fmt.Sprintf("%d calls that change nothing", reads))
		}
		for _, s := range st.Checks {
			row(w, "  proof", s)
		}
		for _, s := range st.Warnings {
			row(w, "  note", s)
		}
	}
	row(w, "")
	row(w, "what stays after it")
	residuals(w, p.Residual)
	row(w, fmt.Sprintf("%d changes; undo brings back everything: %v", p.Changes(), p.UndoComplete))
	return w.Flush()
}

func residuals(w *bufio.Writer, all []respond.Residual) {
	for _, r := range all {
		row(w, "  "+r.State, r.Channel+":", r.Why)
		if r.Remedy != "" {
			row(w, "        remedy:", r.Remedy)
		}
	}
}

func or(s, other string) string {
	if s == "" {
		return other
	}
	return s
}

// compact is a call's parameters on one line.
func compact(params map[string]any) string {
	var b strings.Builder
	if err := emit(&b, params); err != nil {
		return err.Error()
	}
	return strings.TrimSpace(b.String())
}

// permit asks for what a call to the victim must never be made without.
func (e *edge) permit(f *respondFlags, what string) error {
	if f.yes {
		return nil
	}
	in, isFile := any(os.Stdin).(*os.File)
	if !isFile || !term.IsTerminal(int(in.Fd())) { //nolint:gosec // a descriptor fits
		return usageError{evidence.WithHint(fmt.Errorf("%s without a terminal: %w", what, evidence.ErrUsage), "give --yes when it is meant")}
	}
	_, _ = fmt.Fprintf(e.stderr, "%s %s: type its id to go on: ", what, visible.Escape(f.o.Instance))
	line, err := bufio.NewReader(in).ReadString('\n')
	if err != nil || strings.TrimSpace(line) != f.o.Instance {
		return fmt.Errorf("%s %s: the id was not typed, nothing was changed", what, f.o.Instance)
	}
	return nil
}

func (e *edge) respondRun(ctx context.Context, dir string, f *respondFlags) error {
	return e.onCase(ctx, dir, true, f, func(s *respond.Session, cs *store.Case) error {
		p, err := s.Resume(f.o)
		if err != nil {
			return err
		}
		if p == nil {
			if p, err = s.Plan(ctx, f.o); err != nil {
				return err
			}
		} else {
			e.say("going on with the plan that was begun")
		}
		if !e.json && !f.yes {
			if err := e.showPlan(p); err != nil {
				return err
			}
		}
		if err := e.permit(f, "change"); err != nil {
			return err
		}
		runErr := s.Run(ctx, p)
		if _, err := os.Stat(cs.Folder().Index()); err == nil && (runErr == nil || errors.Is(runErr, evidence.ErrGaps)) {
			runErr = errors.Join(runErr, cs.Index(ctx, store.IndexOptions{}, nil))
		}
		return errors.Join(runErr, e.tellStatus(ctx, s, f.o.Instance))
	})
}

func (e *edge) respondUndo(ctx context.Context, dir string, f *respondFlags) error {
	return e.onCase(ctx, dir, true, f, func(s *respond.Session, _ *store.Case) error {
		st, err := s.Status(ctx, f.o.Instance)
		if err != nil {
			return err
		}
		for _, u := range st.Undo {
			e.say("undo: %s", u)
		}
		if err := e.permit(f, "undo the response to"); err != nil {
			return err
		}
		if err := s.Undo(ctx, f.o.Instance, respond.UndoOptions{Named: slices.Compact(f.named)}); err != nil {
			return err
		}
		if e.json {
			return emit(e.stdout, map[string]any{"instance": f.o.Instance, "undone": true, "left": st.Left})
		}
		e.say("%s is as it was before; snapshots, shares, logs and exhibits are kept", f.o.Instance)
		return nil
	})
}

func (e *edge) respondStatus(ctx context.Context, dir string, f *respondFlags) error {
	cs, err := e.read(ctx, dir)
	if err != nil {
		return err
	}
	s := &respond.Session{Folder: cs.Folder(), CaseID: cs.File().ID, Now: e.now}
	if online, err := e.session(ctx, cs, f); err == nil { // progress of snapshots is asked for where it can be
		if _, err := online.Identify(ctx); err == nil {
			s = online
		} else {
			e.say("AWS was not asked: %v", err)
		}
	}
	return errors.Join(e.tellStatus(ctx, s, f.o.Instance), cs.Close())
}

// tellStatus shows what is known of the response.
func (e *edge) tellStatus(ctx context.Context, s *respond.Session, instance string) error {
	if ctx.Err() != nil { // cancelled: what the ledger knows can still be shown
		s.Cloud, ctx = nil, context.WithoutCancel(ctx)
	}
	st, err := s.Status(ctx, instance)
	if err != nil {
		return err
	}
	if e.json {
		return emit(e.stdout, st)
	}
	w := e.out()
	if st.Begun == "" {
		row(w, instance, "nothing was done: the ledger knows of no response to it")
		return w.Flush()
	}
	for i := range st.Steps {
		x := &st.Steps[i]
		row(w, fmt.Sprintf("%-8s", x.State), x.ID, x.Title, x.Exhibit, x.Why)
		for _, c := range x.Calls {
			var made []string
			for k, v := range c.Made {
				made = append(made, k+" "+v)
			}
			slices.Sort(made)
			row(w, "", fmt.Sprintf("%-9s", c.State), c.Call, strings.Join(made, ", "), c.RequestID, c.Error)
		}
	}
	for _, x := range st.Snapshots {
		row(w, "snapshot", x.ID, x.Volume, x.State, fmt.Sprintf("%d%%", x.Progress))
	}
	for _, u := range st.Unsettled {
		row(w, "unsettled", u, "had no answer; the next run asks AWS before it repeats it")
	}
	for _, u := range st.Undo {
		row(w, "undo", u)
	}
	for _, u := range st.Left {
		row(w, "left by undo", u)
	}
	residuals(w, st.Residual)
	return w.Flush()
}
