package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"snapcase/evidence"
	"snapcase/evidence/bundle"
	"snapcase/evidence/custody"
)

func countersignCommand(e *edge) *cobra.Command {
	var key, out string
	o := custody.VerifyOptions{Now: e.now}
	c := &cobra.Command{
		Use:   "countersign BUNDLE --key FILE",
		Short: "Add a second seal to a bundle, by another key",
		Long: "countersign checks the whole bundle, and then signs what its first seal signs: tagmanifest-sha256.txt, in\n" +
			"the namespace snapcase-bundle@v1. Nothing that is sealed changes. A bag folder gets one file more in seal/;\n" +
			"an archive is written anew with one member more, in place or with -o elsewhere. With --signers that name both\n" +
			"keys, snapcase verify then gives assurance A2. A bundle that is broken is not signed: exit code 3.",
		Example: "snapcase custody countersign case.tar.zst --key ~/.ssh/id_ed25519\nsnapcase custody countersign bag/ --key second.pub --signers signers",
		Args:    exactly(1, "one bundle"),
		RunE: func(c *cobra.Command, args []string) error {
			if key == "" {
				return usageOf(c, "--key FILE")
			}
			if !isBundle(args[0]) {
				return evidence.WithHint(fmt.Errorf("countersign %s: it is no bundle", args[0]), "a bundle is made with snapcase bundle CASE -o FILE")
			}
			signer, err := custody.LoadSigner(key)
			if err != nil {
				return err
			}
			p, end := e.progress()
			o.Progress = p
			r, err := bundle.Countersign(c.Context(), args[0], out, signer, o)
			end()
			if err != nil {
				return err
			}
			if e.json {
				return emit(e.stdout, r)
			}
			w := e.out()
			row(w, "bundle", custody.GroupHead(r.ID))
			row(w, "seal  ", r.File, "by "+r.Key)
			row(w, "check ", "snapcase verify "+r.Out+" --signers SIGNERS")
			row(w, "      ", "in the bag: ssh-keygen -Y verify -f SIGNERS -I WHO -n "+custody.BundleNamespace+" -s "+r.File+" < tagmanifest-sha256.txt")
			return w.Flush()
		},
	}
	c.Flags().StringVar(&key, "key", "", "OpenSSH Ed25519 key file, or the public key file of one that ssh-agent holds")
	c.Flags().StringVarP(&out, "out", "o", "", "write the archive here, and leave the old one")
	c.Flags().StringVar(&o.Signers, "signers", "", "OpenSSH allowed_signers file of the keys you trust")
	return c
}
