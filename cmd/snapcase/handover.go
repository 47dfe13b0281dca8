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

func releaseCommand(e *edge) *cobra.Command {
	h := &store.HandOver{Type: custody.TypeRelease}
	c := &cobra.Command{
		Use:   "release CASE [EX-…]... --to NAME --reason TEXT",
		Short: "Record that exhibits are given to somebody",
		Long: "release reads the exhibits (all of the case where none is named), and records who gives them to whom, why,\n" +
			"by what medium, and their digest. Content that is not what was acquired is recorded as that, and the exit\n" +
			"code is 3. Until a receipt is recorded, the form and snapcase verify tell that it is missing.",
		Example: "snapcase custody release case1 EX-001 --to \"Bea Lang\" --to-id bea@lab.example --to-organisation \"City lab\" --reason analysis --medium \"courier, sealed bag 4411\"",
		Args:    atLeast(1, "a case, and the exhibits"),
		RunE: func(c *cobra.Command, args []string) error {
			if noPerson(h.To) || h.Reason == "" {
				return usageOf(c, "--to and --reason")
			}
			return e.handOver(c.Context(), args, *h)
		},
	}
	personFlags(c, &h.To, "to", "who takes them")
	personFlags(c, &h.From, "from", "who gives them, where that is not the examiner of the case")
	handOverFlags(c, h)
	c.Flags().StringVar(&h.Medium, "medium", "", "how they travel: courier, an S3 URI with its VersionId")
	return c
}

func receiveCommand(e *edge) *cobra.Command {
	h := &store.HandOver{Type: custody.TypeReceive}
	c := &cobra.Command{
		Use:   "receive CASE [EX-…]...",
		Short: "Record that exhibits were received",
		Long: "receive reads the exhibits (all that are under way where none is named), and records who received them\n" +
			"from whom, and whether their digest is that of the release. Who is not named is taken from the release.\n" +
			"A receipt without a release, or of other people than the release names, is recorded and told: here, on the\n" +
			"form and by snapcase verify. Content that does not match gives exit code 3.",
		Example: "snapcase custody receive case1 EX-001\nsnapcase custody receive case1 EX-001 --from \"Bea Lang\" --reason \"returned after analysis\"",
		Args:    atLeast(1, "a case, and the exhibits"),
		RunE:    func(c *cobra.Command, args []string) error { return e.handOver(c.Context(), args, *h) },
	}
	personFlags(c, &h.From, "from", "who gave them, where no release tells")
	personFlags(c, &h.To, "to", "who received them, where that is not whom the release names")
	handOverFlags(c, h)
	c.Flags().StringVar(&h.Medium, "medium", "", "how they travelled")
	return c
}

func disposeCommand(e *edge) *cobra.Command {
	h := &store.HandOver{Type: custody.TypeDispose}
	c := &cobra.Command{
		Use:   "dispose CASE EX-…... --action returned|destroyed|archived",
		Short: "Record what became of exhibits in the end",
		Long: "dispose records that exhibits were returned, destroyed or archived, on whose authority and before which\n" +
			"witness. It removes no file: who destroys an exhibit removes its folder, and snapcase verify then tells\n" +
			"that it was disposed of and by which record.",
		Example: "snapcase custody dispose case1 EX-001 --action returned --authority \"court order 7/26\" --witness \"C. Roth\" --reason \"case closed\"",
		Args:    atLeast(2, "a case and at least one exhibit"),
		RunE: func(c *cobra.Command, args []string) error {
			if h.Action == "" {
				return usageOf(c, "--action")
			}
			if !slices.Contains([]string{"returned", "destroyed", "archived"}, h.Action) {
				return usageError{fmt.Errorf("--action %q: want returned, destroyed or archived", h.Action)}
			}
			return e.handOver(c.Context(), args, *h)
		},
	}
	c.Flags().StringVar(&h.Action, "action", "", "returned, destroyed or archived")
	personFlags(c, &h.To, "to", "whom they were returned to")
	handOverFlags(c, h)
	return c
}

// personFlags adds the flags that name one side of a hand-over.
func personFlags(c *cobra.Command, p *custody.FormPerson, name, what string) {
	c.Flags().StringVar(&p.Name, name, "", what)
	c.Flags().StringVar(&p.ID, name+"-id", "", "their id: a mail address, a badge number")
	c.Flags().StringVar(&p.Organisation, name+"-organisation", "", "their organisation")
}

