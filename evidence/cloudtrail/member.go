package cloudtrail

import "snapcase/evidence"

// field is a member of a record that is read.
type field uint8

const (
	fOther field = iota
	fEventID
	fEventName
	fEventSource
	fEventTime
	fTimestamp
	fRegion
	fSourceIP
	fUserAgent
	fErrorCode
	fErrorMessage
	fRequestID
	fSharedEventID
	fEventType
	fReadOnly
	fAccount
	fIdentity
	fRequest
	fResponse
	fResources
	fAdditional
	fWrapped
	fWrapping
	fCompanion
)

// eventFields are the fields that make an object a record.
const eventFields = 1<<fEventID | 1<<fEventName | 1<<fEventSource

func fieldOf(name []byte) field {
	switch string(name) {
	case "eventID":
		return fEventID
	case "eventName":
		return fEventName
	case "eventSource":
		return fEventSource
	case "eventTime":
		return fEventTime
	case "@timestamp":
		return fTimestamp
	case "awsRegion":
		return fRegion
	case "sourceIPAddress":
		return fSourceIP
	case "userAgent":
		return fUserAgent
	case "errorCode":
		return fErrorCode
	case "errorMessage":
		return fErrorMessage
	case "requestID":
		return fRequestID
	case "sharedEventID":
		return fSharedEventID
	case "eventType":
		return fEventType
	case "readOnly":
		return fReadOnly
	case "recipientAccountId":
		return fAccount
	case "userIdentity":
		return fIdentity
	case "requestParameters":
		return fRequest
	case "responseElements":
		return fResponse
	case "resources":
		return fResources
	case "additionalEventData":
		return fAdditional
	case "CloudTrailEvent":
		return fWrapped
	case "Resources":
		return fWrapping
	case "digestS3Object", "PublicKeyList", "Metadata":
		return fCompanion
	}
	return fOther
}

// member reads the value of one member of a record.
func (p *parser) member(f field) error {
	switch f {
	case fOther:
		return p.sc.skip()
	case fCompanion:
		p.other = true
		return p.sc.skip()
	default:
	}
	if p.seen&(1<<f) != 0 {
		return p.twice(f)
	}
	p.seen |= 1 << f
	switch f {
	case fIdentity:
		return p.identity()
	case fRequest:
		return p.body(&p.req, false)
	case fResponse:
		return p.body(&p.res, true)
	case fResources:
		return p.resources(&p.rec.Event.Resources)
	case fWrapping:
		return p.resources(&p.wrapping)
	case fAdditional:
		return p.additional()
	default:
	}
	if k := p.sc.kind(); k == '{' || k == '[' {
		return p.sc.skip() // a scalar is wanted
	}
	b, err := p.sc.word()
	if err == nil {
		p.scalar(f, b)
	}
	return err
}

// twice passes over the second value of a field, so that the end of the
// record is found, and refuses the record.
func (p *parser) twice(f field) error {
	if p.repeated == fOther {
		p.repeated = f
	}
	return p.sc.skip()
}

func (p *parser) scalar(f field, b []byte) {
	e := &p.rec.Event
	switch f {
	case fEventID:
		e.EventID = string(b)
	case fRequestID:
		e.RequestID = string(b)
	case fEventName:
		e.Name = p.in.get(b)
	case fEventSource:
		e.Source = p.in.get(b)
	case fEventTime:
		e.Time = parseTime(b)
	case fTimestamp:
		p.at = parseTime(b)
	case fRegion:
		e.Region = p.in.get(b)
	case fSourceIP:
		e.SourceIP = p.in.get(b)
	case fUserAgent:
		e.UserAgent = p.in.get(b)
	case fErrorCode:
		e.ErrorCode = p.in.get(b)
	case fErrorMessage:
		e.ErrorMessage = p.in.get(b)
	case fSharedEventID:
		e.SharedEventID = p.in.get(b)
	case fEventType:
		e.Type = p.in.get(b)
	case fAccount:
		e.Account = p.in.get(b)
	case fReadOnly:
		e.ReadOnly = p.truth(b)
	case fWrapped:
		if b != nil && !p.unwrapping {
			p.wrapped = append(p.wrapBuf[:0], b...)
			p.wrapBuf = p.wrapped
		}
	default:
	}
}

