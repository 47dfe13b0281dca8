package cloudtrail

import (
	"fmt"

	"snapcase/evidence"
	"snapcase/imaging"
)

// Record is one CloudTrail record with its place and what joins need.
//
// A Record that Read yields is reused: its slices (Raw, Event.Resources and
// the slices below) are valid until the next iteration. Its strings are
// ordinary strings and may be kept; repeated ones share memory.
type Record struct {
	N      int64 // from 1, in file order; bad ones count too
	Offset int64 // of Text's object in the unpacked stream, bytes
	Length int64 // of the object in the unpacked stream, bytes

	// Raw is the record's own JSON. For an answer of LookupEvents it is the
	// unescaped CloudTrailEvent, while Offset and Length are those of the
	// object around it; ReadAt gives Raw again for both.
	Raw []byte
	// Hash is the first half of the SHA-256 of Raw. Records with one event id
	// and different hashes are compared by Canonical.
	Hash [16]byte

	// Event holds the fields of the record. Event.Record and Event.Copies are
	// left to the caller, who knows the file.
	Event evidence.Event

	SessionCreated  imaging.Time // userIdentity.sessionContext.attributes.creationDate
	InvokedBy       string       // userIdentity.invokedBy
	RoleSessionName string       // requestParameters.roleSessionName

	Issued    []Issued            // credentials that the answer holds
	Instances []Instance          // what the record says about instances
	Created   []evidence.Resource // what a successful creating call made
	KeyIDs    []KeyID             // access key ids anywhere in Raw
}

// Failed says that the call was refused or failed: the record has an error
// code, or an error message without one (ConsoleLogin).
func (r *Record) Failed() bool { return r.Event.ErrorCode != "" || r.Event.ErrorMessage != "" }

// Issued is one credential in responseElements.
type Issued struct {
	KeyID string // credentials.accessKeyId or accessKey.accessKeyId
	// Principal is what calls with the key show as principalId:
	// assumedRoleUser.assumedRoleId or federatedUser.federatedUserId.
	Principal string
	// ARN is assumedRoleUser.arn or federatedUser.arn, else "".
	ARN string
	// User is accessKey.userName, "" for temporary credentials.
	User string
	// Permanent is set for accessKey (CreateAccessKey).
	Permanent bool
}

// Instance is what one successful record shows of an EC2 instance.
type Instance struct {
	ID         string
	PrivateIPs []string
	PublicIPs  []string
	Interfaces []string // eni-…
	Launched   bool     // the record is the RunInstances that made it

	inAnswer bool // it stood in responseElements
}

// KeyID is an access key id in the text of a record.
type KeyID struct {
	ID     string
	Offset int // of its first occurrence in Raw, bytes
}

// BadRecord is a part of a file that gives no record. The walk goes on
// behind it where it can.
type BadRecord struct {
	N      int64 // the number of the record this is or would have been
	Offset int64 // in the unpacked stream, bytes
	Reason string
}

func (b *BadRecord) Error() string {
	return fmt.Sprintf("cloudtrail record %d at offset %d: %s", b.N, b.Offset, b.Reason)
}
