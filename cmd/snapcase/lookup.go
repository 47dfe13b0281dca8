package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"snapcase/evidence"
	"snapcase/evidence/acquire"
	"snapcase/evidence/aws"
	"snapcase/store"
)

func lookupCommand(e *edge) *cobra.Command {
	var from account
	var key, attribute, label string
	c := &cobra.Command{
		Use:   "lookup CASE --key AKIA…",
		Short: "Ask CloudTrail of a live account what a key did, and keep the answers as an exhibit",
		Long: "lookup asks LookupEvents in every enabled region (--log-region: in these), two calls a second each, and\n" +
			"acquires every page of the answers as it came, with its request id. The service knows management events of\n" +
			"the last 90 days, and no data events; a region that refuses is a gap (exit 4). Run again after an\n" +
			"interruption, it asks the same question and goes on with the regions that it did not finish.",
		Example: "snapcase cloudtrail lookup case1 --key AKIA2OGYBAH6QLWVZT7M --profile audit\nsnapcase cloudtrail lookup case1 --attribute Username=marc --log-region us-east-1 --from 2026-11-01",
		Args:    exactly(1, "one case"),
		RunE: func(c *cobra.Command, args []string) error {
			o, err := lookupOptions(&from, key, attribute)
			if err != nil {
				return err
			}
			if o.Spool, err = lookupSpool(args[0], o); err != nil {
				return err
			}
			cs, err := e.write(c.Context(), args[0])
			if err != nil {
				return err
			}
			return errors.Join(e.lookup(c.Context(), cs, &from, o, label), cs.Close())
		},
	}
	c.Flags().StringVar(&key, "key", "", "access key id")
	c.Flags().StringVar(&attribute, "attribute", "", "another attribute, NAME=VALUE: "+strings.Join(aws.LookupAttributes, ", "))
	c.Flags().StringVar(&label, "label", "", "what the exhibit is called")
	c.Flags().StringSliceVar(&from.regions, "log-region", nil, "only these regions")
	c.Flags().StringVar(&from.from, "from", "", "events of this time and later (else the last 90 days)")
	c.Flags().StringVar(&from.to, "to", "", "events up to this time")
	from.flags(c)
	return c
}

// lookupOptions reads the flags.
func lookupOptions(from *account, key, attribute string) (aws.LookupOptions, error) {
	wanted, err := from.selection()
	if err != nil {
		return aws.LookupOptions{}, err
	}
	o := aws.LookupOptions{Attribute: "AccessKeyId", Value: key, From: wanted.From, To: wanted.To, Regions: wanted.Regions}
	if attribute != "" {
		o.Attribute, o.Value, _ = strings.Cut(attribute, "=")
	}
	if (key == "") == (attribute == "") || o.Value == "" {
		return o, usageError{errors.New("one of --key and --attribute NAME=VALUE is needed")}
	}
	return o, nil
}

// lookupSpool is where answers lie until they are sealed: one folder a question
// and case, in the user's cache.
func lookupSpool(dir string, o aws.LookupOptions) (string, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return "", fmt.Errorf("look up events: %w", err)
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = os.TempDir()
	}
	id := sha256.Sum256(fmt.Appendf(nil, "%s\x00%s\x00%s\x00%q\x00%s\x00%s", abs, o.Attribute, o.Value, o.Regions, o.From.Format(time.RFC3339), o.To.Format(time.RFC3339)))
	return filepath.Join(cache, "snapcase", "lookups", hex.EncodeToString(id[:8])), nil
}

func (e *edge) lookup(ctx context.Context, cs *store.Case, from *account, o aws.LookupOptions, label string) error {
	p, end := e.progress()
	defer end()
	door, err := e.account(ctx, from, p)
	if err != nil {
		return err
	}
	l, err := door.Lookup(ctx, o)
	if err != nil {
		return err
	}
	a, err := cs.Acquire(ctx, store.AcquireRequest{Source: l.Source(), Kind: evidence.KindCloudTrail, Label: label, Format: "raw", Objects: &acquire.Objects{Store: l}}, p)
	if err != nil && !errors.Is(err, evidence.ErrGaps) {
		return err
	}
	if ferr := l.Forget(); ferr != nil {
		return errors.Join(err, ferr)
	}
	for _, n := range l.Origin().Notes {
		e.say("note: %s", n)
	}
	return errors.Join(e.acquired(cs, a), err)
}
