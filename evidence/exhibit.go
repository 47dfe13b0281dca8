package evidence

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"

	"snapcase/imaging"
)

// Kind is what an exhibit holds.
type Kind string

// The kinds of exhibit, with the words of the command line.
const (
	KindDisk       Kind = "disk"
	KindMemory     Kind = "memory"
	KindCloudTrail Kind = "cloudtrail"
	KindFlowLog    Kind = "flowlog"
	KindPcap       Kind = "pcap"
	KindFindings   Kind = "findings"
	KindFile       Kind = "file"
	KindHashset    Kind = "hashset" // a list of digests of known files, labelled good:NAME or bad:NAME
	KindIntel      Kind = "intel"   // a list of hostile addresses, labelled with its name
)

// Image says whether an exhibit of this kind is one image (true) or a
// folder files/ with a manifest (false).
func (k Kind) Image() bool { return k == KindDisk || k == KindMemory }

// ReadError is a range of a source that could not be read; it lies in the
// image as zeros.
type ReadError struct {
	Offset int64  `json:"offset"`
	Length int64  `json:"length"`
	Error  string `json:"error"`
}

// Acquisition is acquisition.json: how an exhibit was made. It is written
// when the exhibit is sealed; an exhibit without it is unfinished.
type Acquisition struct {
	Exhibit   string            `json:"exhibit"`
	Kind      Kind              `json:"kind"`
	Label     string            `json:"label,omitempty"`
	Source    string            `json:"source"` // absolute path, or the id it was asked for by
	Bytes     int64             `json:"bytes"`
	SHA256    Digest            `json:"sha256"`           // of image.raw, or of manifest-sha256.txt for a folder
	Hashes    map[string]string `json:"hashes,omitempty"` // md5, sha1, blake3 when asked for
	Files     int64             `json:"files"`
	DataBytes int64             `json:"data_bytes"`
	HoleBytes int64             `json:"hole_bytes"`
	// NotAcquired is how many bytes the source has and the exhibit, on purpose,
	// has not; map.jsonl says which.
	NotAcquired int64        `json:"not_acquired_bytes,omitempty"`
	ReadErrors  []ReadError  `json:"read_errors"`
	ResumedFrom int64        `json:"resumed_from"`
	Started     imaging.Time `json:"started"`
	Ended       imaging.Time `json:"ended"`
	API         string       `json:"api"` // file, container, block-device, folder
	Method      string       `json:"method"`
	// Packed says how the sealed copy is stored; nil where it is image.raw.
	Packed *Packed `json:"packed,omitempty"`
	// Container says in what the source's disk lay; nil where it lay bare.
	Container *Container `json:"container,omitempty"`
	// Origin says where a source that is not on this host came from; nil else.
	Origin *Origin `json:"origin,omitempty"`
	// Again says that a run before this one sealed it and did not come to its end:
	// this one read nothing of the source.
	Again bool `json:"-"`
	// Unsealed says that this tells what is known of an exhibit that is not sealed
	// yet: it has no digest and no end. acquisition.json never has it.
	Unsealed bool `json:"-"`
}

