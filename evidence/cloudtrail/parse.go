package cloudtrail

import (
	"crypto/sha256"
	"errors"

	"snapcase/evidence"
	"snapcase/imaging"
)

// outcome is what an object of a log turned out to be.
type outcome int

const (
	isRecord    outcome = iota
	isList              // it holds Records or Events: the offset is that of their bracket
	isCompanion         // a digest or another file that lies beside logs
	isOther             // an object without eventID, eventName and eventSource
)

// parser turns the text of one object into its record. It is reused.
type parser struct {
	sc   scanner
	in   *interner
	text []byte // of the object that is parsed
	rec  Record
	seen uint64 // the fields that stood in it already, by field

	at       imaging.Time // @timestamp
	userID   string       // userIdentity.accountId
	userName string       // userIdentity.userName
	mfaUsed  *bool        // additionalEventData.MFAUsed
	issued   Issued       // in the making
	req, res span         // of requestParameters and responseElements in text

	names   nameSet // of the resources so far
	seenKey nameSet
	facts   []fact // about instances, not yet claimed by one

	wrapped    []byte // CloudTrailEvent of LookupEvents
	wrapBuf    []byte
	wrapping   []evidence.Resource // Resources beside it
	unwrapping bool
	other      bool  // a field that only companions have
	repeated   field // the first field that stands twice
	yes, no    bool  // what ReadOnly and MFA point to; never changed
}

type span struct{ from, to int }

// errTwice says that a field on which an answer rests stands twice, so that
// nobody can say which of the two holds.
var errTwice = errors.New("a field that is read stands twice")

// broken says whether err leaves the end of the object unknown.
func broken(err error) bool {
	var wrapped *errWrapped
	return !errors.As(err, &wrapped) && !errors.Is(err, errTwice) && !errors.Is(err, errDeep)
}

func newParser() parser { return parser{in: newInterner(), yes: true} }

func (p *parser) reset(text []byte) {
	rec := Record{
		Issued: p.rec.Issued[:0], Instances: p.rec.Instances[:0],
		Created: p.rec.Created[:0], KeyIDs: p.rec.KeyIDs[:0],
	}
	rec.Event.Resources = p.rec.Event.Resources[:0]
	p.rec, p.text, p.seen, p.other, p.repeated = rec, text, 0, false, fOther
	p.at, p.userID, p.userName, p.mfaUsed, p.issued = imaging.Time{}, "", "", nil, Issued{}
	p.req, p.res, p.facts = span{}, span{}, p.facts[:0]
	p.names.reset()
	p.seenKey.reset()
}

// object parses the object at the start of text, which may hold more behind
// it, and gives the length of the object. With lists it stops at a list of
// records instead, behind its name. Unless the text is final, an error near
// its end is errMore.
func (p *parser) object(text []byte, lists, final bool) (int, outcome, error) {
	p.sc.final = final
	p.wrapped, p.wrapping = nil, p.wrapping[:0]
	end, what, err := p.fields(text, lists)
	switch {
	case err != nil:
	case what == isRecord:
		p.finish(text[:end])
	case what == isOther && p.wrapped != nil:
		if err = p.unwrap(); err == nil {
			what = isRecord
		}
	}
	return end, what, err
}

// unwrap parses the record that an answer of LookupEvents holds as a string.
func (p *parser) unwrap() error {
	inner := p.wrapped
	p.unwrapping, p.sc.final = true, true
	end, what, err := p.fields(inner, false)
	p.unwrapping = false
	switch {
	case errors.Is(err, errMore):
		return &errWrapped{"the text ends inside a value"}
	case err != nil:
		return &errWrapped{err.Error()}
	case what != isRecord:
		return &errWrapped{noRecord}
	case len(trimSpace(inner[end:])) > 0:
		return &errWrapped{"text stands behind the record"}
	}
	for _, r := range p.wrapping {
		p.addResource(r.Type, r.Name)
	}
	p.finish(inner[:end])
	return nil
}

// noRecord is why an object is not a record.
const noRecord = "an object with neither eventID nor eventName nor eventSource"

// errWrapped says that CloudTrailEvent does not hold a record; the object
// around it is whole.
type errWrapped struct{ reason string }

func (e *errWrapped) Error() string { return "CloudTrailEvent: " + e.reason }

// fields walks the members of one object.
func (p *parser) fields(text []byte, lists bool) (int, outcome, error) {
	p.reset(text)
	p.sc.reset(text)
	if err := p.sc.step(); err != nil {
		return 0, isOther, err
	}
	for {
		switch p.sc.kind() {
		case '}':
			if err := p.sc.step(); err != nil {
				return 0, isOther, err
			}
			if p.repeated != fOther {
				return p.sc.at(), isOther, errTwice
			}
			return p.sc.at(), p.settle(), nil
		case 0:
			_, err := p.sc.text()
			return 0, isOther, err
		}
		name, err := p.sc.text()
		if err != nil {
			return 0, isOther, err
		}
		if lists && p.list(name) {
			return p.sc.at(), isList, nil
		}
		if err := p.member(fieldOf(name)); err != nil {
			return 0, isOther, err
		}
	}
}

// list says whether the member is a list of records.
func (p *parser) list(name []byte) bool {
	switch string(name) {
	case "Records", "Events":
		return p.sc.kind() == '[' && p.seen&eventFields == 0
	}
	return false
}

// settle says what the members made.
func (p *parser) settle() outcome {
	e := &p.rec.Event
	switch {
	case e.EventID != "" || e.Name != "" || e.Source != "":
		p.derive()
		return isRecord
	case p.other && p.wrapped == nil && p.seen == 0:
		return isCompanion
	}
	return isOther
}

// derive fills what rests on more than one field.
func (p *parser) derive() {
	e := &p.rec.Event
	if !e.Time.Set {
		e.Time = p.at
	}
	if e.Account == "" {
		e.Account = p.userID
	}
	if e.MFA == nil {
		e.MFA = p.mfaUsed
	}
	e.User = userOf(e, p.userName)
}

// finish fills what needs the whole text of the record.
func (p *parser) finish(raw []byte) {
	p.rec.Raw = raw
	sum := sha256.Sum256(raw)
	copy(p.rec.Hash[:], sum[:])
	p.keyIDs(raw)
	if p.rec.Failed() {
		p.rec.Issued, p.rec.Instances = p.rec.Issued[:0], p.rec.Instances[:0]
		return
	}
	if p.issued.KeyID != "" {
		p.rec.Issued = append(p.rec.Issued, p.issued)
	}
	p.launched()
	p.created()
}

// userOf is the Username of LookupEvents.
func userOf(e *evidence.Event, userName string) string {
	switch {
	case userName != "":
		return userName
	case e.PrincipalType == "Root":
		return "root"
	case e.PrincipalType != "AssumedRole" && e.PrincipalType != "FederatedUser":
		return ""
	}
	for i := len(e.ARN) - 1; i >= 0; i-- {
		if e.ARN[i] == '/' {
			return e.ARN[i+1:]
		}
	}
	for i := 0; i < len(e.PrincipalID); i++ {
		if e.PrincipalID[i] == ':' {
			return e.PrincipalID[i+1:]
		}
	}
	return ""
}

func trimSpace(b []byte) []byte {
	for len(b) > 0 && (b[0] == ' ' || b[0] == '\n' || b[0] == '\r' || b[0] == '\t') {
		b = b[1:]
	}
	return b
}
