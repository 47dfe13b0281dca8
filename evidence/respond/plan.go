package respond

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"

	"snapcase/evidence"
	"snapcase/evidence/custody"
	"snapcase/imaging"
)

// Cloud is an account in one region.
type Cloud interface {
	// Read makes a call that changes nothing and gives every page of its answer.
	Read(ctx context.Context, c evidence.CloudCall) ([]evidence.CloudAnswer, error)
	// Change makes a call that changes something, exactly once: what to do about
	// an answer that is lost is for the caller to say. Errors are
	// *evidence.CloudError.
	Change(ctx context.Context, c evidence.CloudCall) (evidence.CloudAnswer, error)
}

// Library opens an object of a bucket to be read at any place: the image of
// memory is compared with what the instance said of it.
type Library interface {
	Object(ctx context.Context, bucket, key string) (imaging.Source, error)
}

// Presigner signs a call for somebody else to make: a URL that works until it
// expires and gives away no credentials.
type Presigner interface {
	Presign(ctx context.Context, c evidence.CloudCall, valid time.Duration) (url string, err error)
}

// Ledger is what respond needs of the custody ledger.
type Ledger interface {
	Append(ctx context.Context, r custody.Record) error
}

// Options say what is asked for; the zero value of a field leaves it out.
type Options struct {
	Instance       string   `json:"instance"`
	ShareWith      string   `json:"share_with,omitempty"` // account, 12 digits
	KMSKey         string   `json:"kms_key,omitempty"`    // ARN of the key for copies that are to be shared
	Memory         bool     `json:"memory,omitempty"`
	MemoryBucket   string   `json:"memory_bucket,omitempty"` // where the image is uploaded to, by presigned parts
	AVML           string   `json:"avml,omitempty"`          // object of that bucket that holds the AVML binary
	AVMLSHA256     string   `json:"avml_sha256,omitempty"`
	Mirror         string   `json:"mirror,omitempty"` // interface that gets the copies: eni-…
	WithVolume     bool     `json:"with_volume,omitempty"`
	HostInstance   string   `json:"host_instance,omitempty"` // instance that the volume is attached to
	Lock           int      `json:"lock,omitempty"`          // days
	CutEstablished bool     `json:"cut_established,omitempty"`
	NACL           bool     `json:"nacl,omitempty"`
	DetachEIP      bool     `json:"detach_eip,omitempty"`
	DetachASG      bool     `json:"detach_asg,omitempty"`
	RevokeRole     bool     `json:"revoke_role,omitempty"`
	DenyProfile    string   `json:"deny_profile,omitempty"` // name of an instance profile that denies everything
	DisableKeys    []string `json:"disable_keys,omitempty"`
	Order          string   `json:"order,omitempty"` // auto, contain-first, capture-first
	Only           []string `json:"only,omitempty"`
	Skip           []string `json:"skip,omitempty"`
}

// Plan is every call that Run may make, in order. Params may hold names in
// ${…}, for ids that exist only once an earlier call was made.
type Plan struct {
	Case         string     `json:"case"`
	Instance     string     `json:"instance"`
	Region       string     `json:"region"`
	Account      string     `json:"account"`
	Caller       string     `json:"caller"` // ARN
	Order        string     `json:"order"`  // contain-first or capture-first
	Reason       string     `json:"reason"`
	Steps        []Step     `json:"steps"`
	Residual     []Residual `json:"residual"`
	UndoComplete bool       `json:"undo_complete"` // undo brings back everything that the plan changes
	Options      Options    `json:"options"`
	Subject      Subject    `json:"subject"` // the instance as it was found
}

// Step is one step of the playbook.
type Step struct {
	ID         string   `json:"id"`
	Whitepaper int      `json:"whitepaper"` // number of the step there; 0 for one that it does not have
	Title      string   `json:"title"`
	Calls      []Call   `json:"calls"`
	Checks     []string `json:"checks"`
	Warnings   []string `json:"warnings"`
	// Cannot says why the step cannot be done as things are; Run says so and
	// goes on.
	Cannot string `json:"cannot,omitempty"`
}

// Call is one call of a step.
type Call struct {
	ID         string         `json:"id"` // unique in the plan: "isolate/eni-0a/closed"
	Service    string         `json:"service"`
	Action     string         `json:"action"`
	Mutates    bool           `json:"mutates"`
	Params     map[string]any `json:"params"`
	Permission string         `json:"permission"`
	Allowed    string         `json:"allowed"` // yes, no, unknown: by DryRun
	Undo       string         `json:"undo"`    // action that takes it back; "" for none
	// Examiner says that the call is made with the examiner's own account.
	Examiner bool `json:"examiner,omitempty"`
}

// Name is the call as a policy writes it.
func (c *Call) Name() string { return c.Service + ":" + c.Action }

// Residual is a way in or out that stays, or may stay, after the plan.
type Residual struct {
	Channel string `json:"channel"`
	State   string `json:"state"` // open, closed, unknown
	Why     string `json:"why"`
	Remedy  string `json:"remedy"`
	// Step is the step that closes it, where one does: until that is done the
	// channel is open, whatever the plan says.
	Step string `json:"step,omitempty"`
}

// The ids of the steps.
const (
	stepIdentify    = "identify"
	stepDescribe    = "describe"
	stepProtect     = "protect"
	stepGroup       = "group"
	stepIsolate     = "isolate"
	stepCredentials = "credentials"
	stepSnapshot    = "snapshot"
	stepMirror      = "mirror"
	stepMemory      = "memory"
	stepComplete    = "complete"
	stepShare       = "share"
	stepVolume      = "volume"
	stepAttach      = "attach"
	stepAfter       = "after"
)

// Step finds a step by id; nil where the plan has none of that name.
func (p *Plan) Step(id string) *Step {
	for i := range p.Steps {
		if p.Steps[i].ID == id {
			return &p.Steps[i]
		}
	}
	return nil
}

// Changes counts the calls of the plan that change something.
func (p *Plan) Changes() int {
	n := 0
	for i := range p.Steps {
		for j := range p.Steps[i].Calls {
			if p.Steps[i].Calls[j].Mutates {
				n++
			}
		}
	}
	return n
}

// Encode is the plan as JSON, as it lies on disk.
func (p *Plan) Encode() ([]byte, error) {
	b, err := json.MarshalIndent(p, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("write the plan: %w", err)
	}
	return append(b, '\n'), nil
}

func sha(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}