// Origin is a source in a cloud account: a snapshot, a volume, or the objects
// of a bucket. What is not known is empty.
type Origin struct {
	Service       string `json:"service"` // "ebs", "ec2", "s3"
	Region        string `json:"region"`
	Caller        string `json:"caller,omitempty"` // ARN of who read it
	CallerAccount string `json:"caller_account,omitempty"`
	Owner         string `json:"owner,omitempty"` // account that owns it

	Snapshot    string       `json:"snapshot,omitempty"`
	Volume      string       `json:"volume,omitempty"`
	Description string       `json:"description,omitempty"`
	Taken       imaging.Time `json:"taken"` // when the snapshot was begun
	Encrypted   bool         `json:"encrypted,omitempty"`
	KMSKey      string       `json:"kms_key,omitempty"`
	BlockSize   int64        `json:"block_size,omitempty"` // bytes
	Blocks      int64        `json:"blocks,omitempty"`     // of the volume
	Listed      int64        `json:"listed,omitempty"`     // of those, with data; the others read as zeros
	// LinearSHA256 is SHA-256 over the binary digests of the listed blocks in
	// the order of their indexes: the service's own LINEAR aggregate.
	LinearSHA256 string `json:"linear_sha256,omitempty"`
	// Since is the older snapshot where only what changed since it was acquired,
	// SinceTaken when that one was begun, Changed how many blocks changed, those
	// too that hold nothing any more.
	Since      string       `json:"since,omitempty"`
	SinceTaken imaging.Time `json:"since_taken,omitzero"`
	Changed    int64        `json:"changed_blocks,omitempty"`

	Bucket     string `json:"bucket,omitempty"`
	Prefix     string `json:"prefix,omitempty"`
	Versioning string `json:"versioning,omitempty"`
	ObjectLock string `json:"object_lock,omitempty"`
	// Selected says which logs were wanted, in words; "" for all.
	Selected string `json:"selected,omitempty"`
	// Versions and DeleteMarkers count what was listed, where every version was
	// asked for.
	Versions      int64  `json:"versions,omitempty"`
	DeleteMarkers int64  `json:"delete_markers,omitempty"`
	Device        string `json:"device,omitempty"` // under which a volume was attached

	Lists    int64    `json:"lists,omitempty"`   // calls that listed, in the last run
	Reads    int64    `json:"reads,omitempty"`   // calls that read
	Retries  int64    `json:"retries,omitempty"` // of all calls
	Requests []string `json:"requests,omitempty"`
	Notes    []string `json:"notes,omitempty"`
}

// Packed is a sealed copy of an image that is not stored as the bytes it holds.
type Packed struct {
	Format string `json:"format"` // zst: the seekable zstd format
	File   string `json:"file"`   // image.raw.zst
	Bytes  int64  `json:"bytes"`  // of the file
	SHA256 Digest `json:"sha256"` // of the file; Acquisition.SHA256 is that of what it holds
}

// Container is an image container that a disk was read out of: image.raw holds
// the disk.
type Container struct {
	Format   string            `json:"format"`           // "ewf", "qcow2", …
	Segments []string          `json:"segments"`         // paths of its files
	Stored   map[string]string `json:"stored,omitempty"` // hashes of the disk that it holds: "md5", "sha1"
	Header   []ContainerField  `json:"header,omitempty"` // what it says of itself
	Damage   []string          `json:"damage,omitempty"` // what is wrong and is no range of the disk
}

// ContainerField is one thing that a container says of itself.
type ContainerField struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// CaseFile is case.json, the name plate of a case folder.
type CaseFile struct {
	Version   int          `json:"version"` // CaseVersion
	ID        string       `json:"id"`      // urn:uuid:…
	Title     string       `json:"title"`
	Examiner  string       `json:"examiner"`
	Authority string       `json:"authority,omitempty"`
	Key       string       `json:"key"` // path of the signing key's private or public file
	Created   imaging.Time `json:"created"`
}

// CaseVersion is the layout of the case folder that this program writes.
const CaseVersion = 1

// Folder is the path of a case folder, with the names of what lies in it.
type Folder string

// CaseFile is the path of case.json.
func (f Folder) CaseFile() string { return filepath.Join(string(f), "case.json") }

// CaseKey is the HMAC key of secret fingerprints; it never leaves the case.
func (f Folder) CaseKey() string { return filepath.Join(string(f), "case.key") }

// Ledger is the path of the custody ledger.
func (f Folder) Ledger() string { return filepath.Join(string(f), "ledger.jsonl") }

// Checkpoints is the folder of signed checkpoints.
func (f Folder) Checkpoints() string { return filepath.Join(string(f), "checkpoints") }

// Index is the path of the derived database.
func (f Folder) Index() string { return filepath.Join(string(f), "index.db") }

// Exhibits is the folder of all exhibits.
func (f Folder) Exhibits() string { return filepath.Join(string(f), "exhibits") }

// Exhibit is the folder of one exhibit.
func (f Folder) Exhibit(id string) string { return filepath.Join(f.Exhibits(), id) }

// Image is the sealed image of a disk or memory exhibit.
func (f Folder) Image(id string) string { return filepath.Join(f.Exhibit(id), "image.raw") }