// truth is what true, false, Yes and No say; nil for anything else.
func (p *parser) truth(b []byte) *bool {
	switch string(b) {
	case "true", "True", "Yes":
		return &p.yes
	case "false", "False", "No":
		return &p.no
	}
	return nil
}

// object walks the members of an object; what is no object is passed over.
// The name lasts until member reads its value.
func (s *scanner) object(member func(name []byte) error) error {
	if s.kind() != '{' {
		return s.skip()
	}
	if err := s.step(); err != nil {
		return err
	}
	for s.kind() != '}' {
		name, err := s.text()
		if err != nil {
			return err
		}
		if err := member(name); err != nil {
			return err
		}
	}
	return s.step()
}

// array walks the elements of an array; what is no array is passed over.
func (s *scanner) array(element func() error) error {
	if s.kind() != '[' {
		return s.skip()
	}
	if err := s.step(); err != nil {
		return err
	}
	for s.kind() != ']' {
		if err := element(); err != nil {
			return err
		}
	}
	return s.step()
}

// str reads a scalar as an interned string; objects and lists give "".
func (p *parser) str(to *string) error {
	if k := p.sc.kind(); k == '{' || k == '[' {
		return p.sc.skip()
	}
	b, err := p.sc.word()
	if err == nil {
		*to = p.in.get(b)
	}
	return err
}

func (p *parser) identity() error {
	e := &p.rec.Event
	return p.sc.object(func(name []byte) error {
		switch string(name) {
		case "type":
			return p.str(&e.PrincipalType)
		case "principalId":
			return p.str(&e.PrincipalID)
		case "arn":
			return p.str(&e.ARN)
		case "accountId":
			return p.str(&p.userID)
		case "accessKeyId":
			return p.str(&e.AccessKeyID)
		case "userName":
			return p.str(&p.userName)
		case "invokedBy":
			return p.str(&p.rec.InvokedBy)
		case "sessionContext":
			return p.session()
		}
		return p.sc.skip()
	})
}

func (p *parser) session() error {
	e := &p.rec.Event
	return p.sc.object(func(name []byte) error {
		switch string(name) {
		case "sessionIssuer":
			return p.sc.object(func(name []byte) error {
				if string(name) == "arn" {
					return p.str(&e.SessionIssuer)
				}
				return p.sc.skip()
			})
		case "attributes":
			return p.sc.object(func(name []byte) error {
				var s string
				switch string(name) {
				case "creationDate":
					err := p.str(&s)
					p.rec.SessionCreated = parseTime([]byte(s))
					return err
				case "mfaAuthenticated":
					err := p.str(&s)
					e.MFA = p.truth([]byte(s))
					return err
				}
				return p.sc.skip()
			})
		}
		return p.sc.skip()
	})
}

func (p *parser) additional() error {
	return p.sc.object(func(name []byte) error {
		if string(name) != "MFAUsed" {
			return p.sc.skip()
		}
		var s string
		err := p.str(&s)
		p.mfaUsed = p.truth([]byte(s))
		return err
	})
}

// resources reads the list of resources of a record or of an answer of
// LookupEvents.
func (p *parser) resources(to *[]evidence.Resource) error {
	return p.sc.array(func() error {
		var r evidence.Resource
		err := p.sc.object(func(name []byte) error {
			switch string(name) {
			case "ARN", "arn", "ARNPrefix", "ResourceName":
				if r.Name == "" {
					return p.str(&r.Name)
				}
			case "type", "ResourceType":
				return p.str(&r.Type)
			}
			return p.sc.skip()
		})
		switch {
		case err != nil || r.Name == "":
		case to == &p.wrapping:
			p.wrapping = append(p.wrapping, r)
		default:
			p.addResource(r.Type, r.Name)
		}
		return err
	})
}

func (p *parser) addResource(kind, name string) {
	if p.names.add(kind, name) {
		p.rec.Event.Resources = append(p.rec.Event.Resources, evidence.Resource{Type: kind, Name: name})
	}
}
