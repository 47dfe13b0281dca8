package evidence

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"unicode/utf8"

	"snapcase/imaging"
)

// This file holds what questions to a case answer; the JSON names are the
// contract of the command line.

// FileEntry is one file-system entry: one name of one inode.
type FileEntry struct {
	Address    string       `json:"address"`
	Exhibit    string       `json:"exhibit"`
	Volume     string       `json:"volume"`
	Path       string       `json:"path"`
	PathB64    []byte       `json:"path_b64,omitempty"` // the bytes, where Path is not UTF-8
	Inode      uint64       `json:"inode"`
	Generation uint32       `json:"generation"`
	Type       string       `json:"type"`
	Mode       string       `json:"mode"` // octal, type and permission bits: "100644"
	UID        uint32       `json:"uid"`
	GID        uint32       `json:"gid"`
	Links      uint32       `json:"links"`
	Size       int64        `json:"size"`
	Status     string       `json:"status"`
	Modified   imaging.Time `json:"modified"`
	Accessed   imaging.Time `json:"accessed"`
	Changed    imaging.Time `json:"changed"`
	Born       imaging.Time `json:"born"`
	DeletedAt  imaging.Time `json:"deleted_at"`
	Link       *string      `json:"link"`
	LinkB64    []byte       `json:"link_b64,omitempty"`
	Damage     *string      `json:"damage"`
	From       string       `json:"from,omitempty"` // how a recovered entry was found
	SHA256     string       `json:"sha256,omitempty"`
	SHA1       string       `json:"sha1,omitempty"` // where a list of known files needs it
	MD5        string       `json:"md5,omitempty"`
	Known      []string     `json:"known,omitzero"`       // lists that hold its digest: "good:NAME", "bad:NAME"; nil where none was asked
	Attributes []Attribute  `json:"attributes,omitempty"` // where they were asked for
	// Since says how the entry changed since an older snapshot, where what changed
	// was asked for.
	Since     *ChangedSince `json:"changed_since,omitempty"`
	FileNames []FileName    `json:"file_names,omitempty"` // likewise: the $FILE_NAMEs of NTFS
}

// ChangedSince says why an entry may have changed since an older snapshot.
type ChangedSince struct {
	Snapshot string `json:"snapshot"`
	// Block says that some of its content, extended attributes or, of a
	// directory, entries lie in a block that changed; Offset is the first such
	// byte, in bytes of the volume. A block holds more than one file.
	Block  bool  `json:"block"`
	Offset int64 `json:"offset"`
	// Time says that it was modified, changed, made or deleted, by its own times,
	// after that snapshot was taken. False where it is not known when that was.
	Time bool `json:"time"`
}

// FileName is a name of an NTFS file with the times that belong to the name.
type FileName struct {
	Name     string       `json:"name"`
	Parent   uint64       `json:"parent"` // inode of the directory
	Short    bool         `json:"short,omitempty"`
	Size     int64        `json:"size"`
	Modified imaging.Time `json:"modified"`
	Accessed imaging.Time `json:"accessed"`
	Changed  imaging.Time `json:"changed"`
	Born     imaging.Time `json:"born"`
}

// Attribute is an extended attribute of a file-system entry.
type Attribute struct {
	Name     string  `json:"name"`
	NameB64  []byte  `json:"name_b64,omitempty"`
	Value    *string `json:"value"` // null where it is not UTF-8
	ValueB64 []byte  `json:"value_b64,omitempty"`
	Text     string  `json:"text,omitempty"` // the meaning of an access control list or of capabilities
	Damage   string  `json:"damage,omitempty"`
}

