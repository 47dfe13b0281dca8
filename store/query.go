package store

import "snapcase/imaging"

// Cursor names one row of one order: the keyset tuple, encoded. It is opaque,
// comparable and stable while the index is not rebuilt. "" names no row.
type Cursor string

// PageRequest asks for rows of an order. Exactly one start counts, the first
// that is given: Row, At, From; none of them means the first rows (Backward:
// the last ones).
type PageRequest struct {
	From      Cursor       // rows after it (Backward: before it), without it unless Inclusive
	Inclusive bool         // From itself belongs to the page
	Backward  bool         // towards the start; rows still come in the order of the table
	Row       int64        // row number from 1: the page begins there
	At        imaging.Time // the page begins at the first row at or after this time
	Rows      int          // how many at most; 256 when 0
}

// Page is a run of rows of an order.
type Page[T any] struct {
	Rows          []T
	Cursors       []Cursor // one a row
	Before, After bool     // more rows lie on that side
	Ordinal       int64    // row number of Rows[0] from 1; 0 when it is not known
}

// FileQuery selects file-system entries; conditions combine. Order: exhibit,
// volume, path (bytes), then the index's own number.
type FileQuery struct {
	Exhibit, Volume string
	Dir             string // the entries directly in this directory: "/home"
	Under           string // the entry itself and all below it
	Path            string // glob over the whole path: * ? [..] within a part, ** across parts
	Name            string // text within the last part, without regard to case
	Deleted         bool   // only deleted ones and orphans
	HideDeleted     bool   // only allocated ones
	Dirs            bool   // only directories (the tree)
	Hash            bool   // read the content of regular files and add its SHA-256, and the lists that know it
	Known           string // only files that a list knows as "good" or "bad", or that none knows: "unknown"
	Attributes      bool   // add the extended attributes
	Changed         bool   // only what changed since the older snapshot that the exhibit was compared with
}

// EventQuery selects CloudTrail events; conditions combine, exactly and with
// regard to case. Order: time, then event id; events without a time last.
type EventQuery struct {
	User, Name, ResourceType, ResourceName, Source, EventID, Key string
	ReadOnly                                                     *bool
	Region, Error, IP                                            string
	ARN                                                          string
	Text                                                         string       // words in any text field, without regard to case
	From, To                                                     imaging.Time // both ends belong
	Exhibit                                                      string
	Limit                                                        int64 // 0: no limit
}

// FlowQuery selects flow records. Order: start, then record.
type FlowQuery struct {
	IP, Peer            string // either side, packet addresses too
	Interface, Instance string
	Protocol            string // icmp, tcp, udp, icmpv6 or a number
	Port                *int64 // either side
	Action              string
	From, To            imaging.Time
	Exhibit             string
	Format              []string // LogFormat of files that have no header line
}

// PacketQuery selects frames of captures. Order: exhibit, file, frame.
type PacketQuery struct {
	IP, Protocol string
	VNI          *int64
	Exhibit      string
}

// TimelineQuery selects moments. Order: time, then the index's own number.
// Moments without a time are not on the timeline; Untimed counts them.
type TimelineQuery struct {
	From, To imaging.Time
	Sources  []string // fs, cloudtrail, flow, packet, host; none means all
	Text     string
	Tag      string
}

// Bucket is one bar of a histogram.
type Bucket struct {
	Start imaging.Time
	Count map[string]int64 // by source
}

// Histogram is the number of moments over time.
type Histogram struct {
	From, To imaging.Time
	Width    int64 // seconds of one bucket
	Buckets  []Bucket
	Untimed  int64
	// Lower is set when something is missing and the counts are lower bounds.
	Lower bool
}
