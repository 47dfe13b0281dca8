package custody

import (
	"fmt"
	"slices"
)

// Finish compares everything that was added, and gives the report. Nothing is
// added after it.
func (c *Checker) Finish() Report {
	if !c.ledger.seen {
		c.fail(codeLedgerMissing, "ledger.jsonl", "the ledger", "no such file")
	}
	if id := c.ledger.chain.caseID; c.expectCase != "" && id != "" && id != c.expectCase {
		c.Fail(codeCaseMismatch, "bag-info.txt", id, c.expectCase)
	}
	c.finishCaseFile()
	if why := c.o.Stale; why != "" {
		c.fail(codeIndexStale, "index.db", "what the exhibits give", why)
	}
	if h := c.held; h != nil && !c.ledger.headMet {
		found := "no record has it"
		if c.ledger.headThen != "" {
			found = fmt.Sprintf("record %d is %s", h.size-1, c.ledger.headThen)
		}
		c.fail(codeHeadDiverged, c.ledger.file, h.head, found)
	}
	last := c.finishCheckpoints()
	c.finishTorn()
	c.finishRedacted()
	c.finishExhibits()
	if n := c.countOf(gap); c.declared > 0 && n == 0 {
		c.Fail(codeCoveragePartial, "bag-info.txt", "no gaps", fmt.Sprintf("Snapcase-Gaps: %d", c.declared))
	} else if c.declared != n && c.bundle {
		c.note("bag-info.txt tells of %d gaps, %d were found", c.declared, n)
	}
	c.trust(last)
	return c.verdict()
}

// finishCaseFile compares case.json with the record that opened the case: the
// name plate is no part of the ledger, and a report shows what it says.
func (c *Checker) finishCaseFile() {
	f := c.caseFile
	if f == nil {
		return
	}
	if id := c.ledger.chain.caseID; id != "" && f.ID != id {
		c.fail(codeCaseMismatch, "case.json", id, f.ID)
	}
	r := c.ledger.opened
	if r == nil {
		return
	}
	if title, ok := r.Data["title"].(string); ok && title != f.Title {
		c.fail(codeCaseMismatch, "case.json", "title "+title, "title "+f.Title)
	}
	if r.Actor != f.Examiner {
		c.fail(codeCaseMismatch, "case.json", "examiner "+r.Actor, "examiner "+f.Examiner)
	}
	if r.Authority != f.Authority {
		c.fail(codeCaseMismatch, "case.json", "authority "+r.Authority, "authority "+f.Authority)
	}
}

// trust decides whether a trusted key made the last checkpoint and, in a
// bundle, the seal.
func (c *Checker) trust(checkpoint []Vouch) {
	sets := [][]Vouch{checkpoint}
	if c.bundle {
		sets = append(sets, c.seals)
	}
	for i, set := range sets {
		good := slices.IndexFunc(set, func(v Vouch) bool { return v.Code == "" })
		for n, v := range set {
			switch {
			case v.Code == "":
				if who := v.Who + " " + v.Fingerprint; !slices.Contains(c.report.Signers, who) {
					c.report.Signers = append(c.report.Signers, who)
				}
			case good >= 0:
				c.note("%s %s: %s (%s)", v.Code, v.File, v.Why, v.Fingerprint)
			case v.Code != codeNoAnchor || n == 0 && i == 0:
				c.put(Failure{Code: v.Code, Path: v.File, Expected: "a signature by a trusted key", Found: v.Fingerprint + ": " + v.Why})
			}
		}
		if len(set) == 0 && c.countOf(broken) == 0 {
			c.Fail(codeNoAnchor, map[int]string{0: c.path("checkpoints/"), 1: "seal/"}[i], "a signature by a trusted key", "none")
		}
	}
}

func (c *Checker) verdict() Report {
	r := &c.report
	for code, n := range c.counts {
		if n > maxOfCode {
			c.note("%s: %d in all, the first %d are listed", code, n, maxOfCode)
		}
	}
	if c.o.Strict {
		for _, f := range c.strict {
			f.Exit = int(gap)
			r.Failures = append(r.Failures, f)
		}
	}
	r.Records, r.Head = c.ledger.chain.n, c.ledger.chain.head
	if r.Records == 0 {
		r.Head = ""
	}
	switch {
	case c.countOf(broken) > 0:
		r.Verdict = Broken
	case c.countOf(untrusted) > 0:
		r.Verdict = Untrusted
	case c.countOf(gap) > 0, c.o.Strict && len(c.strict) > 0:
		r.Verdict = Partial
	default:
		r.Verdict = Intact
	}
	if r.Verdict == Intact || r.Verdict == Partial {
		r.Assurance = "A1"
		seal := map[string]bool{}
		for _, v := range c.seals {
			if v.Code == "" {
				seal[v.Fingerprint] = true
			}
		}
		if len(seal) > 1 {
			r.Assurance = "A2"
		}
	}
	slices.SortStableFunc(r.Failures, func(a, b Failure) int { return rank(a) - rank(b) })
	slices.Sort(r.Signers)
	return *r
}

// rank puts what decides the verdict first.
func rank(f Failure) int {
	switch class(f.Exit) {
	case broken:
		return 0
	case untrusted:
		return 1
	case gap:
		return 2
	default:
		return 3
	}
}

// finishTorn checks that every torn tail that was kept is there.
func (c *Checker) finishTorn() {
	for _, name := range sortedKeys(c.ledger.torn) {
		s, want := c.sums[name], c.ledger.torn[name]
		switch {
		case s == nil && c.ledger.file == redactedLedger:
			c.fail(codeRedacted, name, want, "withheld")
		case s == nil:
			c.fail(codeFileMissing, name, want, "no such file")
		case s.digest.String() != want:
			c.fail(codeFileHash, name, want, s.digest.String())
		}
	}
	for _, name := range sortedKeys(c.sums) {
		if _, known := c.ledger.torn[name]; !known && len(name) > 5 && name[:5] == "torn/" && !temporary.MatchString(name[5:]) {
			c.note("%s is not named in the ledger: a process was killed while it kept a torn tail", c.path(name))
		}
	}
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
