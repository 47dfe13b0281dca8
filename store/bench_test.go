package store

import (
	"fmt"
	"math/rand/v2"
	"os"
	"testing"

	"snapcase/evidence"
)

// BenchmarkIndexEvents derives the index of one CloudTrail exhibit; one
// operation is the whole exhibit. SNAPCASE_TRAIL names a folder to use in place
// of a small one made here.
func BenchmarkIndexEvents(b *testing.B) {
	c := newTestCase(b)
	if dir := os.Getenv("SNAPCASE_TRAIL"); dir != "" {
		bringPath(b, c, evidence.KindCloudTrail, dir)
	} else {
		rnd := rand.New(rand.NewPCG(1, 2))
		bring(b, c, evidence.KindCloudTrail, randomTrail(b, rnd, 50_000, 30, func(i int) string { return fmt.Sprint("e", i) }))
	}
	stats, err := c.Stats(b.Context())
	must(b, err)
	for b.Loop() {
		must(b, ignoreGaps(c.Index(b.Context(), IndexOptions{Rebuild: true}, nil)))
	}
	b.ReportMetric(float64(stats[0].Records)*float64(b.N)/b.Elapsed().Seconds(), "events/s")
}
