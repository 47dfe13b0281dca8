package report

import (
	"os"
	"path/filepath"
	"testing"
)

func TestLook(t *testing.T) {
	if d := os.Getenv("REPORT_LOOK"); d != "" {
		if err := Write(t.Context(), filepath.Join(d), sample()); err != nil {
			t.Fatal(err)
		}
	}
}
