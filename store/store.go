// Package store is a case on disk: open, lock, index, ask.
package store

import (
	"context"
	"errors"
	"iter"

	"snapcase/evidence"
	"snapcase/evidence/custody"
	"snapcase/imaging"
)

var errTodo = errors.New("not built yet")

// Case is an open case. It is safe for concurrent use.
type Case struct{}

// Options say how a case is opened.
type Options struct {
	ReadOnly bool            // nothing is written, not even the ledger
	Index    string          // where index.db lies; "" for the case folder (a bundle is indexed elsewhere)
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

// Create makes a case folder with its ledger, and opens it.
func Create(ctx context.Context, dir string, n NewCase, o Options) (*Case, error) {
	return nil, errTodo
}

// Open opens a case folder; it does not index.
func Open(ctx context.Context, dir string, o Options) (*Case, error) { return nil, errTodo }

// Close releases the case; it makes a checkpoint where records were written.
func (c *Case) Close() error { return nil }

// File is case.json.
func (c *Case) File() evidence.CaseFile { return evidence.CaseFile{} }

// Folder is where the case lies.
func (c *Case) Folder() evidence.Folder { return "" }

// ReadOnly says whether the case refuses to write.
func (c *Case) ReadOnly() bool { return true }

// Bundle says whether the case is a view of a bundle.
func (c *Case) Bundle() bool { return false }

// Ledger is the custody ledger; nil in a read-only case.
func (c *Case) Ledger() *custody.Ledger { return nil }

// Index derives index.db from exhibits and ledger.
func (c *Case) Index(ctx context.Context, o IndexOptions, p evidence.Progress) error { return errTodo }

// Stats says what was read of each exhibit and what was not.
func (c *Case) Stats(ctx context.Context) ([]evidence.ExhibitStats, error) { return nil, errTodo }

// Records is the whole ledger, oldest first.
func (c *Case) Records(ctx context.Context) ([]custody.Record, error) { return nil, errTodo }

// Files yields the entries that q selects.
func (c *Case) Files(ctx context.Context, q FileQuery) iter.Seq2[evidence.FileEntry, error] {
	return nil
}

// FilePage is a page of what Files yields.
func (c *Case) FilePage(ctx context.Context, q FileQuery, r PageRequest) (Page[evidence.FileEntry], error) {
	return Page[evidence.FileEntry]{}, errTodo
}

// FileCount counts what q selects, up to limit (0: all).
func (c *Case) FileCount(ctx context.Context, q FileQuery, limit int64) (int64, error) {
	return 0, errTodo
}

// OpenEntry gives the content of an entry and its metadata.
func (c *Case) OpenEntry(ctx context.Context, a evidence.Address) (imaging.Source, evidence.FileEntry, error) {
	return nil, evidence.FileEntry{}, errTodo
}

// OpenImage gives the bytes of a disk or memory exhibit.
func (c *Case) OpenImage(ctx context.Context, exhibit string) (imaging.Source, error) {
	return nil, errTodo
}

// Keys are the credentials found; all adds key ids that only logs know.
func (c *Case) Keys(ctx context.Context, all bool) ([]evidence.Key, error) { return nil, errTodo }

// Events yields the CloudTrail events that q selects.
func (c *Case) Events(ctx context.Context, q EventQuery) iter.Seq2[evidence.Event, error] { return nil }

// EventPage is a page of what Events yields.
func (c *Case) EventPage(ctx context.Context, q EventQuery, r PageRequest) (Page[evidence.Event], error) {
	return Page[evidence.Event]{}, errTodo
}

// EventCount counts what q selects, up to limit (0: all).
func (c *Case) EventCount(ctx context.Context, q EventQuery, limit int64) (int64, error) {
	return 0, errTodo
}

// Raw is the record's own text, read from the exhibit: the JSON of a
// CloudTrail record, the line of a flow log, the bytes of a frame.
func (c *Case) Raw(ctx context.Context, r evidence.Record) ([]byte, error) { return nil, errTodo }

// Trace tells what an access key, user, role session, instance, address or
// snapshot did and touched.
func (c *Case) Trace(ctx context.Context, entity string) (evidence.Trace, error) {
	return evidence.Trace{}, errTodo
}

// Flows yields the flow records that q selects.
func (c *Case) Flows(ctx context.Context, q FlowQuery) iter.Seq2[evidence.Flow, error] { return nil }

// FlowPage is a page of what Flows yields.
func (c *Case) FlowPage(ctx context.Context, q FlowQuery, r PageRequest) (Page[evidence.Flow], error) {
	return Page[evidence.Flow]{}, errTodo
}

// FlowPeers sums the records that q selects by remote address and protocol.
func (c *Case) FlowPeers(ctx context.Context, q FlowQuery) ([]evidence.FlowPeer, error) {
	return nil, errTodo
}

// Packets yields the frames that q selects, read from the captures.
func (c *Case) Packets(ctx context.Context, q PacketQuery) iter.Seq2[evidence.Packet, error] {
	return nil
}

// ICMP judges the echo traffic of every pair of addresses in the captures.
func (c *Case) ICMP(ctx context.Context) ([]evidence.ICMPPair, error) { return nil, errTodo }

// Timeline yields the moments that q selects.
func (c *Case) Timeline(ctx context.Context, q TimelineQuery) iter.Seq2[evidence.Moment, error] {
	return nil
}

// TimelinePage is a page of what Timeline yields.
func (c *Case) TimelinePage(ctx context.Context, q TimelineQuery, r PageRequest) (Page[evidence.Moment], error) {
	return Page[evidence.Moment]{}, errTodo
}

// TimelineCount counts what q selects, up to limit (0: all).
func (c *Case) TimelineCount(ctx context.Context, q TimelineQuery, limit int64) (int64, error) {
	return 0, errTodo
}

// Histogram counts moments over time in at most n buckets; from and to may be
// unset for the whole span.
func (c *Case) Histogram(ctx context.Context, q TimelineQuery, n int) (Histogram, error) {
	return Histogram{}, errTodo
}

// Findings are the detections over all sources.
func (c *Case) Findings(ctx context.Context) ([]evidence.Finding, error) { return nil, errTodo }

// Tag marks records and addresses with a word; remove takes it away again.
func (c *Case) Tag(ctx context.Context, records []string, tag string, remove bool) error {
	return errTodo
}

// Note records the examiner's words, about a record or (with "") the case.
func (c *Case) Note(ctx context.Context, record, text string) error { return errTodo }
