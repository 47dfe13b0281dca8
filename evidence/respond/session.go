package respond

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"time"

	"snapcase/evidence"
)

// Session is where the playbook works: a case and an account. Fields are set
// by the caller and not changed while it is in use.
type Session struct {
	Folder    evidence.Folder
	CaseID    string // urn:uuid:…
	Region    string
	Cloud     Cloud     // the account of the instance
	Examiner  Cloud     // the security account, for volumes; nil: the same
	Presigner Presigner // for memory; nil: memory cannot be taken
	Library   Library   // reads the image of memory back; nil: it stays unproven
	Ledger    Ledger    // nil: only Plan and Status
	// Exhibit seals a folder as an exhibit of the case.
	Exhibit func(ctx context.Context, folder, label string) (evidence.Acquisition, error)
	// Scratch is a folder outside the case, of this user alone, for answers on
	// their way into an exhibit. It must be the same when a run resumes.
	Scratch string
	Now     func() time.Time
	Pace    Pace
	Watch   func(Progress) // nil: nobody watches
}

// Progress is one thing that happened in a run.
type Progress struct {
	Step  string
	Call  string // id of the call, or of what is waited for
	What  string // "calling", "done", "already", "settled", "refused", "unknown", "waiting", or a sentence
	Done  int64
	Total int64 // 0 when it cannot be known
}

// Identity is who the credentials belong to.
type Identity struct {
	Account string `json:"account"`
	Arn     string `json:"arn"`
	UserID  string `json:"user_id"`
}

// Identify asks who the caller is.
func (s *Session) Identify(ctx context.Context) (Identity, error) {
	pages, err := read[struct {
		Account, Arn string
		UserID       string `json:"UserId"`
	}](ctx, s.Cloud, "sts", "GetCallerIdentity", map[string]any{})
	if err != nil {
		return Identity{}, err
	}
	if len(pages) == 0 || pages[0].Account == "" {
		return Identity{}, errors.New("sts:GetCallerIdentity: the answer names no account")
	}
	return Identity{pages[0].Account, pages[0].Arn, pages[0].UserID}, nil
}

// Dir is the folder of an instance in the case: plan.json, before.json,
// after.json, undo.sh.
func (s *Session) Dir(instance string) string {
	return filepath.Join(string(s.Folder), "respond", instance)
}

func (s *Session) scratch(instance, what string) string {
	return filepath.Join(s.Scratch, "respond-"+sha([]byte(s.CaseID))[:16], instance+"-"+what)
}

// Resume gives the plan that was begun for these options and stopped on the way;
// nil where there is none. A plan that was gone through is made anew: what it did
// is not repeated, and what it could not do, or what was attached to the instance
// since, is in the new one.
func (s *Session) Resume(o Options) (*Plan, error) {
	h, err := readHistory(s.Folder, o.Instance)
	if err != nil {
		return nil, err
	}
	p, err := s.saved(h, o.Instance)
	if err != nil || p == nil {
		return nil, err
	}
	if o.DenyProfile == "" {
		o.DenyProfile = p.Options.DenyProfile
	}
	if !reflect.DeepEqual(normal(o), normal(p.Options)) {
		return nil, nil
	}
	for _, st := range p.Steps {
		if h.steps[st.ID] == nil {
			return p, nil
		}
	}
	return nil, nil
}

// normal makes empty lists equal.
func normal(o Options) Options {
	for _, l := range []*[]string{&o.DisableKeys, &o.Only, &o.Skip} {
		if len(*l) == 0 {
			*l = nil
		}
	}
	return o
}

// saved reads the last plan of this history from disk, and holds it against the
// ledger.
func (s *Session) saved(h *history, instance string) (*Plan, error) {
	if len(h.plans) == 0 {
		return nil, nil
	}
	path := filepath.Join(s.Dir(instance), "plan.json")
	b, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the plan: %w", err)
	}
	known := false
	for _, d := range h.plans {
		known = known || d == sha(b)
	}
	if !known {
		return nil, evidence.WithHint(fmt.Errorf("%s is not the plan that the ledger names: %w", path, evidence.ErrBroken), "move the file away; run then works the plan out anew, and repeats nothing")
	}
	var p Plan
	if err := decode(b, &p); err != nil {
		return nil, fmt.Errorf("read the plan: %w", err)
	}
	for i := range p.Steps {
		for j := range p.Steps[i].Calls {
			c := &p.Steps[i].Calls[j]
			c.Params, _ = whole(c.Params).(map[string]any)
		}
	}
	return &p, nil
}

// decode reads JSON with numbers kept as they are.
func decode(b []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	return d.Decode(v)
}
