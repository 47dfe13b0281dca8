package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"snapcase/evidence"
	"snapcase/store"
)

func intelCommand(e *edge) *cobra.Command {
	var name string
	c := &cobra.Command{
		Use:   "intel CASE FILE... --name LIST",
		Short: "Bring in lists of hostile addresses",
		Long: "intel acquires each FILE as an exhibit of its own; flows --group peer, trace and the report then name the list\n" +
			"of each address that is on it, with the entry and the entry's own dates. A FILE is plain (an address, a CIDR\n" +
			"or a domain a line), CSV with a column of addresses, a STIX 2 bundle or a MISP event. Matching is offline, by\n" +
			"the narrowest network. Names of domains are counted, and nothing is matched with them. A network wider than\n" +
			"/8 is refused. What is no entry is told, and gives exit code 4; the others count.",
		Example: "snapcase intel case1 feodo.csv --name feodo-2026.03\nsnapcase flows case1 --group peer --json | jq 'select(.lists != [])'",
		Args:    atLeast(2, "a case and at least one file"),
		RunE: func(c *cobra.Command, args []string) error {
			if name == "" {
				return usageOf(c, "--name")
			}
			label, err := store.ListLabel(name)
			if err != nil {
				return err
			}
			cs, err := e.write(c.Context(), args[0])
			if err != nil {
				return err
			}
			before, err := evidence.ReadExhibits(cs.Folder())
			if err == nil {
				err = e.acquireAll(c.Context(), cs, &account{}, args[1:], store.AcquireRequest{Kind: evidence.KindIntel, Label: label, Raw: true})
			}
			if err == nil || errors.Is(err, evidence.ErrGaps) {
				err = errors.Join(err, e.listFigures(c.Context(), cs, len(before)))
			}
			return errors.Join(err, cs.Close())
		},
	}
	c.Flags().StringVar(&name, "name", "", "what the list is called: letters, digits, . _ and -")
	return c
}

// listFigures tells what the lists hold that came after the first exhibits.
func (e *edge) listFigures(ctx context.Context, cs *store.Case, first int) error {
	all, err := evidence.ReadExhibits(cs.Folder())
	if err != nil {
		return err
	}
	for _, a := range all[min(first, len(all)):] {
		if a.Kind != evidence.KindIntel {
			continue
		}
		f, err := cs.ListFigures(ctx, a.Exhibit)
		if err != nil {
			return err
		}
		e.say("%s: %d addresses and networks, %d names of domains", f.Exhibit, f.Addresses, f.Names)
		if f.Private > 0 {
			e.say("warning: %s: %d of them are private or reserved: every host with such an address is named", f.Exhibit, f.Private)
		}
		if f.Names > 0 {
			e.say("note: %s: names of domains are not matched", f.Exhibit)
		}
		if f.Addresses == 0 {
			e.say("warning: %s: it holds no address", f.Exhibit)
		}
	}
	return nil
}

// listsText names lists for a person; "" where there are none.
func listsText(names []string) string {
	if len(names) == 0 {
		return ""
	}
	return fmt.Sprintf("ON LIST %s", strings.Join(names, ", "))
}

// listNames are the names of the lists of some entries.
func listNames(listed []evidence.Listed) []string {
	var out []string
	for _, l := range listed {
		out = append(out, l.List)
	}
	return out
}
