package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"

	"snapcase/evidence"
	"snapcase/evidence/netcap"
)

// ICMP judges the echo traffic of every pair of addresses, over all captures
// of the case.
func (c *Case) ICMP(ctx context.Context) ([]evidence.ICMPPair, error) {
	q, err := c.ask(ctx)
	if err != nil {
		return nil, fmt.Errorf("icmp: %w", err)
	}
	defer q.end() //nolint:errcheck // read-only
	pairs, err := q.echoes(ctx)
	if err != nil {
		return nil, fmt.Errorf("icmp: %w", err)
	}
	return pairs, nil
}

// echoes are the pairs as they were judged. It is an error when that was over
// other captures than the index holds now: indexing was cancelled in between.
func (q *question) echoes(ctx context.Context) ([]evidence.ICMPPair, error) {
	want, err := judgedCaptures(ctx, q.conn)
	if err != nil {
		return nil, err
	}
	var have string
	pairs := []evidence.ICMPPair{}
	err = q.rows(ctx, "SELECT id, pair FROM icmp ORDER BY id", nil, func(r *sql.Rows) error {
		var id int64
		var text string
		if err := r.Scan(&id, &text); err != nil {
			return err
		}
		if id == judgedOver {
			have = text
			return nil
		}
		var p evidence.ICMPPair
		err := json.Unmarshal([]byte(text), &p)
		pairs = append(pairs, p)
		return err
	})
	if err != nil {
		return nil, err
	}
	if have != want {
		return nil, evidence.WithHint(errors.New("the echo traffic of the captures is not judged yet"), "run: snapcase index %s", q.c.folder)
	}
	return pairs, nil
}

// judgedOver is the row of icmp that names the captures that were judged.
const judgedOver = 0

// judgedCaptures names the captures that the index holds, as judgedOver does.
func judgedCaptures(ctx context.Context, db queryer) (string, error) {
	rows, err := db.QueryContext(ctx, "SELECT exhibit, sha256, loader FROM loads WHERE kind = ? ORDER BY x", string(evidence.KindPcap))
	if err != nil {
		return "", err
	}
	defer rows.Close() //nolint:errcheck // Err is asked
	var all []string
	for rows.Next() {
		var exhibit, sum string
		var loader int
		if err := rows.Scan(&exhibit, &sum, &loader); err != nil {
			return "", err
		}
		all = append(all, captureName(exhibit, sum, loader))
	}
	return strings.Join(all, "\n"), rows.Err()
}

func captureName(exhibit, sum string, loader int) string {
	return fmt.Sprintf("%s %s %d", exhibit, sum, loader)
}

// judging is the judge of an index run: it is fed while captures are loaded.
// Pairs are judged over all captures of the case (a reply may be in another
// capture than its request), and the judge is not stored. So when a run loads
// every capture there is, nothing is read twice; when it adds one to others,
// those are read again.
type judging struct {
	judge netcap.Judge
	files []evidence.Record // by the number that the judge knows; without N
	fed   []string          // captures that it has seen, in order
}

// pairs is the verdict on every pair.
func (j *judging) pairs() []evidence.ICMPPair {
	var all []evidence.ICMPPair
	for _, p := range j.judge.Pairs() {
		a := p.Answer()
		for _, f := range p.Frames {
			r := j.files[f.File]
			r.N = f.N
			a.Records = append(a.Records, r)
		}
		all = append(all, a)
	}
	if n := j.judge.Left(); n > 0 {
		all = append(all, evidence.ICMPPair{Verdict: "unusual", Reasons: []string{fmt.Sprintf("%d more echo packets belong to pairs of addresses beyond those that are listed; they were not judged", n)}})
	}
	return all
}

// judgeEchoes judges again where the captures have changed.
func (c *Case) judgeEchoes(ctx context.Context, db *sql.DB, p evidence.Progress) error {
	j := c.judging
	c.judging = nil
	want, err := judgedCaptures(ctx, db)
	if err != nil {
		return err
	}
	var have string
	if err := db.QueryRowContext(ctx, "SELECT pair FROM icmp WHERE id = ?", judgedOver).Scan(&have); err != nil && !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	if have == want {
		return nil
	}
	if j == nil || strings.Join(j.fed, "\n") != want {
		if j, err = c.judgeAgain(ctx, want, p); err != nil {
			return fmt.Errorf("judge icmp: %w", err)
		}
	}
	return inTx(ctx, db, func(t *tx) error {
		if err := t.exec(ctx, "DELETE FROM icmp"); err != nil {
			return err
		}
		if want != "" {
			if err := t.exec(ctx, "INSERT INTO icmp VALUES (?, ?)", judgedOver, want); err != nil {
				return err
			}
		}
		for i, pair := range j.pairs() {
			text, err := json.Marshal(pair)
			if err != nil {
				return err
			}
			if err := t.exec(ctx, "INSERT INTO icmp VALUES (?, ?)", i+1, string(text)); err != nil {
				return err
			}
		}
		return t.exec(ctx, "UPDATE generation SET n = n + 1")
	})
}

// judgeAgain reads the ICMP of all captures.
func (c *Case) judgeAgain(ctx context.Context, want string, p evidence.Progress) (*judging, error) {
	j := &judging{}
	done := int64(0)
	for line := range strings.SplitSeq(want, "\n") {
		exhibit, _, _ := strings.Cut(line, " ")
		if exhibit == "" {
			continue
		}
		files, err := exhibitFiles(c.folder, exhibit)
		if err != nil {
			return nil, err
		}
		for _, f := range files {
			err := j.file(ctx, exhibit, f, func() {
				if done++; done%65536 == 0 {
					p.Report(evidence.Step{What: "judge icmp", Done: done, Unit: "frames"})
				}
			})
			if err != nil {
				return nil, err
			}
		}
	}
	return j, nil
}

// file feeds the judge the frames of a file. What could not be read of it,
// loading has told.
func (j *judging) file(ctx context.Context, exhibit string, file logFile, step func()) error {
	f, err := os.Open(file.path)
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // read-only
	j.begin(exhibit, file.name)
	for r, err := range netcap.Read(ctxReader{ctx, f}) {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			continue
		}
		j.add(&r)
		step()
	}
	return nil
}

// begin says that the frames of a file come.
func (j *judging) begin(exhibit, file string) {
	j.files = append(j.files, evidence.Record{Exhibit: exhibit, File: file})
}

func (j *judging) add(r *netcap.Record) {
	if r.ICMP != nil {
		j.judge.Add(r, int64(len(j.files)-1))
	}
}