// Place is where a credential was found.
type Place struct {
	Exhibit string  `json:"exhibit"`
	Address *string `json:"address"` // null where no entry owns the bytes; of the volume in a swap area; a record address for logs
	// Offset is in bytes in the exhibit's image; of the record's text for logs.
	// Of what was decoded out of a file it is where that file's content starts,
	// -1 where no such place is known: null in JSON.
	Offset int64 `json:"offset"`
	// InnerOffset is set where the key was found in what a file hides: bytes in
	// the decoded stream that Address names behind the "!".
	InnerOffset *int64 `json:"inner_offset,omitempty"`
	Status      string `json:"status"` // allocated, deleted, slack, unallocated, memory, log
	Secret      bool   `json:"secret"` // null in JSON where Unsought
	// Unsought says that nobody looked for a secret beside the key: of a record
	// of CloudTrail only the key id is known.
	Unsought    bool   `json:"-"`
	Fingerprint string `json:"secret_fingerprint,omitempty"`
	FileOffset  *int64 `json:"file_offset,omitempty"` // bytes in the entry's content, where one owns it
	Area        string `json:"area,omitempty"`        // what the bytes are where that is not plain content: journal, metadata, xattr, directory, contested, unknown, a table or format
}

// MarshalJSON gives as null an offset that is not known, and of a place where
// no secret was sought whether there is one.
func (p Place) MarshalJSON() ([]byte, error) {
	var offset *int64
	if p.Offset >= 0 {
		offset = &p.Offset
	}
	var secret *bool
	if !p.Unsought {
		secret = &p.Secret
	}
	return json.Marshal(struct {
		Exhibit     string  `json:"exhibit"`
		Address     *string `json:"address"`
		Offset      *int64  `json:"offset"`
		InnerOffset *int64  `json:"inner_offset,omitempty"`
		Status      string  `json:"status"`
		Secret      *bool   `json:"secret"`
		Fingerprint string  `json:"secret_fingerprint,omitempty"`
		FileOffset  *int64  `json:"file_offset,omitempty"`
		Area        string  `json:"area,omitempty"`
	}{p.Exhibit, p.Address, offset, p.InnerOffset, p.Status, secret, p.Fingerprint, p.FileOffset, p.Area})
}

// UnmarshalJSON reads what MarshalJSON wrote.
func (p *Place) UnmarshalJSON(b []byte) error {
	type plain Place
	v := struct {
		*plain
		Offset *int64 `json:"offset"`
		Secret *bool  `json:"secret"`
	}{plain: (*plain)(p)}
	if err := json.Unmarshal(b, &v); err != nil {
		return err
	}
	p.Offset, p.Secret, p.Unsought = -1, false, v.Secret == nil
	if v.Offset != nil {
		p.Offset = *v.Offset
	}
	if v.Secret != nil {
		p.Secret = *v.Secret
	}
	return nil
}

// SecretBeside is yes, no or unknown, of places of one key: unknown where none
// was seen and not every place was looked at.
func SecretBeside(places ...Place) string {
	answer := "no"
	if len(places) == 0 {
		answer = "unknown"
	}
	for _, p := range places {
		if p.Secret {
			return "yes"
		}
		if p.Unsought {
			answer = "unknown"
		}
	}
	return answer
}

// Key is one access key id with where it was found and how it was used.
type Key struct {
	KeyID      string       `json:"key_id"`
	Kind       string       `json:"kind"` // long-term, temporary, other
	Places     []Place      `json:"places"`
	Events     int64        `json:"events"`
	First      imaging.Time `json:"first"`
	Last       imaging.Time `json:"last"`
	Regions    []string     `json:"regions"`
	Principals []string     `json:"principals"`
	// Documentation marks ids that AWS uses in its documentation.
	Documentation bool `json:"documentation,omitempty"`
}

// Resource is a thing that an event names.
type Resource struct {
	Type string `json:"type"` // "" where the record gives none
	Name string `json:"name"`
}

// MarshalJSON gives a missing type as null.
func (r Resource) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		Type    *string `json:"type"`
		TypeB64 []byte  `json:"type_b64,omitempty"`
		Name    string  `json:"name"`
		NameB64 []byte  `json:"name_b64,omitempty"`
	}{orNil(r.Type), notText(r.Type), r.Name, notText(r.Name)})
}

// notText is the bytes of what is not UTF-8, nil for what is.
func notText(s string) []byte {
	if utf8.ValidString(s) {
		return nil
	}
	return []byte(s)
}

