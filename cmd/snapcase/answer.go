package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"snapcase/evidence"
	"snapcase/evidence/custody"
	"snapcase/store"
)

func answerCommand(e *edge) *cobra.Command {
	return &cobra.Command{
		Use:   "answer CASE",
		Short: "What the evidence says, in one page: whose key, where found, how used, what it made, whom that talked to",
		Long: "answer asks the case what an auditor asks: for every access key that lies in the evidence and was used,\n" +
			"whose it is, where it was found (deleted copies too), when and from where it was used, what it and the\n" +
			"keys it issued created and where, and whom the instances talked to. It knows no case; it only asks.",
		Example: "snapcase answer case1\nsnapcase answer case1 --json | jq '.keys[].trace.created'",
		Args:    exactly(1, "one case or bundle"),
		RunE:    func(c *cobra.Command, args []string) error { return e.answer(c.Context(), args[0]) },
	}
}

func (e *edge) answer(ctx context.Context, path string) error {
	cs, err := e.read(ctx, path)
	if err != nil {
		return err
	}
	defer cs.Close() //nolint:errcheck // read-only
	keys, err := cs.Keys(ctx, false)
	if err != nil {
		return err
	}
	findings, err := cs.Findings(ctx)
	if err != nil {
		return err
	}
	if e.json {
		return e.answerJSON(ctx, cs, keys, findings)
	}
	w := e.out()
	row(w, "CASE      "+cs.File().Title, cs.File().ID)
	used := 0
	for _, k := range keys {
		if k.Events == 0 {
			continue
		}
		used++
		t, err := cs.Trace(ctx, k.KeyID)
		if err != nil {
			return err
		}
		if err := e.answerKey(ctx, w, cs, k, t); err != nil {
			return err
		}
	}
	if used == 0 {
		row(w, "", "no access key that lies in the evidence was used in the logs that were acquired")
	}
	row(w, "")
	row(w, "FINDINGS")
	for _, f := range findings {
		row(w, fmt.Sprintf("  %-4s %-8s", f.ID, f.Level), f.Title)
		row(w, "      ", f.Observed)
	}
	if err := e.answerCustody(ctx, w, cs); err != nil {
		return err
	}
	if err := w.Flush(); err != nil {
		return err
	}
	return e.gaps(ctx, cs, "")
}

// keyAnswer is what the answer says of one key that was used.
type keyAnswer struct {
	Key   evidence.Key    `json:"key"`
	First *evidence.Event `json:"first_event"` // the first call made with it
	Trace evidence.Trace  `json:"trace"`
}

// answerJSON writes the whole answer as one object.
func (e *edge) answerJSON(ctx context.Context, cs *store.Case, keys []evidence.Key, findings []evidence.Finding) error {
	stats, err := cs.Stats(ctx)
	if err != nil {
		return err
	}
	records, err := cs.Records(ctx)
	if err != nil {
		return err
	}
	type ledger struct {
		Records int    `json:"records"`
		Head    string `json:"head"`
	}
	answer := struct {
		Case     string                  `json:"case"`
		Title    string                  `json:"title"`
		Keys     []keyAnswer             `json:"keys"`
		Findings []evidence.Finding      `json:"findings"`
		Exhibits []evidence.ExhibitStats `json:"exhibits"`
		Custody  ledger                  `json:"custody"`
	}{cs.File().ID, cs.File().Title, []keyAnswer{}, append([]evidence.Finding{}, findings...), append([]evidence.ExhibitStats{}, stats...), ledger{Records: len(records)}}
	if len(records) > 0 {
		answer.Custody.Head = records[len(records)-1].Hash
	}
	for _, k := range keys {
		if k.Events == 0 {
			continue
		}
		a := keyAnswer{Key: k}
		if a.Trace, err = cs.Trace(ctx, k.KeyID); err != nil {
			return err
		}
		for ev, err := range cs.Events(ctx, store.EventQuery{Key: k.KeyID, Limit: 1}) {
			if err != nil {
				return err
			}
			a.First = &ev
		}
		answer.Keys = append(answer.Keys, a)
	}
	w := e.out()
	if err := errors.Join(emit(w, answer), w.Flush()); err != nil {
		return err
	}
	return e.gaps(ctx, cs, "")
}

