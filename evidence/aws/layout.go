package aws

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Selection says which logs of a bucket are wanted, by the layout in which AWS
// delivers them:
//
//	[prefix/]AWSLogs/[o-abc123/]111122223333/CloudTrail/eu-west-1/2026/11/20/…
//
// What is empty or zero selects nothing. Where anything is set, objects that do
// not lie in this layout are left out. Days are whole: a file lies in the folder
// of the day on which it was delivered, up to two hours after what it tells of.
type Selection struct {
	Accounts []string
	Regions  []string
	From, To time.Time
}

// late is how long after an event its file may be delivered.
const late = 2 * time.Hour

// Empty says that everything is wanted.
func (s *Selection) Empty() bool {
	return len(s.Accounts) == 0 && len(s.Regions) == 0 && s.From.IsZero() && s.To.IsZero()
}

// String says what is wanted, "" for everything.
func (s *Selection) String() string {
	var all []string
	if len(s.Accounts) > 0 {
		all = append(all, "accounts "+strings.Join(s.Accounts, ", "))
	}
	if len(s.Regions) > 0 {
		all = append(all, "regions "+strings.Join(s.Regions, ", "))
	}
	if !s.From.IsZero() {
		all = append(all, "from "+s.From.UTC().Format(time.RFC3339))
	}
	if !s.To.IsZero() {
		all = append(all, "to "+s.To.UTC().Format(time.RFC3339))
	}
	return strings.Join(all, "; ")
}

// logPlace is what the key of a log, or the beginning of one, says of it.
type logPlace struct {
	found                    bool // AWSLogs is in it
	account, service, region string
	day                      time.Time // zero where it is not known
	odd                      bool      // it does not lie in the layout
	whole                    bool      // the day is known, or nothing more will be
}

var (
	organization = regexp.MustCompile(`^o-[a-z0-9]{10,32}$`)
	accountID    = regexp.MustCompile(`^[0-9]{12}$`)
	regionName   = regexp.MustCompile(`^[a-z]{2,4}(-[a-z]+)+-[0-9]$`)
)

// placeOf takes a key apart. Only whole parts, which end in a slash, are looked
// at.
func placeOf(key string) (p logPlace) {
	parts := strings.Split(key, "/")
	parts = parts[:len(parts)-1]
	at := slices.Index(parts, "AWSLogs")
	if at < 0 {
		return p
	}
	p.found = true
	parts = parts[at+1:]
	if len(parts) > 0 && organization.MatchString(parts[0]) {
		parts = parts[1:]
	}
	for i, want := range []struct {
		to *string
		is *regexp.Regexp
	}{{&p.account, accountID}, {&p.service, nil}, {&p.region, regionName}} {
		if i >= len(parts) {
			return p
		}
		if *want.to = parts[i]; want.is != nil && !want.is.MatchString(parts[i]) {
			p.odd = true
			return p
		}
	}
	if len(parts) >= 6 {
		var err error
		p.day, err = time.Parse("2006/01/02", strings.Join(parts[3:6], "/"))
		p.odd, p.whole = err != nil, err == nil
	}
	return p
}

// wants says whether a key is wanted, or what lies below a prefix may be.
func (s *Selection) wants(key string) bool {
	if s.Empty() {
		return true
	}
	p := placeOf(key)
	folder := strings.HasSuffix(key, "/")
	switch {
	case p.odd:
		return false
	case !folder && (!p.found || !p.whole && (p.region == "" || !s.From.IsZero() || !s.To.IsZero())):
		return false
	case p.account != "" && len(s.Accounts) > 0 && !slices.Contains(s.Accounts, p.account),
		p.region != "" && len(s.Regions) > 0 && !slices.Contains(s.Regions, p.region),
		p.whole && !s.From.IsZero() && p.day.Before(day(s.From)),
		p.whole && !s.To.IsZero() && p.day.After(day(s.To.Add(late))):
		return false
	}
	return true
}

func day(t time.Time) time.Time { return t.UTC().Truncate(24 * time.Hour) }

// deeper says that what lies below a prefix must be looked at folder by folder.
func (s *Selection) deeper(prefix string) bool {
	return !s.Empty() && !placeOf(prefix).whole
}

// Check refuses what no key can match.
func (s *Selection) Check() error {
	for _, a := range s.Accounts {
		if !accountID.MatchString(a) {
			return fmt.Errorf("account %q: want twelve digits", a)
		}
	}
	for _, r := range s.Regions {
		if !regionName.MatchString(r) {
			return fmt.Errorf("region %q: want one like eu-west-1", r)
		}
	}
	if !s.From.IsZero() && !s.To.IsZero() && s.To.Before(s.From) {
		return fmt.Errorf("the end %s lies before the start %s", s.To.UTC().Format(time.RFC3339), s.From.UTC().Format(time.RFC3339))
	}
	return nil
}