func handOverFlags(c *cobra.Command, h *store.HandOver) {
	f := c.Flags()
	f.StringVar(&h.Reason, "reason", "", "why")
	f.StringVar(&h.Authority, "authority", "", "warrant, order or ticket")
	f.StringVar(&h.Location, "location", "", "where")
	f.StringVar(&h.Witness, "witness", "", "who saw it")
	f.StringVar(&h.Remarks, "remarks", "", "anything else that the form should say")
	f.StringVar(&h.TZ, "tz", "", "zone in which the form shows the time too, like Europe/Zurich")
}

func noPerson(p custody.FormPerson) bool { return p == custody.FormPerson{} }

// handOver records a hand-over and tells of it.
func (e *edge) handOver(ctx context.Context, args []string, h store.HandOver) error {
	cs, err := e.write(ctx, args[0])
	if err != nil {
		return err
	}
	if err = e.complete(ctx, cs, args[1:], &h); err != nil {
		return errors.Join(err, cs.Close())
	}
	p, end := e.progress()
	done, err := cs.HandOver(ctx, h, p)
	end()
	if err = errors.Join(err, cs.Close()); len(done) == 0 {
		return err
	}
	w := e.out()
	for _, d := range done {
		for _, u := range d.Unbalanced {
			e.say("warning: %s: %s", d.Record.Exhibit, u.What)
		}
		if !d.Now.Present {
			e.say("warning: %s: its files are not in this case; nothing was compared", d.Record.Exhibit)
		}
		if e.json {
			err = errors.Join(err, emit(w, handOverJSON(d)))
		} else {
			handOverText(w, d)
		}
	}
	return errors.Join(err, w.Flush())
}

// complete fills in exhibits and people that the command line leaves out.
func (e *edge) complete(ctx context.Context, cs *store.Case, exhibits []string, h *store.HandOver) error {
	hands, err := cs.Hands(ctx)
	if err != nil {
		return err
	}
	if len(exhibits) == 0 {
		sealed, err := evidence.ReadExhibits(cs.Folder())
		if err != nil {
			return err
		}
		for _, a := range sealed {
			at := hands.Of(a.Exhibit)
			if h.Type != custody.TypeReceive && at.Ended == nil || at.Given != nil {
				exhibits = append(exhibits, a.Exhibit)
			}
		}
		if len(exhibits) == 0 {
			return evidence.WithHint(usageError{errors.New("no exhibit is under way, and none was named")}, "name the exhibits: EX-001 …")
		}
	}
	h.Exhibits = exhibits
	var given *custody.Record
	for _, id := range exhibits { // people are taken from the release of the first; another's may differ, and is told
		if given = hands.Of(id).Given; given != nil {
			break
		}
	}
	examiner := custody.FormPerson{ID: cs.File().Examiner}
	switch h.Type {
	case custody.TypeRelease:
		if noPerson(h.From) {
			h.From = examiner
		}
	case custody.TypeReceive:
		if noPerson(h.From) && given != nil {
			h.From = custody.PersonOf(given.Data["from"])
		}
		if noPerson(h.To) && given != nil {
			h.To = custody.PersonOf(given.Data["to"])
		}
		if noPerson(h.To) {
			h.To = examiner
		}
		if noPerson(h.From) {
			return evidence.WithHint(usageError{errors.New("custody receive: no release tells who gave it")}, "name who gave it with --from NAME")
		}
	}
	return nil
}

func handOverJSON(d store.HandedOver) map[string]any {
	r := d.Record
	told := []string{}
	for _, u := range d.Unbalanced {
		told = append(told, u.What)
	}
	out := map[string]any{"record": r.Seq, "hash": r.Hash, "type": r.Type, "exhibit": r.Exhibit, "time": r.Time, "result": r.Result, "unbalanced": told}
	for _, k := range []string{"from", "to", "reason", "medium", "action", "witness", "remarks", "seal", "hash_before", "hash_after", "match"} {
		out[k] = r.Data[k]
	}
	out["authority"], out["location"] = r.Authority, r.Location
	return out
}

func handOverText(w io.Writer, d store.HandedOver) {
	r := d.Record
	match := "nothing compared"
	if m, there := r.Data["match"].(bool); there {
		match = map[bool]string{true: "the digest matches", false: "THE DIGEST DOES NOT MATCH"}[m]
	}
	who := custody.PersonOf(r.Data["from"]).String() + " → " + custody.PersonOf(r.Data["to"]).String()
	if action, ok := r.Data["action"].(string); ok {
		who = action
		if to := custody.PersonOf(r.Data["to"]); !noPerson(to) {
			who += " to " + to.String()
		}
	}
	row(w, r.Exhibit, strings.TrimPrefix(r.Type, "custody."), fmt.Sprintf("record %d", r.Seq), stamp(r.Time), who, match)
	for _, f := range d.Now.Failures {
		row(w, "       ", f.Code+"  "+f.Path)
	}
}
