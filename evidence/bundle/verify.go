package bundle

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"snapcase/evidence"
	"snapcase/evidence/custody"
)

// Verify checks a bag folder or a .tar.zst: container, seal, manifests, ledger,
// checkpoints, and every exhibit against the ledger. It reads once, front to
// back (twice where an archive has its checkpoints after its ledger), stops at
// no failure and writes nothing. The error is for what is no verdict.
func Verify(ctx context.Context, path string, o custody.VerifyOptions) (custody.Report, error) {
	r, err := verify(ctx, path, o)
	if err != nil {
		return r, fmt.Errorf("verify %s: %w", path, err)
	}
	return r, nil
}

func verify(ctx context.Context, path string, o custody.VerifyOptions) (custody.Report, error) {
	s, err := sourceOf(path)
	if err != nil {
		return custody.Report{}, err
	}
	k, err := newCheck(o)
	if err != nil {
		return custody.Report{}, err
	}
	if err := s.each(ctx, k.file(ctx), k.bad); err != nil {
		return custody.Report{}, err
	}
	if k.c.Again() {
		if k, err = newCheck(o); err != nil {
			return custody.Report{}, err
		}
		early := func(name string) bool { return strings.HasPrefix(name, "custody/checkpoints/") }
		first := func(name string, size int64, r io.Reader) error {
			if !early(name) {
				return nil
			}
			return k.file(ctx)(name, size, r)
		}
		if err := s.each(ctx, first, func(finding) {}); err != nil {
			return custody.Report{}, err
		}
		rest := func(name string, size int64, r io.Reader) error {
			if early(name) {
				return nil
			}
			return k.file(ctx)(name, size, r)
		}
		if err := s.each(ctx, rest, k.bad); err != nil {
			return custody.Report{}, err
		}
	}
	return k.finish(), nil
}

// check is the check of one bag.
type check struct {
	c        *custody.Checker
	files    map[string]file
	manifest map[string]string // path → digest
	tags     map[string]string
	haveData bool // manifest-sha256.txt is there
	haveTags bool
	seal     *custody.MessageHashes
	sealID   string
	sigs     map[string][]byte
	info     map[string]string
	cut      bool // the archive could not be read to its end
}

type file struct {
	digest evidence.Digest
	size   int64
}

func newCheck(o custody.VerifyOptions) (*check, error) {
	c, err := custody.NewChecker(o, true)
	if err != nil {
		return nil, err
	}
	return &check{c: c, files: map[string]file{}, manifest: map[string]string{}, tags: map[string]string{}, sigs: map[string][]byte{}, info: map[string]string{}}, nil
}

func (k *check) bad(f finding) {
	k.cut = k.cut || f.code == "ARCHIVE_CORRUPT" || f.code == "ARCHIVE_LIMIT"
	k.c.Fail(f.code, f.path, f.expected, f.found)
}

// file takes the files of the bag one after the other.
func (k *check) file(ctx context.Context) func(string, int64, io.Reader) error {
	return func(name string, _ int64, r io.Reader) error {
		end := func() {}
		lines := func(into map[string]string) io.Writer {
			l := &list{k: k, name: name, into: into}
			end = l.end
			return l
		}
		switch {
		case name == "fetch.txt":
			k.c.Fail("FETCH_TXT_PRESENT", name, "no fetch.txt", "one")
		case name == manifestName:
			k.haveData = true
			r = io.TeeReader(r, lines(k.manifest))
		case name == tagManifestName:
			k.haveTags, k.seal = true, custody.NewMessageHashes()
			r = io.TeeReader(r, io.MultiWriter(k.seal, lines(k.tags)))
		case name == "bag-info.txt" || strings.HasPrefix(name, "seal/"):
			small := &smallBuffer{}
			r = io.TeeReader(r, small)
			end = func() { k.small(name, small.b) }
		}
		d, n, err := k.c.Add(ctx, caseName(name), r)
		if err != nil {
			return err
		}
		end()
		k.files[name] = file{d, n}
		if name == tagManifestName {
			k.sealID = d.String()
		}
		return nil
	}
}

// smallBuffer keeps the beginning of a file that must be small.
type smallBuffer struct{ b []byte }

func (s *smallBuffer) Write(p []byte) (int, error) {
	s.b = append(s.b, p[:min(len(p), maxSmall+1-len(s.b))]...)
	return len(p), nil
}

func (k *check) small(name string, b []byte) {
	if name == "bag-info.txt" {
		for _, line := range strings.Split(string(b), "\n") {
			key, value, ok := strings.Cut(line, ": ")
			if _, twice := k.info[key]; ok && !twice {
				k.info[key] = value
			}
		}
		return
	}
	file := strings.TrimPrefix(name, "seal/")
	base, ts := strings.CutSuffix(file, ".tsr")
	rest, ok := strings.CutPrefix(base, tagManifestName+".")
	key16, isSig := strings.CutSuffix(rest, ".sig")
	switch {
	case !ok || !isSig || strings.Contains(key16, "/"):
		k.c.Fail("FILE_UNLISTED", name, "signatures of "+tagManifestName, "another file")
	case ts:
		k.sigs[name] = nil
	default:
		k.sigs[name] = b
	}
}

