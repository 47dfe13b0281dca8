package store

import (
	"fmt"

	"snapcase/evidence"
	"snapcase/evidence/credential"
)

// noSecret refuses words of the examiner that hold a secret: the ledger keeps
// them for good, and no bundle can be made of a ledger that holds one.
func noSecret(words ...string) error {
	for _, w := range words {
		if len(credential.Secrets([]byte(w))) > 0 {
			return evidence.WithHint(fmt.Errorf("the text holds what looks like a secret: %w", evidence.ErrUsage),
				"the ledger keeps what is written for good: leave the secret out; snapcase keys gives its fingerprint")
		}
	}
	return nil
}