func orNil(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// Event is one CloudTrail event, deduplicated. A field that the record does
// not hold is "" here and null in JSON.
type Event struct {
	EventID       string
	Time          imaging.Time
	Name          string
	Source        string
	Region        string
	Type          string
	PrincipalType string
	PrincipalID   string
	ARN           string
	Account       string
	User          string
	AccessKeyID   string
	SessionIssuer string
	SourceIP      string
	UserAgent     string
	ErrorCode     string
	ErrorMessage  string
	ReadOnly      *bool
	MFA           *bool
	Resources     []Resource
	RequestID     string
	SharedEventID string
	Record        Record
	Copies        int64
}

// MarshalJSON is the JSON Lines form of the events verb.
func (e Event) MarshalJSON() ([]byte, error) {
	res := e.Resources
	if res == nil {
		res = []Resource{}
	}
	b, err := json.Marshal(struct {
		EventID       *string      `json:"event_id"`
		Time          imaging.Time `json:"time"`
		Name          *string      `json:"name"`
		Source        *string      `json:"source"`
		Region        *string      `json:"region"`
		Type          *string      `json:"type"`
		PrincipalType *string      `json:"principal_type"`
		PrincipalID   *string      `json:"principal_id"`
		ARN           *string      `json:"arn"`
		Account       *string      `json:"account"`
		User          *string      `json:"user"`
		AccessKeyID   *string      `json:"access_key_id"`
		SessionIssuer *string      `json:"session_issuer"`
		SourceIP      *string      `json:"source_ip"`
		UserAgent     *string      `json:"user_agent"`
		ErrorCode     *string      `json:"error_code"`
		ErrorMessage  *string      `json:"error_message"`
		ReadOnly      *bool        `json:"read_only"`
		MFA           *bool        `json:"mfa"`
		Resources     []Resource   `json:"resources"`
		RequestID     *string      `json:"request_id"`
		SharedEventID *string      `json:"shared_event_id"`
		Record        Record       `json:"record"`
		Copies        int64        `json:"copies"`
	}{
		orNil(e.EventID), e.Time, orNil(e.Name), orNil(e.Source), orNil(e.Region), orNil(e.Type),
		orNil(e.PrincipalType), orNil(e.PrincipalID), orNil(e.ARN), orNil(e.Account), orNil(e.User),
		orNil(e.AccessKeyID), orNil(e.SessionIssuer), orNil(e.SourceIP), orNil(e.UserAgent),
		orNil(e.ErrorCode), orNil(e.ErrorMessage), e.ReadOnly, e.MFA, res, orNil(e.RequestID),
		orNil(e.SharedEventID), e.Record, e.Copies,
	})
	if err != nil {
		return nil, err
	}
	return e.withBytes(b)
}

// withBytes adds to the JSON of an event the bytes of every string that is not
// UTF-8, under its name with _b64 behind it.
func (e *Event) withBytes(b []byte) ([]byte, error) {
	for _, f := range [...]struct{ name, value string }{
		{"event_id", e.EventID},
		{"name", e.Name},
		{"source", e.Source},
		{"region", e.Region},
		{"type", e.Type},
		{"principal_type", e.PrincipalType},
		{"principal_id", e.PrincipalID},
		{"arn", e.ARN},
		{"account", e.Account},
		{"user", e.User},
		{"access_key_id", e.AccessKeyID},
		{"session_issuer", e.SessionIssuer},
		{"source_ip", e.SourceIP},
		{"user_agent", e.UserAgent},
		{"error_code", e.ErrorCode},
		{"error_message", e.ErrorMessage},
		{"request_id", e.RequestID},
		{"shared_event_id", e.SharedEventID},
		{"record", e.Record.File},
	} {
		if utf8.ValidString(f.value) {
			continue
		}
		if f.name == "record" {
			f.value = e.Record.String()
		}
		b = fmt.Appendf(b[:len(b)-1], ",%q:%q}", f.name+"_b64", base64.StdEncoding.EncodeToString([]byte(f.value)))
	}
	return b, nil
}

// Moment is one line of the merged timeline.
type Moment struct {
	Time      imaging.Time `json:"time"`
	Source    string       `json:"source"` // fs, cloudtrail, flow, packet, host
	Type      string       `json:"type"`   // MACB letters for fs ("M.C."), the event name, …
	Summary   string       `json:"summary"`
	Actor     *string      `json:"actor"`
	Exhibit   string       `json:"exhibit"`
	Record    string       `json:"record"` // an address or a record
	Tags      []string     `json:"tags"`
	Uncertain *string      `json:"uncertain"` // why the time is not exact: "60s window"
}

// Finding is a detection or an examiner's own finding.
type Finding struct {
	ID       string       `json:"id"` // F1, F2, … stable for the same evidence; E7 of the examiner, in record 7
	Title    string       `json:"title"`
	Level    string       `json:"level"` // informational, low, medium, high, critical
	Rule     string       `json:"rule"`
	Events   []string     `json:"events"` // records and addresses
	First    imaging.Time `json:"first"`
	Last     imaging.Time `json:"last"`
	Entities []string     `json:"entities"`
	Observed string       `json:"observed"`         // what the evidence shows, with figures
	Limits   string       `json:"limits"`           // what it does not show
	By       string       `json:"by,omitempty"`     // the examiner who found it; "" for a rule
	Record   *int64       `json:"record,omitempty"` // of the ledger, where an examiner found it
}

// ExhibitStats says what was read of an exhibit and what was not.
type ExhibitStats struct {
	Exhibit    string  `json:"exhibit"`
	Kind       Kind    `json:"kind"`
	Label      string  `json:"label,omitempty"`
	Source     string  `json:"source"`
	SHA256     Digest  `json:"sha256,omitzero"` // absent while Incomplete
	Files      int64   `json:"files"`
	Records    int64   `json:"records"`
	Distinct   int64   `json:"distinct"`
	Duplicates int64   `json:"duplicates"`
	BadRecords int64   `json:"bad_records"`
	SkipData   int64   `json:"skipdata"`
	NoData     int64   `json:"nodata"`
	Bytes      int64   `json:"bytes"`
	Packed     *Packed `json:"packed,omitempty"` // of an image that is stored packed
	ReadErrors int64   `json:"read_errors"`
	// NotAcquired is how many bytes of the source were left out on purpose, since
	// only what changed since the snapshot Since was asked for.
	NotAcquired int64         `json:"not_acquired_bytes,omitempty"`
	Since       string        `json:"since,omitempty"`
	Indexed     bool          `json:"indexed"`
	First       imaging.Time  `json:"first"`
	Last        imaging.Time  `json:"last"`
	Regions     []string      `json:"regions,omitempty"`
	Volumes     []VolumeStats `json:"volumes"`
	Gaps        []Gap         `json:"gaps,omitempty"` // the first 1,000 things that could not be read
	// Incomplete is set while an image is acquired and read already; nil when it
	// is sealed.
	Incomplete *Incomplete `json:"incomplete,omitempty"`
}

// Incomplete says how much of an exhibit is there that is not sealed yet. What
// the index has of it is preliminary, and its SHA-256 is not known.
type Incomplete struct {
	State string `json:"state"` // running; interrupted: the same command resumes
	// Acquired is how many of its Bytes are dealt with.
	Acquired int64  `json:"acquired"`
	Error    string `json:"error,omitempty"` // why it was interrupted, where that is known
}

// VolumeStats describes one volume of a disk exhibit.
type VolumeStats struct {
	ID    string `json:"id"`
	Type  string `json:"type"` // of the partition: linux, efi, unallocated, …
	FS    string `json:"fs"`   // by signature; "" when none is known
	Label string `json:"label"`
	UUID  string `json:"uuid"`
	Start int64  `json:"start"`
	Size  int64  `json:"size"`
	// Exhibits are those that hold its bytes, where there are several: it is
	// listed under the first.
	Exhibits []string `json:"exhibits,omitempty"`
	Entries  int64    `json:"entries"`
	Deleted  int64    `json:"deleted"`
	Damaged  int64    `json:"damaged"`
	// NotAcquired is how many entries have content that was left out on purpose.
	NotAcquired int64    `json:"not_acquired,omitempty"`
	State       []string `json:"state,omitempty"`
	Error       *string  `json:"error"`
}

// Gap is one thing that could not be read or decoded, with its place.
type Gap struct {
	Exhibit string `json:"exhibit"`
	Place   string `json:"place"` // file and record, or address
	Offset  int64  `json:"offset"`
	Reason  string `json:"reason"`
}
