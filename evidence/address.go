package evidence

import (
	"fmt"
	"strconv"
	"strings"
)

// Address names one file-system entry:
// EX-001/p2/131:7/home/ec2-user/.aws/credentials is exhibit, volume,
// inode:generation, path within the volume.
type Address struct {
	Exhibit    string
	Volume     string // p1, p2, …; p0 for an image without a partition table
	Inode      uint64
	Generation uint32
	Path       string // begins with "/"; raw bytes
}

func (a Address) String() string {
	return a.Exhibit + "/" + a.Volume + "/" + strconv.FormatUint(a.Inode, 10) + ":" +
		strconv.FormatUint(uint64(a.Generation), 10) + a.Path
}

// ParseAddress reads the text form. The path may be missing.
func ParseAddress(s string) (Address, error) {
	bad := func() (Address, error) {
		return Address{}, WithHint(fmt.Errorf("address %q: %w", s, ErrUsage), "an address looks like EX-001/p2/131:7/home/user/file; snapcase files prints them")
	}
	parts := strings.SplitN(s, "/", 4)
	if len(parts) < 3 {
		return bad()
	}
	a := Address{Exhibit: parts[0], Volume: parts[1]}
	if len(parts) == 4 {
		a.Path = "/" + parts[3]
	}
	ino, gen, ok := strings.Cut(parts[2], ":")
	if !ok || !exhibitID.MatchString(a.Exhibit) || a.Volume == "" {
		return bad()
	}
	var err error
	if a.Inode, err = strconv.ParseUint(ino, 10, 64); err != nil {
		return bad()
	}
	g, err := strconv.ParseUint(gen, 10, 32)
	if err != nil {
		return bad()
	}
	a.Generation = uint32(g)
	return a, nil
}

// Record names one record of a log or capture: EX-002/FILE#N is the Nth
// record, from 1, of the named file in the exhibit's files/.
type Record struct {
	Exhibit string
	File    string // relative to files/, slashes, raw bytes
	N       int64
}

func (r Record) String() string { return r.Exhibit + "/" + r.File + "#" + strconv.FormatInt(r.N, 10) }

// MarshalText is the string form.
func (r Record) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText reads the string form.
func (r *Record) UnmarshalText(b []byte) (err error) {
	*r, err = ParseRecord(string(b))
	return err
}

// ParseRecord reads the string form.
func ParseRecord(s string) (Record, error) {
	ex, rest, ok := strings.Cut(s, "/")
	i := strings.LastIndexByte(rest, '#')
	if !ok || i < 0 || !exhibitID.MatchString(ex) {
		return Record{}, WithHint(fmt.Errorf("record %q: %w", s, ErrUsage), "a record looks like EX-002/FILE#12")
	}
	n, err := strconv.ParseInt(rest[i+1:], 10, 64)
	if err != nil || n < 1 {
		return Record{}, WithHint(fmt.Errorf("record %q: %w", s, ErrUsage), "records count from 1")
	}
	return Record{Exhibit: ex, File: rest[:i], N: n}, nil
}
