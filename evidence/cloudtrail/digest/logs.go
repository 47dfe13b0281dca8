package digest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"
)

// logState is what digests say of a log file; the larger one holds.
type logState int

const (
	logUnlisted logState = iota
	logUnproved          // a digest that proves nothing lists it
	logValid
	logInvalid
)

// lists goes through what the digests list.
func (v *validator) lists(ctx context.Context, all []*node) error {
	for _, n := range all {
		if err := ctx.Err(); err != nil {
			return err
		}
		if n.d == nil {
			continue
		}
		files, err := v.listOf(ctx, n)
		if err != nil {
			return err
		}
		if n.state != proved {
			for i := range files {
				for _, f := range v.index.now.find(files[i].Bucket, files[i].Object) {
					v.mark(f, logUnproved)
				}
			}
			continue
		}
		if err := v.check(ctx, n, files); err != nil {
			return err
		}
	}
	return nil
}

// listOf reads the list of a digest again.
func (v *validator) listOf(ctx context.Context, n *node) ([]LogFile, error) {
	r, err := v.in.Open(n.file)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", n.file.Address, err)
	}
	text, sum, bad := Unpack(ctx, r)
	if err := errors.Join(bad, r.Close()); err != nil {
		return nil, fmt.Errorf("read %s again: %w", n.file.Address, err)
	}
	if sum != n.sum {
		return nil, fmt.Errorf("read %s again: it changed meanwhile", n.file.Address)
	}
	d, err := Parse(text)
	if err != nil {
		return nil, fmt.Errorf("read %s again: %w", n.file.Address, err)
	}
	return d.LogFiles, nil
}

func (v *validator) mark(f *File, s logState) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.logs[f] = max(v.logs[f], s)
}

// check reads the logs that a proved digest lists, as many at once as there are
// CPUs.
func (v *validator) check(ctx context.Context, n *node, files []LogFile) error {
	jobs := make(chan *LogFile)
	var workers sync.WaitGroup
	var mu sync.Mutex
	var failed error
	for range min(runtime.GOMAXPROCS(0), len(files)) {
		workers.Go(func() {
			for l := range jobs {
				err := v.log(ctx, n, l)
				v.step("log files")
				mu.Lock()
				failed = errors.Join(failed, err)
				mu.Unlock()
			}
		})
	}
	for i := range files {
		jobs <- &files[i]
		mu.Lock()
		stop := failed != nil
		mu.Unlock()
		if stop || ctx.Err() != nil {
			break
		}
	}
	close(jobs)
	workers.Wait()
	return errors.Join(failed, ctx.Err())
}

// log checks every copy of one log that a digest lists.
func (v *validator) log(ctx context.Context, n *node, l *LogFile) error {
	copies := v.index.now.find(l.Bucket, l.Object)
	if len(copies) == 0 {
		path := "s3://" + l.Bucket + "/" + l.Object
		v.mu.Lock()
		known := v.gone[path]
		v.gone[path] = true
		if !known {
			v.out.Logs.Missing++
		}
		v.mu.Unlock()
		if !known {
			v.failure(CodeLogMissing, path, n.file.Address+" lists it, and it is not here"+v.earlier(ctx, l), n.d.Start, n.d.End)
		}
		return ctx.Err()
	}
	for _, f := range copies {
		code, reason, err := v.logFile(ctx, f, l.Hash)
		if err != nil {
			return err
		}
		if code == "" {
			v.mark(f, logValid)
			continue
		}
		v.mark(f, logInvalid)
		if doubt := v.in.doubt(f); doubt != "" {
			reason += "; " + doubt
		}
		v.failure(code, f.Address, reason+v.earlier(ctx, l), n.d.Start, n.d.End)
	}
	return nil
}

