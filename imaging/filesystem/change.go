package filesystem

import (
	"context"
	"fmt"
	"iter"
	"strings"

	"snapcase/imaging"
)

// Changer is the optional view of a journal in which the file system notes what
// was done to its files, as NTFS does in $Extend/$UsnJrnl.
type Changer interface {
	// Changes yields the records in the order in which they lie in the journal.
	// An error comes with an empty Change and says what could not be read; after
	// a failure of the source or cancellation it is the last thing yielded.
	Changes(ctx context.Context) iter.Seq2[Change, error]
}

// Change is one record of such a journal.
type Change struct {
	USN  int64        // where the record says that it stands in the journal, bytes
	Time imaging.Time // when the record was written
	// Ref is the file as Walk gives it. Generation is the one that the record
	// has: NTFS raises that of a file when it frees it.
	Ref        Ref
	Generation uint32

	Parent           uint64 // inode of the directory
	ParentGeneration uint32
	// Dir is the path of the directory as it is now, without a slash at its end:
	// "" is the root, "/$Orphan" what is not known.
	Dir  string
	Name string // UTF-8; not a path

	Reason     Reason
	Source     uint32 // 1 data management, 2 auxiliary data, 4 replication; 0 a program
	Attributes uint32 // of the file: 0x10 directory
	Damage     string // "" or what makes no sense, in the words of Entry.Damage
}

// Reason is why a record of a change journal was written: all that happened to
// the file since it was opened, a bit each, by the numbers of Windows.
type Reason uint32

// The reasons that have a word of their own.
const (
	reasonData   Reason = 0x77
	reasonCreate Reason = 0x100
	reasonDelete Reason = 0x200
	reasonRename Reason = 0x3000
	reasonClose  Reason = 0x80000000
)

// reasonNames are the names of Windows, without USN_REASON_.
var reasonNames = []struct {
	bit  Reason
	name string
}{
	{0x1, "DATA_OVERWRITE"},
	{0x2, "DATA_EXTEND"},
	{0x4, "DATA_TRUNCATION"},
	{0x10, "NAMED_DATA_OVERWRITE"},
	{0x20, "NAMED_DATA_EXTEND"},
	{0x40, "NAMED_DATA_TRUNCATION"},
	{reasonCreate, "FILE_CREATE"},
	{reasonDelete, "FILE_DELETE"},
	{0x400, "EA_CHANGE"},
	{0x800, "SECURITY_CHANGE"},
	{0x1000, "RENAME_OLD_NAME"},
	{0x2000, "RENAME_NEW_NAME"},
	{0x4000, "INDEXABLE_CHANGE"},
	{0x8000, "BASIC_INFO_CHANGE"},
	{0x10000, "HARD_LINK_CHANGE"},
	{0x20000, "COMPRESSION_CHANGE"},
	{0x40000, "ENCRYPTION_CHANGE"},
	{0x80000, "OBJECT_ID_CHANGE"},
	{0x100000, "REPARSE_POINT_CHANGE"},
	{0x200000, "STREAM_CHANGE"},
	{0x400000, "TRANSACTED_CHANGE"},
	{0x800000, "INTEGRITY_CHANGE"},
	{0x1000000, "DESIRED_STORAGE_CLASS_CHANGE"},
	{reasonClose, "CLOSE"},
}

// String is the names of the bits, FILE_CREATE|CLOSE; what has no name is a
// number.
func (r Reason) String() string {
	var all []string
	for _, n := range reasonNames {
		if r&n.bit != 0 {
			all = append(all, n.name)
			r &^= n.bit
		}
	}
	if r != 0 || len(all) == 0 {
		all = append(all, fmt.Sprintf("0x%X", uint32(r)))
	}
	return strings.Join(all, "|")
}

// Word is what matters most of the reasons: delete, rename, create, write,
// close where there is no other, else change.
func (r Reason) Word() string {
	switch {
	case r&reasonDelete != 0:
		return "delete"
	case r&reasonRename != 0:
		return "rename"
	case r&reasonCreate != 0:
		return "create"
	case r&reasonData != 0:
		return "write"
	case r == reasonClose:
		return "close"
	}
	return "change"
}

// ReasonsNamed are the bits whose names contain word, without regard to case.
func ReasonsNamed(word string) (r Reason) {
	word = strings.ToUpper(word)
	for _, n := range reasonNames {
		if strings.Contains(n.name, word) {
			r |= n.bit
		}
	}
	return r
}
