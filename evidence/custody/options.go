package custody

import "time"

// Options say who acts on a ledger and with what. Clocks and signer are
// parameters so that tests control them.
type Options struct {
	Actor  string
	Signer Signer // nil: records can be read, none appended
	Tool   Tool
	Binary func() (string, error) // gives Tool.SHA256 before the first record, where that is ""; nil: it stays unknown
	Host   string
	Now    func() time.Time             // wall clock; needed to append
	Boot   func() (id string, ns int64) // boot id and CLOCK_BOOTTIME; nil: SystemBoot
}

// Signer makes SSHSIG signatures; the key itself stays with it.
type Signer interface {
	// PublicKey is the wire form of the public key.
	PublicKey() []byte
	// Sign signs message in namespace and returns the armored SSHSIG.
	Sign(message []byte, namespace string) ([]byte, error)
}
