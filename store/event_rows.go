package store

import (
	"net/netip"
	"strings"

	"snapcase/evidence"
	"snapcase/evidence/cloudtrail"
	"snapcase/imaging"
)

// Flags of an event row.
const (
	flagReadOnlyKnown = 1 << iota
	flagReadOnly
	flagMFAKnown
	flagMFA
	flagService  // made by an AWS service, not by a user or role
	flagConflict // another event has the same id and other content
)

// eventRow is an event on its way into the database: strings are numbers of
// the dictionary.
type eventRow struct {
	ts                                    int64
	eid, request                          packedID
	hash                                  [16]byte
	name, source, region, typ             uint32
	ptype, pid, arn, account, user        uint32
	key, issuer, ip, agent, code, message uint32
	file, n                               uint32 // file: index into the exhibit's files
	res, nres                             uint32 // resources: where and how many in the worker's list
	flags                                 uint8
	timed                                 bool
}

// rowList is rows in pieces, so that it grows without being copied. It holds no
// pointers for the garbage collector to follow.
type rowList struct {
	pieces [][]eventRow
	n      int
}

const pieceRows = 4096

func (l *rowList) add(r eventRow) {
	if l.n%pieceRows == 0 {
		l.pieces = append(l.pieces, make([]eventRow, 0, pieceRows))
	}
	last := &l.pieces[len(l.pieces)-1]
	*last = append(*last, r)
	l.n++
}

func (l *rowList) at(i int) *eventRow { return &l.pieces[i/pieceRows][i%pieceRows] }

// eventSide is what few records have.
type eventSide struct {
	row       uint32
	issued    []cloudtrail.Issued
	instances []cloudtrail.Instance
	created   []evidence.Resource
	roleName  string
	service   string
}

// eventWorker collects the rows of the files that one goroutine read.
type eventWorker struct {
	d         *dict
	reader    *cloudtrail.Reader
	ids       *longIDs
	rows      rowList
	resources [][2]uint32 // type, name
	sides     []eventSide
	shared    map[uint32]packedID     // sharedEventID, which few rows have
	beyond    map[uint32]imaging.Time // rows whose time does not fit
	mentions  map[uint32]mention      // key ids anywhere in a record: the first place
	sessions  map[sessionKey]struct{} // of the row's key
	nameSeen  map[uint32]struct{}
	parts     map[[2]uint32]struct{} // part, name
}

type mention struct {
	file, n uint32
	off     int64
}

type sessionKey struct {
	key, pid uint32
	created  int64
}

func newEventWorker(d *dict, ids *longIDs) *eventWorker {
	return &eventWorker{d: d, ids: ids, reader: cloudtrail.NewReader(), shared: map[uint32]packedID{}, beyond: map[uint32]imaging.Time{}, mentions: map[uint32]mention{}, sessions: map[sessionKey]struct{}{}, nameSeen: map[uint32]struct{}{}, parts: map[[2]uint32]struct{}{}}
}

// word numbers s; a case holds fewer than 2^32 distinct strings.
func (w *eventWorker) word(s string, col int64) uint32 { return uint32(w.d.id(s, col)) } //nolint:gosec // see above

// add takes a record of the exhibit's file number file.
func (w *eventWorker) add(file uint32, r *cloudtrail.Record) {
	e := &r.Event
	row := eventRow{
		eid: w.ids.pack(e.EventID), request: w.ids.pack(e.RequestID), hash: r.Hash,
		name: w.word(e.Name, colName), source: w.word(e.Source, colSource), region: w.word(e.Region, colRegion), typ: w.word(e.Type, colType),
		ptype: w.word(e.PrincipalType, colPrincipalType), pid: w.word(e.PrincipalID, colPrincipalID), arn: w.word(e.ARN, colARN),
		account: w.word(e.Account, colAccount), user: w.word(e.User, colUser), key: w.word(e.AccessKeyID, colKey), issuer: w.word(e.SessionIssuer, colIssuer),
		ip: w.word(e.SourceIP, colIP), agent: w.word(e.UserAgent, colAgent), code: w.word(e.ErrorCode, colError), message: w.word(e.ErrorMessage, colMessage),
		file: file, n: uint32(r.N), flags: eventFlags(e), timed: e.Time.Set, //nolint:gosec // a file of 4 GiB holds fewer records
	}
	at := uint32(w.rows.n) //nolint:gosec // rows of one exhibit in memory
	if e.SharedEventID != "" {
		w.shared[at] = w.ids.pack(e.SharedEventID)
	}
	if e.Time.Set {
		var exact bool
		if row.ts, exact = nano(e.Time); !exact {
			w.beyond[at] = e.Time
		}
	} else {
		row.ts = maxNano
	}
	row.res = uint32(len(w.resources)) //nolint:gosec // as above
	for i, res := range e.Resources {
		if res.Name == "" || contains(e.Resources[:i], res) {
			continue
		}
		name := w.word(res.Name, colResourceName)
		w.resources = append(w.resources, [2]uint32{w.word(res.Type, colResourceType), name})
		w.nameParts(res.Name, name)
	}
	row.nres = uint32(len(w.resources)) - row.res //nolint:gosec // as above
	w.addSides(at, &row, r)
	w.rows.add(row)
}

