package store

import (
	"bufio"
	"compress/gzip"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"snapcase/evidence"
)

// writeFlows makes files of a flow log of 40 interfaces, five minutes each, of
// n records together, and gives their folder.
func writeFlows(t testing.TB, n, files int) string {
	t.Helper()
	dir := t.TempDir()
	r := rand.New(rand.NewPCG(1, 2))
	for f := range files {
		name := fmt.Sprintf("111122223333_vpcflowlogs_us-east-1_fl-0aaaaaaaaaaaaaaaa_20260101T%02d%02dZ_%08x.log.gz", f*5/60, f*5%60, f)
		out, err := os.Create(filepath.Join(dir, name))
		must(t, err)
		z, err := gzip.NewWriterLevel(out, gzip.BestSpeed)
		must(t, err)
		w := bufio.NewWriter(z)
		fmt.Fprintln(w, "version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes start end action log-status")
		for range n / files {
			i, peer := r.IntN(40), r.IntN(r.IntN(5000)+1) // some peers come often
			a, b := fmt.Sprintf("10.0.0.%d", i+4), fmt.Sprintf("198.51.%d.%d", peer/250, peer%250+1)
			pa, pb := 1024+r.IntN(60000), []int{443, 443, 22, 53, 3333}[r.IntN(5)]
			if r.IntN(2) == 0 {
				a, b, pa, pb = b, a, pb, pa
			}
			start := 1767225600 + f*300 + r.IntN(300)
			action := "ACCEPT"
			if r.IntN(20) == 0 {
				action = "REJECT"
			}
			fmt.Fprintf(w, "2 111122223333 eni-0%015x %s %s %d %d 6 %d %d %d %d %s OK\n", i, a, b, pa, pb, r.IntN(100)+1, r.IntN(100000)+40, start, start+59, action)
		}
		must(t, w.Flush())
		must(t, z.Close())
		must(t, out.Close())
	}
	return dir
}

// BenchmarkIndexFlows derives the index of a million flow records.
func BenchmarkIndexFlows(b *testing.B) {
	dir := writeFlows(b, 1_000_000, 20)
	if keep := os.Getenv("SNAPCASE_KEEP"); keep != "" {
		must(b, os.CopyFS(keep, os.DirFS(dir)))
	}
	c := newTestCase(b)
	_, err := c.Acquire(b.Context(), AcquireRequest{Source: dir, Kind: evidence.KindFlowLog, NoIndex: true}, nil)
	must(b, err)
	for b.Loop() {
		must(b, c.Index(b.Context(), IndexOptions{Rebuild: true}, nil))
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	b.ReportMetric(float64(m.Sys)/(1<<20), "MB-held")
	b.ReportMetric(1e6*float64(b.N)/b.Elapsed().Seconds(), "records/s")
}
