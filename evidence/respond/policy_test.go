package respond_test

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"sync"
	"testing"

	"snapcase/evidence"
	"snapcase/evidence/respond"
)

// permissions that a call needs under another name.
var otherNames = map[string]string{
	"s3:HeadObject": "s3:GetObject", "s3:ListMultipartUploads": "s3:ListBucketMultipartUploads", "s3:ListParts": "s3:ListMultipartUploadParts",
	"s3:CreateMultipartUpload": "s3:PutObject", "s3:CompleteMultipartUpload": "s3:PutObject",
}

// The policies hold exactly the calls that the code can make, beside what AWS
// asks for on top and what acquisition needs.
func TestPolicyIsWhatIsCalled(t *testing.T) {
	w := newWorld(t, 1)
	reads, changes := w.calls.Names()
	allowed := map[string][]string{}
	for _, role := range respond.Roles {
		all, err := respond.Permissions(role)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range all {
			allowed[p] = append(allowed[p], role)
		}
		b, err := respond.Policy(role)
		if err != nil || !json.Valid(b) {
			t.Errorf("policy %s: %v", role, err)
		}
	}
	called := map[string]bool{}
	for _, name := range append(slices.Clone(reads), changes...) {
		p := name
		if o, ok := otherNames[name]; ok {
			p = o
		}
		called[p] = true
		if allowed[p] == nil {
			t.Errorf("%s is called, and no policy allows %s", name, p)
		}
	}
	for _, name := range reads {
		p := name
		if o, ok := otherNames[name]; ok {
			p = o
		}
		if !slices.Contains(allowed[p], respond.RoleRead) {
			t.Errorf("%s reads, and the policy read has it not", name)
		}
	}
	// beyond the calls: what AWS asks for beside a call, and acquisition
	beside := []string{"ec2:CreateTags", "iam:PassRole", "kms:", "ebs:", "s3:Get", "s3:List", "cloudtrail:LookupEvents", "cloudtrail:ListPublicKeys", "cloudtrail:GetTrail"}
	for p, roles := range allowed {
		if !called[p] && !slices.ContainsFunc(beside, func(b string) bool { return strings.HasPrefix(p, b) }) {
			t.Errorf("policy %v allows %s, which nothing calls", roles, p)
		}
		if slices.Contains(roles, respond.RoleExaminer) && (strings.Contains(p, ":Delete") || p == "ec2:ModifySnapshotAttribute") {
			t.Errorf("an examiner may destroy evidence: %s", p)
		}
		if slices.Contains(roles, respond.RoleRead) && slices.Contains(changes, p) {
			t.Errorf("policy read may change: %s", p)
		}
	}
}

// listener writes down what is called.
type listener struct {
	respond.Cloud
	mu   sync.Mutex
	read map[string]bool
}

func (l *listener) Read(ctx context.Context, c evidence.CloudCall) ([]evidence.CloudAnswer, error) {
	l.mu.Lock()
	if dry, _ := c.Params["DryRun"].(bool); !dry {
		l.read[c.Name()] = true
	}
	l.mu.Unlock()
	return l.Cloud.Read(ctx, c)
}

// What plan, run, status and undo read is in the policy read, call by call.
func TestReadsAreInThePolicy(t *testing.T) {
	w := newWorld(t, 1)
	l := &listener{Cloud: w.calls, read: map[string]bool{}}
	w.s.Cloud = l
	if err := w.s.Run(t.Context(), w.plan(everything())); err != nil {
		t.Fatal(err)
	}
	if _, err := w.s.Status(t.Context(), victim); err != nil {
		t.Fatal(err)
	}
	if err := w.s.Undo(t.Context(), victim, respond.UndoOptions{}); err != nil {
		t.Fatal(err)
	}
	all, err := respond.Permissions(respond.RoleRead)
	if err != nil {
		t.Fatal(err)
	}
	for c := range l.read {
		if !slices.Contains(all, c) {
			t.Errorf("%s is read, and not in the policy", c)
		}
	}
	if len(l.read) < 25 {
		t.Errorf("%d different reads", len(l.read))
	}
}