// PackedImage is the sealed image of an exhibit that was acquired packed.
func (f Folder) PackedImage(id string) string { return filepath.Join(f.Exhibit(id), "image.raw.zst") }

// Files is the folder of the files of any other exhibit.
func (f Folder) Files(id string) string { return filepath.Join(f.Exhibit(id), "files") }

// Acquisition is the path of an exhibit's acquisition.json.
func (f Folder) Acquisition(id string) string {
	return filepath.Join(f.Exhibit(id), "acquisition.json")
}

// ReadCase reads case.json. A newer version than CaseVersion is an error with
// a hint.
func ReadCase(f Folder) (CaseFile, error) {
	var c CaseFile
	b, err := os.ReadFile(f.CaseFile())
	if errors.Is(err, os.ErrNotExist) {
		return c, WithHint(fmt.Errorf("open case %s: no case.json: %w", f, err), "make a case with: snapcase new %s --title T --examiner ID", f)
	}
	if err != nil {
		return c, fmt.Errorf("open case %s: %w", f, err)
	}
	if err := json.Unmarshal(b, &c); err != nil {
		return c, fmt.Errorf("open case %s: case.json: %w", f, err)
	}
	if c.Version > CaseVersion {
		return c, WithHint(fmt.Errorf("open case %s: it has layout version %d, this snapcase knows %d", f, c.Version, CaseVersion), "use a newer snapcase")
	}
	return c, nil
}

var exhibitID = regexp.MustCompile(`^EX-[0-9]{3,6}$`)

// ReadExhibits lists the sealed exhibits of a case in the order of their ids.
func ReadExhibits(f Folder) ([]Acquisition, error) {
	names, err := os.ReadDir(f.Exhibits())
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list exhibits: %w", err)
	}
	var all []Acquisition
	for _, n := range names {
		if !exhibitID.MatchString(n.Name()) {
			continue
		}
		b, err := os.ReadFile(f.Acquisition(n.Name()))
		if errors.Is(err, os.ErrNotExist) {
			continue // not sealed yet
		}
		if err != nil {
			return nil, fmt.Errorf("list exhibits: %w", err)
		}
		var a Acquisition
		if err := json.Unmarshal(b, &a); err != nil {
			return nil, fmt.Errorf("list exhibits: %s: %w", f.Acquisition(n.Name()), err)
		}
		all = append(all, a)
	}
	return all, nil
}

// Object is an object of a bucket, as objects.jsonl keeps it. What the service
// did not say is empty.
type Object struct {
	Key       string       `json:"key"`
	Version   string       `json:"version_id,omitempty"`
	ETag      string       `json:"etag,omitempty"`
	Size      int64        `json:"size"`
	Modified  imaging.Time `json:"last_modified"`
	Class     string       `json:"storage_class,omitempty"`
	SSE       string       `json:"sse,omitempty"`
	KMSKey    string       `json:"kms_key,omitempty"`
	Type      string       `json:"content_type,omitempty"`
	Encoding  string       `json:"content_encoding,omitempty"`
	Lock      string       `json:"object_lock,omitempty"` // mode and date
	Checksums []string     `json:"checksums,omitempty"`   // "sha256 …", base64
	// Metadata is the user's own; the signature of a CloudTrail digest is there.
	Metadata map[string]string `json:"metadata,omitempty"`
	Request  string            `json:"request,omitempty"` // id of the answer with the bytes
	// Older says that a newer version or a delete marker hides it; DeleteMarker
	// that it is one, which has no bytes.
	Older        bool `json:"older_version,omitempty"`
	DeleteMarker bool `json:"delete_marker,omitempty"`
	// Asked is the call whose answer it is, where it is no object of the bucket.
	Asked string `json:"asked,omitempty"`
}

// Companion is an answer that is kept as a file beside objects: it says what is
// needed to check them.
type Companion struct {
	Name    string // relative, slashes
	Data    []byte
	Request string // id of the answer
	What    string // the call, with its parameters
}

// ObjectReader reads an object; Object is all that is known of it.
type ObjectReader interface {
	Read(p []byte) (int, error)
	Close() error
	Object() Object
}
