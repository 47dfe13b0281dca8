// Package store is a case on disk: open, lock, index, ask. It holds the only
// SQL of the program.
//
// # What is truth
//
// A case is a folder of plain files: case.json, the custody ledger with its
// checkpoints, and the exhibits. index.db is derived from them and can be
// deleted at any time; Index makes it again, to the same answers. What an
// examiner does (a tag, a note) is a line of the ledger; the index never holds
// what the ledger does not.
//
// # The index
//
// migrations/ has the tables. Strings of logs are numbers of one dictionary.
// The rows of an exhibit have dense numbers in the order in which they are
// listed (events by time and event id, flows by start, entries by path), so a
// page anywhere is a range of numbers, and a row number is found by bisection:
// nothing counts rows by scanning. Exhibits are merged while they are read.
// Raw records stay in the exhibit and are addressed by file, number, offset.
//
// # Questions
//
// Each question is one file: files, events, keys, trace, flows, packets,
// timeline, findings. Listings come as iter.Seq2, for pipes, and as pages, for
// screens; both give the same rows in the same order. A question works on the
// index as it is when it begins; it does not wait for one that is written.
//
// What the package does not do: it renders nothing, and it never changes an
// exhibit.
package store

import (
	"snapcase/evidence/custody"
)

// Options say how a case is opened.
type Options struct {
	ReadOnly bool            // no evidence, no ledger and no index is written
	Index    string          // where index.db lies; "" for the case folder (a bundle is indexed elsewhere)
	Derive   bool            // index.db may be added to even so: digests that a question read
	Bundle   bool            // the folder is a view of a bundle
	Custody  custody.Options // who acts, with which key and tool
}

// NewCase describes a case to make.
type NewCase struct {
	Title, Examiner, Authority string
	Key                        string // path of the signing key; must exist
}

// IndexOptions say what to index.
type IndexOptions struct {
	Exhibit string // "" for all
	Rebuild bool   // derive again what is there already
}
