package digest

import (
	"path"
	"regexp"
	"slices"
	"strings"
	"time"
)

// File is a file of the evidence.
type File struct {
	Address string // EX-001/NAME, for people
	// Key is the whole key in Bucket; with an empty Bucket it is the path at the
	// source, of which only what follows AWSLogs/ is compared.
	Key    string
	Bucket string
	// Older is a version that another one of the same key hides: it is no part of
	// what is validated, and may show what was there before.
	Older bool
	// Log says that the file is of an exhibit of logs.
	Log bool
	// Metadata is the user's own of the object, names in lower case.
	Metadata map[string]string
	// Path is for Input.Open.
	Path string
}

// tail is the part of a key that does not depend on where a bucket was copied
// to: from its last AWSLogs/ on, else its last part.
func tail(key string) string {
	const mark = "AWSLogs/"
	for at := len(key); ; {
		at = strings.LastIndex(key[:at], mark)
		if at < 0 {
			return path.Base(key)
		}
		if at == 0 || key[at-1] == '/' {
			return key[at:]
		}
	}
}

// at says whether f lies where an object of a bucket should.
func (f *File) at(bucket, object string) bool {
	if f.Bucket != "" {
		return f.Bucket == bucket && f.Key == object
	}
	own := tail(f.Key)
	return own == tail(object) || own == path.Base(object)
}

// index finds files by where they lie.
type index struct{ now, older places }

// places are files by bucket and key, and those that were copied to folders by
// the tails of their paths.
type places struct{ exact, tails map[string][]*File }

func newIndex(files []File) *index {
	x := &index{newPlaces(), newPlaces()}
	for i := range files {
		f, to := &files[i], x.now
		if f.Older {
			to = x.older
		}
		if f.Bucket != "" {
			k := f.Bucket + "\x00" + f.Key
			to.exact[k] = append(to.exact[k], f)
			continue
		}
		to.tails[tail(f.Key)] = append(to.tails[tail(f.Key)], f)
	}
	return x
}

func newPlaces() places { return places{map[string][]*File{}, map[string][]*File{}} }

// find gives every file that lies where an object should. Of what was copied to
// folders, those count that lie below the same prefix, where some do.
func (p places) find(bucket, object string) []*File {
	all := slices.Clone(p.exact[bucket+"\x00"+object])
	var same, loose []*File
	take := func(name string) {
		for _, f := range p.tails[name] {
			if f.Key == object || strings.HasSuffix(f.Key, "/"+object) {
				same = append(same, f)
			} else {
				loose = append(loose, f)
			}
		}
	}
	take(tail(object))
	if base := path.Base(object); base != tail(object) {
		take(base)
	}
	if len(same) > 0 {
		return append(all, same...)
	}
	return append(all, loose...)
}

var (
	digestName = regexp.MustCompile(`^([0-9]{12})_CloudTrail-Digest_([a-z0-9-]+)_(.+)_([a-z0-9-]+)_([0-9]{8}T[0-9]{6}Z)(_backfill)?\.json\.gz$`)
	logName    = regexp.MustCompile(`^([0-9]{12})_CloudTrail_([a-z0-9-]+)_([0-9]{8}T[0-9]{4}Z)_[^/]*\.json\.gz$`)
	orgPart    = regexp.MustCompile(`(?:^|/)AWSLogs/(o-[a-z0-9]+)/`)
)

// IsDigest says by its name that a file is a digest.
func IsDigest(name string) bool {
	base := path.Base(name)
	return strings.Contains(base, "_CloudTrail-Digest_") && strings.HasSuffix(base, ".gz")
}

// chainID is a chain of digests.
type chainID struct {
	area
	trail, home string
	backfill    bool
}

// area is where logs are delivered to.
type area struct{ org, account, region string }

// slot is what the key of a digest says.
type slot struct {
	chainID
	end time.Time
}

func organizationOf(key string) string {
	if m := orgPart.FindStringSubmatch(key); m != nil {
		return m[1]
	}
	return ""
}

// slotOf reads the key of a digest.
func slotOf(key string) (slot, bool) {
	m := digestName.FindStringSubmatch(path.Base(key))
	if m == nil {
		return slot{}, false
	}
	end, err := time.Parse("20060102T150405Z", m[5])
	return slot{chainID{area{organizationOf(key), m[1], m[2]}, m[3], m[4], m[6] != ""}, end}, err == nil
}

// logPlace reads the key of a log: where and in which minute it was delivered.
func logPlace(key string) (a area, t time.Time, ok bool) {
	m := logName.FindStringSubmatch(path.Base(key))
	if m == nil {
		return area{}, time.Time{}, false
	}
	t, err := time.Parse("20060102T1504Z", m[3])
	return area{organizationOf(key), m[1], m[2]}, t, err == nil
}

// sibling is the key that the digest of the same chain has that ends at t.
func sibling(object string, t time.Time) string {
	m := digestName.FindStringSubmatchIndex(path.Base(object))
	if m == nil {
		return ""
	}
	base, dir := path.Base(object), path.Dir(object)
	for range 3 { // the day, the month, the year
		dir = path.Dir(dir)
	}
	return path.Join(dir, t.Format("2006/01/02"), base[:m[10]]+t.Format("20060102T150405Z")+base[m[11]:])
}