// logFile compares one file with the hash that was signed.
func (v *validator) logFile(ctx context.Context, f *File, want string) (code, reason string, err error) {
	r, err := v.in.Open(f)
	if err != nil {
		return "", "", fmt.Errorf("read %s: %w", f.Address, err)
	}
	h := sha256.New()
	bad := unpack(ctx, r, h)
	var failed readFailure
	if err := r.Close(); err != nil || errors.As(bad, &failed) {
		return "", "", fmt.Errorf("read %s: %w", f.Address, errors.Join(bad, err))
	}
	sum := hex.EncodeToString(h.Sum(nil))
	switch {
	case errors.Is(bad, errTrailing):
		return CodeLogTrailing, bad.Error(), nil
	case bad != nil:
		return CodeLogHash, bad.Error(), nil
	case !strings.EqualFold(sum, want):
		return CodeLogHash, fmt.Sprintf("its text has the SHA-256 %s, that which was signed has %s", sum, strings.ToLower(want)), nil
	}
	return "", "", nil
}

// earlier says whether an older version of a log is what was signed.
func (v *validator) earlier(ctx context.Context, l *LogFile) string {
	const most = 16 // versions that are looked at
	old := v.index.older.find(l.Bucket, l.Object)
	for i, f := range old {
		if i == most {
			break
		}
		if code, _, err := v.logFile(ctx, f, l.Hash); err == nil && code == "" {
			return "; " + f.Address + ", an older version of it, is what was signed"
		}
	}
	return ""
}

// group is logs that no digest covers.
type group struct {
	n        int64
	from, to time.Time
	example  string
}

// rest counts the logs, and names those that no digest lists.
func (v *validator) rest() {
	groups := map[string]*group{}
	young := map[area]*File{}
	for i := range v.in.Files {
		f := &v.in.Files[i]
		where, t, named := logPlace(f.Key)
		if f.Older || IsDigest(f.Key) || !named && !f.Log && v.logs[f] == logUnlisted {
			continue
		}
		switch v.logs[f] {
		case logValid:
			v.out.Logs.Valid++
		case logInvalid:
			v.out.Logs.Invalid++
		case logUnproved:
			v.out.Logs.Unproved++
		case logUnlisted:
			v.unlisted(f, where, t, named, groups)
		}
		if c := v.covers[where]; named && c != nil && c.newest != nil && !t.Before(c.last.Add(2*time.Hour)) && young[where] == nil {
			young[where] = f
		}
	}
	for where, f := range young {
		c := v.covers[where]
		_, t, _ := logPlace(f.Key)
		v.newer(c.newest, t, fmt.Sprintf("%s is younger than the last digest by more than digests are late", f.Address))
	}
	for what, g := range groups {
		v.failure(CodeLogUnproved, g.example, fmt.Sprintf("%d log files %s: they were not checked; this is the first of them", g.n, what), g.from, g.to)
	}
}

// newer says once of a digest that one after it is missing.
func (v *validator) newer(last *node, t time.Time, reason string) {
	if v.late[last] {
		return
	}
	v.late[last] = true
	_, end := last.span()
	v.failure(CodeNewestMissing, last.file.Address, reason, end, t)
}

// unlisted counts a log that no digest lists.
func (v *validator) unlisted(f *File, where area, t time.Time, named bool, groups map[string]*group) {
	what := ""
	c := v.covers[where]
	switch {
	case !named:
		what = "have no name as CloudTrail gives them"
	case c == nil:
		what = fmt.Sprintf("of %s in %s have no digests", where.account, where.region)
	case slices.ContainsFunc(c.open, func(w window) bool { return w.has(t) }):
		v.out.Logs.Unproved++
		return // what is wrong there has been said
	case slices.ContainsFunc(c.proved, func(w window) bool { return !t.Before(w.from) && t.Before(w.to) }):
		v.out.Logs.Unlisted++
		v.failure(CodeLogUnlisted, f.Address, "a digest covers its time and does not list it", t, t)
		return
	case !t.Before(c.last):
		what = fmt.Sprintf("of %s in %s are younger than the last digest", where.account, where.region)
	default:
		what = fmt.Sprintf("of %s in %s are of a time that no digest covers", where.account, where.region)
	}
	v.out.Logs.Unproved++
	g := groups[what]
	if g == nil {
		g = &group{example: f.Address, from: t, to: t}
		groups[what] = g
	}
	g.n++
	if t.Before(g.from) {
		g.from, g.example = t, f.Address
	}
	if t.After(g.to) {
		g.to = t
	}
}
