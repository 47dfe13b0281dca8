package flowlog

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strings"
	"testing"

	"github.com/klauspost/compress/gzip"
)

// awkProgram sums by the header, as an examiner would on a command line.
const awkProgram = `
$1 ~ /^[a-z]/ && /srcaddr/ { split("", col); for (i = 1; i <= NF; i++) col[$i] = i; next }
NF { n++; s = $col["log-status"]; status[s]++
  if (s == "OK") { k = $col["srcaddr"] " " $col["dstaddr"] " " $col["protocol"] " " $col["action"]
    pk[k] += $col["packets"]; by[k] += $col["bytes"]; t[k] += $col["end"] - $col["start"]; p[k] += $col["srcport"] + $col["dstport"] } }
END { printf "records %d\n", n; for (s in status) printf "status %s %d\n", s, status[s]
  for (k in pk) printf "%s %.0f %.0f %.0f %.0f\n", k, pk[k], by[k], t[k], p[k] }`

// sums are the same figures by this package.
func sums(t *testing.T, r io.Reader, add map[string][4]int64, counts map[string]int) {
	t.Helper()
	for r, err := range Read(r) {
		if err != nil {
			t.Fatal(err)
		}
		counts["records"]++
		counts["status "+r.Status]++
		if r.Status != "OK" {
			continue
		}
		k := fmt.Sprintf("%s %s %d %s", r.Src, r.Dst, r.Protocol, r.Action)
		v := add[k]
		add[k] = [4]int64{v[0] + r.Packets, v[1] + r.Bytes, v[2] + r.End.Sec - r.Start.Sec, v[3] + r.SrcPort + r.DstPort}
	}
}

func figures(add map[string][4]int64, counts map[string]int) []string {
	var out []string
	for k, v := range add {
		out = append(out, fmt.Sprintf("%s %d %d %d %d", k, v[0], v[1], v[2], v[3]))
	}
	for k, n := range counts {
		out = append(out, fmt.Sprintf("%s %d", k, n))
	}
	sort.Strings(out)
	return out
}

func awk(t *testing.T, text io.Reader) []string {
	t.Helper()
	path, err := exec.LookPath("awk")
	if err != nil {
		t.Skip("needs awk")
	}
	cmd := exec.Command(path, awkProgram)
	cmd.Stdin = text
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	sort.Strings(lines)
	return lines
}

func compare(t *testing.T, ours, theirs []string) {
	t.Helper()
	if len(ours) != len(theirs) {
		t.Fatalf("%d figures, awk has %d", len(ours), len(theirs))
	}
	for i := range ours {
		if ours[i] != theirs[i] {
			t.Errorf("we have %q, awk has %q", ours[i], theirs[i])
		}
	}
}

// A made log of 20,000 lines in changing formats, summed by awk and by us.
func TestAwkAgrees(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 11)) //nolint:gosec // the test wants the same log every time
	var text bytes.Buffer
	names := strings.Fields(v5Format)
	for i := range 20_000 {
		if i%997 == 0 {
			rng.Shuffle(len(names), func(a, b int) { names[a], names[b] = names[b], names[a] })
			text.WriteString(strings.Join(names, " ") + "\n")
		}
		v := madeFlow(rng)
		for j, name := range names {
			if j > 0 {
				text.WriteByte(' ')
			}
			if v[name] == "" {
				v[name] = "-"
			}
			text.WriteString(v[name])
		}
		text.WriteString("\n")
	}
	add, counts := map[string][4]int64{}, map[string]int{}
	sums(t, bytes.NewReader(pack(t, text.String())), add, counts)
	compare(t, figures(add, counts), awk(t, &text))
}

func madeFlow(rng *rand.Rand) map[string]string {
	addr := func() string {
		if rng.IntN(4) == 0 {
			return fmt.Sprintf("2001:db8::%x", 1+rng.IntN(20))
		}
		return fmt.Sprintf("10.%d.0.%d", rng.IntN(3), rng.IntN(6))
	}
	begin := 1_700_000_000 + rng.IntN(100_000)
	v := map[string]string{
		"version": "5", "account-id": "123456789010", "interface-id": fmt.Sprintf("eni-%x", rng.IntN(9)),
		"start": fmt.Sprint(begin), "end": fmt.Sprint(begin + rng.IntN(600)), "log-status": "OK",
	}
	switch rng.IntN(50) {
	case 0:
		v["log-status"] = "NODATA"
		return v
	case 1:
		v["log-status"] = "SKIPDATA"
		return v
	}
	v["srcaddr"], v["dstaddr"] = addr(), addr()
	v["srcport"], v["dstport"] = fmt.Sprint(rng.IntN(65536)), fmt.Sprint(rng.IntN(65536))
	v["protocol"] = []string{"1", "6", "17"}[rng.IntN(3)]
	v["action"] = []string{"ACCEPT", "REJECT"}[rng.IntN(2)]
	v["packets"], v["bytes"] = fmt.Sprint(rng.IntN(10_000)), fmt.Sprint(rng.IntN(1<<40))
	v["type"], v["traffic-path"] = "IPv4", fmt.Sprint(rng.IntN(9))
	return v
}

// Large generated logs, where a folder of them is named.
func TestAwkAgreesOnFiles(t *testing.T) {
	dir := os.Getenv("SNAPCASE_BENCH_FLOWS")
	if dir == "" {
		t.Skip("needs SNAPCASE_BENCH_FLOWS, a folder of flow logs")
	}
	add, counts := map[string][4]int64{}, map[string]int{}
	files := 0
	pr, pw := io.Pipe()
	go func() {
		eachFile(t, dir, func(path string, f *os.File) {
			z, err := gzip.NewReader(f)
			if err == nil {
				_, err = io.Copy(pw, z)
			}
			if err != nil {
				t.Errorf("%s: %v", filepath.Base(path), err)
			}
		})
		pw.Close()
	}()
	theirs := awk(t, pr)
	eachFile(t, dir, func(_ string, f *os.File) {
		files++
		sums(t, f, add, counts)
	})
	t.Logf("%d files, %d records", files, counts["records"])
	compare(t, figures(add, counts), theirs)
}
