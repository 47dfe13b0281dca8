package bundle

import (
	"bytes"
	_ "embed"
)

//go:embed VERIFY.sh
var verifyScript []byte

//go:embed README.txt
var readme []byte

// VerifyScript is VERIFY.sh as it goes into every bag: the check of a bag with
// coreutils and OpenSSH alone.
func VerifyScript() []byte { return bytes.Clone(verifyScript) }

// Readme is README.txt as it goes into every bag: what to do with it.
func Readme() []byte { return bytes.Clone(readme) }
