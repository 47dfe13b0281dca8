package main

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"snapcase/evidence"
)

func traceCommand(e *edge) *cobra.Command {
	return &cobra.Command{
		Use:   "trace CASE ENTITY",
		Short: "What a key, user, role session, instance, address or snapshot did and touched",
		Long: "trace follows one entity across every exhibit: where it was found, what it called and where, which keys\n" +
			"it issued and who issued it (to any depth), what it created, the traffic of its instances.",
		Example: "snapcase trace case1 AKIA2OGYBAH6QLWVZT7M\nsnapcase trace case1 i-0abc123def4567890 --json",
		Args:    exactly(2, "a case and an entity"),
		RunE: func(c *cobra.Command, args []string) error {
			cs, err := e.read(c.Context(), args[0])
			if err != nil {
				return err
			}
			defer cs.Close() //nolint:errcheck // read-only
			t, err := cs.Trace(c.Context(), args[1])
			if errors.Is(err, evidence.ErrNotFound) && errors.Is(e.gaps(c.Context(), cs, ""), evidence.ErrGaps) {
				return evidence.WithHint(fmt.Errorf("%w in what could be read, which is not all the evidence", err), "snapcase stats %s tells what is missing; snapcase index %s indexes what is not indexed yet", args[0], args[0])
			}
			if err != nil {
				return err
			}
			w := e.out()
			if e.json {
				err = emit(w, t)
			} else {
				traceText(w, t)
			}
			if err != nil {
				return err
			}
			if err := w.Flush(); err != nil {
				return err
			}
			return e.gaps(c.Context(), cs, "")
		},
	}
}

// traceText tells a trace as an investigator would read it out.
func traceText(w io.Writer, t evidence.Trace) {
	row(w, t.Entity.Type, t.Entity.ID, fmt.Sprintf("%d events", t.Events), stamp(t.First)+" to "+stamp(t.Last))
	for _, p := range t.FoundAt {
		row(w, "found  ", placeText(p))
	}
	for _, i := range t.IssuedBy {
		row(w, "issued by", i.KeyID, i.Principal, i.EventName, stamp(i.Time), "event "+i.ByEvent, "join "+i.Join)
	}
	for _, i := range t.Issued {
		mark := ""
		if i.Permanent {
			mark = "PERSISTENT"
		}
		row(w, "issued ", strings.Repeat("  ", i.Depth-1)+i.KeyID, i.Principal, i.EventName, stamp(i.Time), fmt.Sprintf("%d events", i.Events), "join "+i.Join, mark)
	}
	for _, a := range t.Addresses {
		row(w, "from   ", a.IP, fmt.Sprintf("%d events", a.Events), stamp(a.First)+" to "+stamp(a.Last), listsText(listNames(a.Listed)))
	}
	for _, r := range t.Regions {
		mark := ""
		if r.Unusual {
			mark = "UNUSUAL: nobody else acted there before"
		}
		row(w, "region ", r.Region, fmt.Sprintf("%d events, %d failed", r.Events, r.Failed), "first "+stamp(r.First), mark)
	}
	for _, c := range t.Calls {
		row(w, "call   ", c.Name, fmt.Sprintf("%d ok, %d failed", c.OK, c.Failed))
	}
	for _, c := range t.Created {
		row(w, "created", c.Type, c.ID, c.Region, stamp(c.Time), "event "+c.EventID)
	}
	for _, i := range t.Instances {
		row(w, "instance", i.ID, i.Region, "private "+strings.Join(i.PrivateIPs, " "), "public "+strings.Join(i.PublicIPs, " "), strings.Join(i.Interfaces, " "))
	}
	for _, p := range t.Peers {
		row(w, "peer   ", p.IP, p.Protocol, fmt.Sprintf("%d packets, %d bytes out, %d bytes in", p.Packets, p.BytesOut, p.BytesIn), stamp(p.First)+" to "+stamp(p.Last), listsText(p.Lists))
	}
	for _, i := range t.ICMP {
		row(w, "icmp   ", i.Peer, i.Verdict, fmt.Sprintf("%d requests, %d replies, %d payload bytes, %.2f bits a byte", i.Requests, i.Replies, i.PayloadBytes, i.Entropy))
		for _, r := range i.Reasons {
			row(w, "        ", r)
		}
	}
}
