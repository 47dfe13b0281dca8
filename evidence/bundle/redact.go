package bundle

import (
	"bytes"
	"errors"
	"io"

	"snapcase/evidence"
	"snapcase/evidence/custody"
)

const (
	ledgerPath   = "custody/ledger.jsonl"
	redactedPath = "custody/ledger.redacted.jsonl"
)

// addLedger adds the ledger, whole or redacted, and makes the form of it.
func (p *packing) addLedger() error {
	whole := item{path: ledgerPath, file: p.Folder.Ledger(), size: p.ledger.Bytes, mode: 0o644, scan: true}
	if p.Withhold == nil {
		p.items = append(p.items, whole)
		return p.formOf(whole)
	}
	if err := p.redactionOf(whole); err != nil {
		return err
	}
	r, err := whole.open()
	if err != nil {
		return err
	}
	var lines bytes.Buffer
	p.held, err = custody.Redact(&lines, r, p.Withhold)
	if err = errors.Join(err, r.Close()); err != nil {
		return err
	}
	cut := item{path: redactedPath, content: lines.Bytes(), size: int64(lines.Len()), mode: 0o644, scan: true}
	p.items = append(p.items, cut)
	return p.formOf(cut)
}

// redactionOf finds the last whole bundle that the ledger tells of.
func (p *packing) redactionOf(ledger item) error {
	err := eachRecord(ledger, func(r custody.Record) {
		id, ok := r.Data["bundle"].(string)
		if _, redacted := r.Data["redaction_of"]; ok && r.Type == "bundle.export" && !redacted {
			p.of = id
		}
	})
	if err == nil && p.of == "" {
		err = evidence.WithHint(errors.New("no whole bundle of this case was made yet, of which this could be a redaction"), "make that first, and keep it: snapcase bundle CASE -o FILE")
	}
	return err
}

// formOf makes the custody form of a ledger.
func (p *packing) formOf(ledger item) error {
	var all []custody.Record
	err := eachRecord(ledger, func(r custody.Record) { all = append(all, r) })
	p.form = []byte(custody.Form(all))
	return err
}

func eachRecord(ledger item, f func(custody.Record)) error {
	r, err := ledger.open()
	if err != nil {
		return err
	}
	defer r.Close() //nolint:errcheck // read-only
	for rec, err := range custody.Read(io.Reader(r)) {
		if err != nil {
			return err
		}
		f(rec)
	}
	return nil
}
