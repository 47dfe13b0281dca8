package netcap

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// judgeFile judges one capture and collects the names it asks for.
func judgeFile(t testing.TB, path string) (frames int64, pairs []Pair, names []string, vnis map[uint32]int64) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var j Judge
	vnis = map[uint32]int64{}
	for r, err := range Read(f) {
		if err != nil {
			t.Errorf("%s: %v", path, err)
			continue
		}
		frames++
		j.Add(&r, 0)
		for _, v := range r.VNIs {
			vnis[v]++
		}
		if r.DNS != nil {
			names = append(names, r.DNS.Name)
		}
		names = append(names, r.SNI, r.Host)
	}
	return frames, j.Pairs(), names, vnis
}

// TestTruth compares captures with the truth that was written beside them.
func TestTruth(t *testing.T) {
	captures(t)
	dir := os.Getenv("SNAPCASE_CORPUS")
	text, err := os.ReadFile(filepath.Join(dir, "PCAP.json"))
	if errors.Is(err, os.ErrNotExist) {
		t.Skip("no PCAP.json in SNAPCASE_CORPUS")
	}
	var truth map[string]struct {
		Frames int64
		VNIs   map[string]int64
		Hosts  []string
		Pairs  []struct {
			Client, Server    string
			Requests, Replies int64
			PayloadBytes      int64 `json:"payload_bytes"`
			Class             string
		}
	}
	if err := json.Unmarshal(text, &truth); err != nil {
		t.Fatal(err)
	}
	for name, want := range truth {
		frames, pairs, names, _ := judgeFile(t, filepath.Join(dir, "pcap", name))
		if frames != want.Frames {
			t.Errorf("%s: %d frames, want %d", name, frames, want.Frames)
		}
		for _, h := range want.Hosts {
			if !slices.Contains(names, h) {
				t.Errorf("%s: no name %s", name, h)
			}
		}
		for _, w := range want.Pairs {
			i := slices.IndexFunc(pairs, func(p Pair) bool {
				a, b := p.Local.String(), p.Peer.String()
				return a == w.Client && b == w.Server || b == w.Client && a == w.Server
			})
			if i < 0 {
				t.Errorf("%s: no pair %s %s", name, w.Client, w.Server)
				continue
			}
			p := pairs[i]
			if p.Requests != w.Requests || p.Replies != w.Replies || p.PayloadBytes != w.PayloadBytes || p.Verdict != w.Class {
				t.Errorf("%s: got %+v, want %+v", name, p, w)
			}
			t.Logf("%s %s>%s %.2f %s %q", name, w.Client, w.Server, p.Entropy, p.Verdict, p.Reasons)
		}
		if len(pairs) != len(want.Pairs) {
			t.Errorf("%s: %d pairs, want %d", name, len(pairs), len(want.Pairs))
		}
	}
}

// TestRealPings: what the public captures hold of pings is no tunnel.
func TestRealPings(t *testing.T) {
	for _, path := range captures(t) {
		if filepath.Base(filepath.Dir(path)) == "pcap" {
			continue // made ones
		}
		_, pairs, _, _ := judgeFile(t, path)
		for _, p := range pairs {
			t.Logf("%s %s %s: %d %d %d %.2f %s %q", filepath.Base(path), p.Local, p.Peer, p.Requests, p.Replies, p.PayloadBytes, p.Entropy, p.Verdict, p.Reasons)
			if p.Verdict == Tunnel {
				t.Errorf("%s: %+v", path, p)
			}
		}
	}
}
