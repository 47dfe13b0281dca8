package inside

import (
	"context"
	"testing"

	"snapcase/imaging/filesystem/fstest"
)

// BenchmarkWalk decodes what a rotated log of 2 MB gives in each packing, and
// looks for base64 in it as it is.
func BenchmarkWalk(b *testing.B) {
	long := text(2_000_000)
	for name, s := range map[string]string{"plain": long, "gzip": gz(long), "zstd": zst(long), "xz": xzed(long), "lz4": lz4ed(long), "tar": tarOf("a", long), "tar.gz": gz(tarOf("a", long)), "small gzip": gz("hello"), "small zip": made("echo a > a; zip -q x.zip a; mv x.zip out")} {
		b.Run(name, func(b *testing.B) {
			d := NewDecoder(NewBudget(1 << 60))
			src := fstest.Bytes([]byte(s))
			if len(name) < 6 || name[:5] != "small" {
				b.SetBytes(int64(len(long)))
			}
			for b.Loop() {
				if err := d.Walk(context.Background(), src, &counted{}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
