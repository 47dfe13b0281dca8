package acquire

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"snapcase/evidence"
	"snapcase/imaging/image"
	"snapcase/imaging/image/lime"
)

// contained looks whether the file is an image container. If so the disk or the
// memory in it is what is acquired: its size, and its hashes where it holds
// some.
func (j *Job) contained(h *header) error {
	c, err := image.OpenAny(j.Source)
	var not *image.UnsupportedError
	if errors.As(err, &not) && j.Kind == evidence.KindMemory && not.Format != lime.LiME && not.Format != lime.AVML {
		return nil // memory may begin with anything
	}
	if errors.As(err, &not) {
		return evidence.WithHint(err, "convert it first, or acquire its bytes as they are with --raw")
	}
	if err != nil {
		return err
	}
	defer c.Close() //nolint:errcheck // read-only
	switch {
	case c.Format == "raw", j.Kind == evidence.KindMemory && !c.Memory:
		return nil
	case j.Kind == evidence.KindDisk && c.Memory:
		return evidence.WithHint(fmt.Errorf("it is an image of memory (%s): %w", c.Format, evidence.ErrUsage), "leave out --as, or acquire its bytes as they are with --raw")
	}
	h.Identity.API, h.Identity.Size, h.Identity.Packed = apiContainer, c.Size(), h.Identity.Size
	if h.Kind == "" {
		h.Kind, h.Detected = evidence.KindDisk, "disk in "+c.Format
		if c.Memory {
			h.Kind, h.Detected = evidence.KindMemory, "memory in "+c.Format
		}
	}
	h.Container = &evidence.Container{Format: c.Format, Segments: plainTexts(c.Segments), Stored: c.Stored, Damage: plainTexts(c.Damage)}
	for _, f := range c.Header {
		h.Container.Header = append(h.Container.Header, evidence.ContainerField{Name: plainText(f.Name), Value: plainText(f.Value)})
	}
	h.Hashes = slices.Clone(h.Hashes)
	for name := range c.Stored {
		if slices.Contains(hashNames, name) && !slices.Contains(h.Hashes, name) {
			h.Hashes = append(h.Hashes, name)
		}
	}
	slices.Sort(h.Hashes)
	return nil
}

// plainText cuts and cleans what a container says of itself, so that a line of
// the journal and the ledger can hold it.
func plainText(s string) string {
	const most = 1024
	if len(s) > most {
		s = s[:most] + "…"
	}
	return strings.ToValidUTF8(s, "\ufffd")
}

func plainTexts(all []string) []string {
	const most = 64
	var out []string
	for i, s := range all {
		if i == most {
			return append(out, fmt.Sprintf("and %d more", len(all)-most))
		}
		out = append(out, plainText(s))
	}
	return out
}

// gapped is a source that tells which of its bytes are not as they were imaged.
type gapped interface {
	GapsIn(off, n int64) []image.Range
}

// gapsIn are the gaps of a source within n bytes from off, as read errors.
func gapsIn(src Input, off, n int64) []errorLine {
	g, ok := src.(gapped)
	if !ok {
		return nil
	}
	var out []errorLine
	for _, r := range g.GapsIn(off, n) {
		from, to := max(r.Offset, off), min(r.Offset+r.Length, off+n)
		out = append(out, errorLine{ReadError: evidence.ReadError{Offset: from, Length: to - from, Error: plainText(r.Reason)}})
	}
	return out
}

// compareStored says which hash that the container holds is not that of what
// was read out of it.
func compareStored(c *evidence.Container, hashes map[string]string) (method string, errs []errorLine) {
	method = "what lies in " + c.Format
	for _, name := range hashNames {
		want, ok := c.Stored[name]
		got := hashes[name]
		switch {
		case !ok || got == "":
		case strings.EqualFold(want, got):
			method += fmt.Sprintf("; its stored %s %s holds", name, got)
		default:
			errs = append(errs, errorLine{ReadError: evidence.ReadError{Error: fmt.Sprintf("the container says %s %s, what was read has %s", name, plainText(want), got)}})
		}
	}
	for _, d := range c.Damage {
		errs = append(errs, errorLine{ReadError: evidence.ReadError{Error: d}})
	}
	return method, errs
}
