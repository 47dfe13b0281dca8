// Command demo makes the raw material of the demonstration case: CloudTrail
// records, flow logs, a mirrored capture, and the files of a disk with the
// debugfs script that lays them out. make.sh runs it and packs the result.
//
// Everything comes from one seed, so two runs give the same bytes. All names,
// keys and addresses are invented; addresses are from the documentation ranges
// and RFC 1918. What was planted is in truth.json and README.md.
package main

import (
	"encoding/base32"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"
)

const (
	account    = "123456789012"
	homeRegion = "eu-central-1"
	newRegion  = "ap-northeast-3"

	officeIP = "192.0.2.10"    // the company's way out
	badIP    = "203.0.113.66"  // where the key was first used from
	badIP2   = "203.0.113.191" // where the session went on from
	peerIP   = "198.51.100.77" // the far end of the ICMP channel
)

// world is the seed's random source and the identities that all parts share.
type world struct {
	rng *rand.ChaCha8
	r   *rand.Rand

	keyID, secret          string            // Marc's key
	session, second, spare string            // keys it led to
	longKeys               map[string]string // of the IAM users that have one, by name
	web                    host              // the machine whose volume is in evidence
	rogue                  host              // what the session started
}

type host struct {
	id, eni, vpc, subnet, private, public, region string
}

func newWorld() *world {
	var seed [32]byte
	copy(seed[:], "snapcase demonstration case, 2026")
	w := &world{rng: rand.NewChaCha8(seed), longKeys: map[string]string{}}
	w.r = rand.New(w.rng) //nolint:gosec // reproducible on purpose
	w.keyID, w.secret = w.key("AKIA"), w.secretKey()
	w.session, w.second, w.spare = w.key("ASIA"), w.key("ASIA"), w.key("ASIA")
	w.web = host{"i-0" + w.hex(16), "eni-0" + w.hex(16), "vpc-0" + w.hex(16), "subnet-0" + w.hex(16), "10.20.1.34", "192.0.2.118", homeRegion}
	w.rogue = host{"i-0" + w.hex(16), "eni-0" + w.hex(16), "vpc-0" + w.hex(16), "subnet-0" + w.hex(16), "172.31.38.114", "192.0.2.199", newRegion}
	return w
}

func (w *world) bytes(n int) []byte {
	b := make([]byte, n)
	w.rng.Read(b) //nolint:errcheck // never fails
	return b
}

// hex is n hexadecimal digits.
func (w *world) hex(n int) string { return hex.EncodeToString(w.bytes((n + 1) / 2))[:n] }

func (w *world) uuid() string {
	b := w.bytes(16)
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// key is a well-formed id: prefix and 16 characters of base32, in which the
// account number stands as AWS writes it.
func (w *world) key(prefix string) string {
	b := w.bytes(10)
	var head [8]byte
	binary.BigEndian.PutUint64(head[:], 1<<47|uint64(123456789012)<<7|uint64(b[5]&0x7f))
	copy(b, head[2:])
	return prefix + base32.StdEncoding.EncodeToString(b)
}

func (w *world) secretKey() string { return base64.StdEncoding.EncodeToString(w.bytes(30)) }

func (w *world) pick(s ...string) string { return s[w.r.IntN(len(s))] }

func at(s string) time.Time {
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		log.Fatal(err)
	}
	return t.UTC()
}

func write(path string, b []byte) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		log.Fatal(err)
	}
	if err := os.WriteFile(path, b, 0o644); err != nil {
		log.Fatal(err)
	}
}

func main() {
	log.SetFlags(0)
	out := flag.String("out", "", "folder for logs/, tree/, disk.debugfs")
	truth := flag.String("truth", "", "file for what was planted")
	flag.Parse()
	if *out == "" || *truth == "" {
		log.Fatal("usage: demo -out DIR -truth FILE")
	}
	w := newWorld()
	facts := map[string]any{
		"account": account, "key_id": w.keyID, "user": "Marc_the_Intern",
		"issued":   []string{w.session, w.second, w.spare},
		"instance": map[string]any{"id": w.rogue.id, "region": newRegion, "private_ip": w.rogue.private, "public_ip": w.rogue.public, "interface": w.rogue.eni},
		"host":     map[string]any{"id": w.web.id, "region": homeRegion, "private_ip": w.web.private, "public_ip": w.web.public, "interface": w.web.eni},
		"peer":     peerIP, "from": []string{badIP, badIP2}, "unused_region": newRegion,
	}
	packets := w.capture(filepath.Join(*out, "logs"), facts)
	w.trail(filepath.Join(*out, "logs", "cloudtrail"), facts)
	w.flows(filepath.Join(*out, "logs", "flowlogs"), packets, facts)
	w.disk(*out, facts)
	b, err := json.MarshalIndent(facts, "", "  ")
	if err != nil {
		log.Fatal(err)
	}
	write(*truth, append(b, '\n'))
}
