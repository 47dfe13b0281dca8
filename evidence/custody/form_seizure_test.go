package custody

import (
	"regexp"
	"testing"

	"snapcase/imaging"
)

// TestFormSaysNothingOfSeizure leaves the lines on the seizure to the hand: an
// acquisition shows when and on which host a copy was made, and no more.
func TestFormSaysNothingOfSeizure(t *testing.T) {
	form := Form([]Record{{Type: "evidence.acquire.start", Exhibit: "EX-001", Host: "lab-7", Time: imaging.Time{Sec: 1767225600, Set: true}}})
	for _, want := range []string{`date of seizure\s+_+\n`, `place of seizure\s+_+\n`, `first acquired\s+2026-01-01T00:00:00Z\n`, `acquired on\s+lab-7\n`} {
		if !regexp.MustCompile(want).MatchString(form) {
			t.Errorf("no line like %s in\n%s", want, form)
		}
	}
}