func (e *edge) answerKey(ctx context.Context, w io.Writer, cs *store.Case, k evidence.Key, t evidence.Trace) error {
	row(w, "")
	row(w, "KEY       "+k.KeyID, k.Kind)
	row(w, "  whose   "+strings.Join(k.Principals, ", "))
	for _, p := range k.Places {
		if p.Status != "log" {
			row(w, "  found   "+placeText(p))
		}
	}
	row(w, fmt.Sprintf("  used    %d events", t.Events), stamp(t.First)+" to "+stamp(t.Last))
	first := ""
	for ev, err := range cs.Events(ctx, store.EventQuery{Key: k.KeyID, Limit: 1}) {
		if err != nil {
			return err
		}
		first = ev.Name
		row(w, "          first call "+first, stamp(ev.Time), "from "+ev.SourceIP, "with "+ev.UserAgent)
	}
	for _, a := range t.Addresses {
		row(w, "  from    "+a.IP, fmt.Sprintf("%d events", a.Events), stamp(a.First)+" to "+stamp(a.Last), listsText(listNames(a.Listed)))
	}
	for _, i := range t.Issued {
		row(w, "  issued  "+strings.Repeat("  ", i.Depth-1)+i.EventName+" → "+i.KeyID, i.Principal, stamp(i.Time), fmt.Sprintf("%d events", i.Events), "joined by "+i.Join)
	}
	for _, r := range t.Regions {
		mark := ""
		if r.Unusual {
			mark = "UNUSUAL: no other user or role acted there before"
		}
		row(w, "  region  "+r.Region, fmt.Sprintf("%d events, %d failed", r.Events, r.Failed), "first "+stamp(r.First), mark)
	}
	for _, c := range t.Created {
		row(w, "  created "+c.Type+" "+c.ID, "in "+c.Region, stamp(c.Time), c.Record.String())
	}
	for _, i := range t.Instances {
		row(w, "  runs    "+i.ID, "private "+strings.Join(i.PrivateIPs, " "), "public "+strings.Join(i.PublicIPs, " "), strings.Join(i.Interfaces, " "))
	}
	answerPeers(w, t)
	return nil
}

// answerPeers tells whom the instances talked to, the judged ones first.
func answerPeers(w io.Writer, t evidence.Trace) {
	for _, i := range t.ICMP {
		row(w, "  icmp    "+i.Peer, strings.ToUpper(i.Verdict), fmt.Sprintf("%d requests, %d replies, %d payload bytes, %.2f bits a byte", i.Requests, i.Replies, i.PayloadBytes, i.Entropy))
		for _, r := range i.Reasons {
			row(w, "            because "+r)
		}
	}
	peers := slices.Clone(t.Peers)
	slices.SortStableFunc(peers, func(a, b evidence.TracePeer) int {
		return int(min(1, max(-1, (b.BytesOut+b.BytesIn)-(a.BytesOut+a.BytesIn))))
	})
	const shown = 8
	for i, p := range peers {
		if i == shown {
			row(w, fmt.Sprintf("  talked  and %d more", len(peers)-shown))
			break
		}
		row(w, "  talked  "+p.IP, p.Protocol, fmt.Sprintf("%d packets, %d bytes out, %d bytes in", p.Packets, p.BytesOut, p.BytesIn), stamp(p.First)+" to "+stamp(p.Last), listsText(p.Lists))
	}
}

func (e *edge) answerCustody(ctx context.Context, w io.Writer, cs *store.Case) error {
	stats, err := cs.Stats(ctx)
	if err != nil {
		return err
	}
	row(w, "")
	row(w, "EXHIBITS")
	for _, s := range stats {
		sum := "sha256 " + s.SHA256.String()
		if s.Incomplete != nil {
			sum = "no sha256 yet"
		}
		row(w, fmt.Sprintf("  %s  %-10s", s.Exhibit, s.Kind), sum, s.Label)
		if g := gapsOf(s); g != "" {
			row(w, "          incomplete: "+g)
		}
	}
	records, err := cs.Records(ctx)
	if err != nil {
		return err
	}
	if len(records) > 0 {
		last := records[len(records)-1]
		row(w, "")
		row(w, fmt.Sprintf("CUSTODY   %d records, head", len(records)), custody.GroupHead(last.Hash))
	}
	return nil
}