func contains[T comparable](all []T, r T) bool {
	for _, a := range all {
		if a == r {
			return true
		}
	}
	return false
}

func (w *eventWorker) addSides(at uint32, row *eventRow, r *cloudtrail.Record) {
	for _, k := range r.KeyIDs {
		id := w.word(k.ID, colOther)
		if m, ok := w.mentions[id]; !ok || row.file < m.file || row.file == m.file && row.n < m.n {
			w.mentions[id] = mention{row.file, row.n, int64(k.Offset)}
		}
	}
	if row.key != 0 && row.pid != 0 && r.SessionCreated.Set {
		w.sessions[sessionKey{row.key, row.pid, r.SessionCreated.Sec}] = struct{}{}
	}
	if len(r.Issued) == 0 && len(r.Instances) == 0 && len(r.Created) == 0 {
		return
	}
	s := eventSide{row: at, roleName: r.RoleSessionName, service: r.InvokedBy}
	s.issued = append(s.issued, r.Issued...)
	s.created = append(s.created, r.Created...)
	for _, i := range r.Instances {
		i.PrivateIPs, i.PublicIPs, i.Interfaces = append([]string(nil), i.PrivateIPs...), append([]string(nil), i.PublicIPs...), append([]string(nil), i.Interfaces...)
		s.instances = append(s.instances, i)
	}
	w.sides = append(w.sides, s)
}

// nameParts notes by which parts an ARN is found too: its resource part
// (behind the fifth colon) and what follows the last slash of that.
func (w *eventWorker) nameParts(s string, id uint32) {
	if !strings.HasPrefix(s, "arn:") {
		return
	}
	if _, ok := w.nameSeen[id]; ok {
		return
	}
	w.nameSeen[id] = struct{}{}
	f := strings.SplitN(s, ":", 6)
	if len(f) < 6 || f[5] == "" {
		return
	}
	w.parts[[2]uint32{w.word(f[5], colResourceName), id}] = struct{}{}
	if i := strings.LastIndexByte(f[5], '/'); i >= 0 && i+1 < len(f[5]) {
		w.parts[[2]uint32{w.word(f[5][i+1:], colResourceName), id}] = struct{}{}
	}
}

func eventFlags(e *evidence.Event) (f uint8) {
	if e.ReadOnly != nil {
		f |= flagReadOnlyKnown
		if *e.ReadOnly {
			f |= flagReadOnly
		}
	}
	if e.MFA != nil {
		f |= flagMFAKnown
		if *e.MFA {
			f |= flagMFA
		}
	}
	if byService(e) {
		f |= flagService
	}
	return f
}

// byService says that an event is the work of an AWS service: by its type, by
// its principal, or because its address is the name of a service.
func byService(e *evidence.Event) bool {
	if e.PrincipalType == "AWSService" || e.Type == "AwsServiceEvent" || e.SourceIP == "AWS Internal" {
		return true
	}
	if !strings.HasSuffix(e.SourceIP, ".amazonaws.com") && !strings.HasSuffix(e.SourceIP, ".amazonaws.com.cn") {
		return false
	}
	_, err := netip.ParseAddr(e.SourceIP)
	return err != nil
}