// list takes the lines of a manifest as they are written to it.
type list struct {
	k    *check
	name string
	into map[string]string
	line []byte
	n    int64
	over bool // a line is far too long: the rest is not taken
}

func (l *list) Write(p []byte) (int, error) {
	const longest = 16 << 10
	for rest := p; len(rest) > 0 && !l.over; {
		line, after, ended := bytes.Cut(rest, []byte("\n"))
		if l.line = append(l.line, line[:min(len(line), longest+1-len(l.line))]...); len(l.line) > longest {
			l.over = true
			l.k.c.Fail("MANIFEST_SYNTAX", l.name, "<sha256>  <path>", fmt.Sprintf("line %d is too long", l.n+1))
			break
		}
		if ended {
			l.n++
			l.k.line(l.name, l.into, l.n, string(l.line))
			l.line = l.line[:0]
		}
		rest = after
	}
	return len(p), nil
}

func (l *list) end() {
	if len(l.line) > 0 && !l.over {
		l.k.c.Fail("MANIFEST_SYNTAX", l.name, "lines ended by LF", fmt.Sprintf("line %d has no end", l.n+1))
	}
}

func (k *check) line(name string, into map[string]string, n int64, line string) {
	sum, p, code := custody.ParseManifestLine(line)
	where := fmt.Sprintf("line %d: %.200q", n, line)
	switch {
	case code != "":
		k.c.Fail(code, name, "<sha256>  <path>", where)
	case strings.HasPrefix(p, "data/") != (name == manifestName):
		k.c.Fail("MANIFEST_SYNTAX", name, "payload in manifest-sha256.txt, all else in tagmanifest-sha256.txt", where)
	case into[p] != "":
		k.c.Fail("MANIFEST_DUPLICATE", name, "each path once", where)
	default:
		into[p] = sum
	}
}

// finish compares what was found with the lists, and gives the report.
func (k *check) finish() custody.Report {
	if !k.haveData && !k.cut {
		k.c.Fail("MANIFEST_MISSING", manifestName, "the list of the payload", "no such file")
	}
	if !k.haveTags && !k.cut {
		k.c.Fail("TAGMANIFEST_MISSING", tagManifestName, "the list of all else", "no such file")
	}
	k.compare()
	k.oxum()
	k.seals()
	if n, err := strconv.Atoi(k.info["Snapcase-Gaps"]); err == nil {
		k.c.DeclareGaps(n)
	}
	k.c.ExpectCase(k.info["External-Identifier"])
	if of := k.info["Redaction-Of"]; of != "" {
		k.c.Note("it is a redaction of bundle %.64s", of)
	}
	r := k.c.Finish()
	r.Bundle = k.sealID
	return r
}

// compare holds every file against its line, and every line against its file.
func (k *check) compare() {
	names := make([]string, 0, len(k.files))
	for name := range k.files {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		if strings.HasPrefix(name, "seal/") || name == tagManifestName || name == "fetch.txt" {
			continue
		}
		list, have := k.tags, k.haveTags
		if strings.HasPrefix(name, "data/") {
			list, have = k.manifest, k.haveData
		}
		want := list[name]
		switch got := k.files[name].digest.String(); {
		case !have:
		case want == "":
			k.c.Fail("FILE_UNLISTED", name, "files that a manifest lists", "another file")
		case want != got:
			k.c.Mismatch(caseName(name), name, want, got)
		}
	}
	for _, list := range []map[string]string{k.manifest, k.tags} {
		for name, want := range list {
			if _, there := k.files[name]; there || k.cut {
				continue
			}
			k.c.Expect(caseName(name))
			k.c.Fail("FILE_MISSING", name, want, "no such file")
		}
	}
}

func (k *check) oxum() {
	if k.cut {
		return
	}
	var size, files int64
	for name, f := range k.files {
		if strings.HasPrefix(name, "data/") {
			size += f.size
			files++
		}
	}
	if want, got := k.info["Payload-Oxum"], fmt.Sprintf("%d.%d", size, files); want != got {
		k.c.Fail("OXUM_MISMATCH", "bag-info.txt", want, got)
	}
}

// seals checks the signatures over the tag manifest.
func (k *check) seals() {
	names := make([]string, 0, len(k.sigs))
	for name := range k.sigs {
		names = append(names, name)
	}
	slices.Sort(names)
	var held []custody.Vouch
	n := 0
	for _, name := range names {
		if base, ts := strings.CutSuffix(name, ".tsr"); ts {
			if _, there := k.sigs[base]; !there {
				k.c.Fail("FILE_UNLISTED", name, "the signature that it stamps", "none")
			}
			k.c.Note("a time stamp that is not checked: %s; the assurance stays below A3", name)
			continue
		}
		n++
		if k.seal == nil {
			continue
		}
		key16 := strings.TrimSuffix(strings.TrimPrefix(name, "seal/"+tagManifestName+"."), ".sig")
		if v, ok := k.c.Signature(name, key16, k.sigs[name], k.seal, custody.BundleNamespace); ok {
			held = append(held, v)
		}
	}
	if n == 0 && !k.cut {
		k.c.Fail("SEAL_MISSING", "seal/", "a signature of "+tagManifestName, "none")
	}
	k.c.Seal(held)
}
