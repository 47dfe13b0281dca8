package digest_test

import (
	"bytes"
	"context"
	"crypto/rsa"
	"io"
	"slices"
	"strings"
	"testing"

	"snapcase/evidence"
	"snapcase/evidence/cloudtrail/digest"
	"snapcase/evidence/cloudtrail/digest/digesttest"
)

// bucket is a made bucket with what it is validated with.
type bucket struct {
	*digesttest.Bucket
	t      testing.TB
	Public []digest.Key
	Status []digest.Status
	Copied bool // the files know no bucket: they were copied to a folder
}

func chain(t testing.TB, hours int) *bucket {
	m := &bucket{Bucket: digesttest.Chain(t, hours), t: t}
	m.Public = []digest.Key{m.KeyOf(m.Key)}
	return m
}

// KeyOf is the public key of k as ListPublicKeys gives it.
func (m *bucket) KeyOf(k *rsa.PrivateKey) digest.Key {
	all, err := digest.ParseKeys(digesttest.Answer(k), "given")
	if err != nil || len(all) != 1 {
		m.t.Fatal(all, err)
	}
	return all[0]
}

// Input is the bucket as it is validated.
func (m *bucket) Input() *digest.Input {
	in := &digest.Input{Keys: m.Public, Status: m.Status}
	keys := make([]string, 0, len(m.Objects))
	for k := range m.Objects {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	for _, k := range keys {
		f := digest.File{Address: "EX-001/" + k, Key: k, Bucket: m.Name, Path: k, Log: true, Metadata: m.Objects[k].Metadata}
		if m.Copied {
			f.Bucket, f.Key = "", "/copied/here/"+k
		}
		in.Files = append(in.Files, f)
		if m.Objects[k].Older != nil {
			f.Older, f.Address, f.Path = true, f.Address+"?versionId=v1", "older:"+k
			in.Files = append(in.Files, f)
		}
	}
	in.Open = func(f *digest.File) (io.ReadCloser, error) {
		if k, ok := strings.CutPrefix(f.Path, "older:"); ok {
			return io.NopCloser(bytes.NewReader(m.Objects[k].Older)), nil
		}
		return io.NopCloser(bytes.NewReader(m.Objects[f.Path].Data)), nil
	}
	return in
}

// Validate validates it.
func (m *bucket) Validate() evidence.TrailValidation {
	v, err := digest.Validate(context.Background(), m.Input())
	if err != nil {
		m.t.Fatal(err)
	}
	return v
}
