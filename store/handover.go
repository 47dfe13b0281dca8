package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"snapcase/evidence"
	"snapcase/evidence/custody"
)

// HandOver says how exhibits change hands. Empty fields are left out of the
// record.
type HandOver struct {
	Type     string // custody.TypeRelease, TypeReceive or TypeDispose
	Exhibits []string
	From, To custody.FormPerson
	Reason   string
	Medium   string // courier, an S3 URI with its VersionId
	Action   string // of a disposal: returned, destroyed, archived
	Witness  string
	Remarks  string

	Authority string
	Location  string // where it changes hands, or where it lies from now on
	TZ        string // zone in which the form shows the time too, like Europe/Zurich
}

// HandedOver is a record of a hand-over as it stands in the ledger.
type HandedOver struct {
	Record custody.Record
	Now    custody.ExhibitNow
	// Unbalanced is what does not fit since this record: a receipt without its
	// release, another person than the release names, content that changed.
	Unbalanced []custody.Imbalance
}

// HandOver records that exhibits change hands, or end: each is read first, and
// its record tells the digest before and after and whether they match. Content
// that does not match is recorded too, with the result failed, and then the
// error is evidence.ErrBroken; where its files are not in the case, nothing is
// compared, and the error of a release or receipt is evidence.ErrGaps. A hand-over that does not fit what the ledger
// tells of hands is recorded and told. The seal of the records is the head of a
// checkpoint made before them.
func (c *Case) HandOver(ctx context.Context, h HandOver, p evidence.Progress) ([]HandedOver, error) {
	word := strings.TrimPrefix(h.Type, "custody.")
	if c.ledger == nil {
		return nil, fmt.Errorf("%s: %w", word, evidence.ErrReadOnly)
	}
	if err := h.check(); err != nil {
		return nil, fmt.Errorf("%s: %w", word, err)
	}
	var found []custody.ExhibitNow
	for _, id := range h.Exhibits {
		now, err := custody.ReadExhibit(ctx, c.folder, id, custody.VerifyOptions{Now: c.o.Custody.Now, Progress: p})
		if err != nil {
			return nil, fmt.Errorf("%s: %w", word, err)
		}
		found = append(found, now)
	}
	cp, err := c.ledger.Checkpoint(ctx)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", word, err)
	}
	hands, err := c.Hands(ctx)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", word, err)
	}
	var out []HandedOver
	var fault error
	for i, id := range h.Exhibits {
		before := len(hands.Told())
		r, err := c.ledger.Add(ctx, h.record(id, found[i], hands.Of(id), cp.Head))
		if err != nil {
			return out, errors.Join(fault, err)
		}
		hands.Take(r)
		out = append(out, HandedOver{Record: r, Now: found[i], Unbalanced: hands.Told()[before:]})
		if r.Result == "failed" {
			what := "acquired"
			if found[i].Holds() {
				what = "released, though it is what was acquired"
			}
			fault = fmt.Errorf("%s: %s is not what was %s: %w", word, id, what, evidence.ErrBroken)
		}
		if !found[i].Present && h.Type != custody.TypeDispose && fault == nil {
			fault = fmt.Errorf("%s: %s was not compared: %w", word, id, evidence.ErrGaps)
		}
	}
	return out, fault
}

// Hands is who holds what, by the ledger.
func (c *Case) Hands(ctx context.Context) (*custody.Hands, error) {
	records, err := c.Records(ctx)
	if err != nil {
		return nil, err
	}
	h := &custody.Hands{}
	for _, r := range records {
		h.Take(r)
	}
	return h, nil
}

// check refuses what no record should say.
func (h *HandOver) check() error {
	if len(h.Exhibits) == 0 {
		return fmt.Errorf("no exhibit was named: %w", evidence.ErrUsage)
	}
	slices.Sort(h.Exhibits)
	h.Exhibits = slices.Compact(h.Exhibits)
	words := []string{h.Reason, h.Medium, h.Action, h.Witness, h.Remarks, h.Authority, h.Location}
	for _, p := range []custody.FormPerson{h.From, h.To} {
		words = append(words, p.Name, p.ID, p.Organisation)
	}
	if err := noSecret(words...); err != nil {
		return err
	}
	if h.TZ != "" {
		if _, err := time.LoadLocation(h.TZ); err != nil {
			return evidence.WithHint(fmt.Errorf("time zone %q is not known: %w", h.TZ, evidence.ErrUsage), "zones look like Europe/Zurich")
		}
	}
	return nil
}

// record is the record of one exhibit.
func (h *HandOver) record(id string, now custody.ExhibitNow, at custody.Holding, seal string) custody.Record {
	data := map[string]any{"seal": seal}
	put := func(key, value string) {
		if value != "" {
			data[key] = value
		}
	}
	who := func(key string, p custody.FormPerson) {
		m := map[string]any{}
		for k, v := range map[string]string{"name": p.Name, "id": p.ID, "organisation": p.Organisation} {
			if v != "" {
				m[k] = v
			}
		}
		if len(m) > 0 {
			data[key] = m
		}
	}
	before := now.Recorded
	if h.Type == custody.TypeReceive && at.Given != nil {
		if s, ok := at.Given.Data["hash_after"].(string); ok && s != "" {
			before = s
		}
	}
	who("from", h.From)
	who("to", h.To)
	put("reason", h.Reason)
	put("medium", h.Medium)
	put("action", h.Action)
	put("witness", h.Witness)
	put("remarks", h.Remarks)
	put("hash_before", before)
	put("hash_after", now.Found)
	r := custody.Record{Type: h.Type, Exhibit: id, Result: "ok", Authority: h.Authority, Purpose: h.Reason, Location: h.Location, TZ: h.TZ, Data: data}
	if !now.Present { // it is not here: nothing was compared
		r.Result = "partial"
		return r
	}
	match := now.Holds() && now.Found == before
	data["match"] = match
	if !match {
		r.Result = "failed"
		data["failures"] = failuresOf(now)
	}
	return r
}

// failuresOf are the first failures of an exhibit, for a record.
func failuresOf(now custody.ExhibitNow) []any {
	const most = 20
	out := []any{}
	for i, f := range now.Failures {
		if i == most {
			out = append(out, fmt.Sprintf("and %d more", len(now.Failures)-most))
			break
		}
		out = append(out, f.Code+" "+f.Path)
	}
	return out
}
