package main

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"snapcase/evidence"
	"snapcase/store"
)

func filesCommand(e *edge) *cobra.Command {
	var q store.FileQuery
	c := &cobra.Command{
		Use:   "files CASE",
		Short: "Entries of file systems, deleted ones too",
		Long: "files lists the entries of every file system that was read. --changed keeps those that changed since the\n" +
			"older snapshot of acquire --changed-since: by their blocks (some of the content lies in a block that is not\n" +
			"what it was; a block of 512 KiB holds more than one file, so its neighbours are listed too), or by their own\n" +
			"times (modified, changed, made or deleted after that snapshot was taken; an intruder can set them).",
		Example: "snapcase files case1 --under /home --deleted\nsnapcase files case1 --exhibit EX-002 --changed\nsnapcase files case1 --path '/**/.aws/credentials' --hash --json",
		Args:    exactly(1, "one case or bundle"),
		RunE: func(c *cobra.Command, args []string) error {
			cs, err := e.read(c.Context(), args[0])
			if err != nil {
				return err
			}
			defer cs.Close() //nolint:errcheck // read-only
			w := e.out()
			for f, err := range cs.Files(c.Context(), q) {
				if err != nil {
					return errors.Join(err, w.Flush())
				}
				if e.json {
					if err := emit(w, f); err != nil {
						return err
					}
					continue
				}
				fileText(w, f)
			}
			if err := w.Flush(); err != nil {
				return err
			}
			return e.gaps(c.Context(), cs, q.Exhibit, evidence.KindDisk)
		},
	}
	f := c.Flags()
	f.StringVar(&q.Exhibit, "exhibit", "", "only this exhibit")
	f.StringVar(&q.Volume, "volume", "", "only this volume: p1")
	f.StringVar(&q.Path, "path", "", "glob over the whole path: * ? [..] within a part, ** across parts")
	f.StringVar(&q.Under, "under", "", "this entry and all below it")
	f.StringVar(&q.Name, "name", "", "text within the name")
	f.BoolVar(&q.Deleted, "deleted", false, "only deleted entries and orphans")
	f.BoolVar(&q.Hash, "hash", false, "read regular files and add the SHA-256 of their content, and the hash sets that know it")
	f.StringVar(&q.Known, "known", "", "only files that hash sets know as good or bad, or that none knows: good, bad or unknown")
	f.BoolVar(&q.Changed, "changed", false, "only what changed since the older snapshot of acquire --changed-since, and how that is known")
	f.BoolVar(&q.Attributes, "attributes", false, "add the extended attributes (access control lists, capabilities, labels) and the times of NTFS names")
	return c
}

func fileText(w io.Writer, f evidence.FileEntry) {
	flag := map[string]string{"deleted": "D", "orphan": "O"}[f.Status]
	name := f.Path
	if f.Link != nil {
		name += " -> " + *f.Link
	}
	cells := []string{fmt.Sprintf("%1s", flag), fmt.Sprintf("%-7s", f.Type), fmt.Sprintf("%6s", f.Mode), fmt.Sprintf("%5d %5d", f.UID, f.GID), fmt.Sprintf("%12d", f.Size), fmt.Sprintf("%-30s", stamp(f.Modified))}
	if f.SHA256 != "" {
		cells = append(cells, f.SHA256)
	}
	if len(f.Known) > 0 {
		cells = append(cells, strings.Join(f.Known, ","))
	}
	if s := f.Since; s != nil {
		cells = append(cells, changedText(s))
	}
	if f.Damage != nil {
		cells = append(cells, "!"+*f.Damage)
	}
	cells = append(cells, f.Exhibit+"/"+f.Volume+"/"+fmt.Sprintf("%d:%d", f.Inode, f.Generation)+name)
	row(w, strings.Join(cells[:1], ""), cells[1], cells[2], cells[3], cells[4], cells[5], strings.Join(cells[6:], "  "))
	for _, n := range f.FileNames {
		row(w, "        $FILE_NAME "+n.Name, "modified "+stamp(n.Modified), "accessed "+stamp(n.Accessed), "changed "+stamp(n.Changed), "born "+stamp(n.Born))
	}
	for _, a := range f.Attributes {
		row(w, "        "+a.Name, "= "+attributeText(a))
	}
}

// changedText says in words how it is known that an entry changed.
func changedText(s *evidence.ChangedSince) string {
	switch {
	case s.Block && s.Time:
		return "changed: blocks and times"
	case s.Block:
		return "changed: blocks"
	}
	return "changed: times"
}

// attributeText is the value of an attribute, or what it means.
func attributeText(a evidence.Attribute) string {
	switch {
	case a.Damage != "":
		return "!" + a.Damage
	case a.Text != "":
		return a.Text
	case a.Value != nil:
		return strings.TrimSuffix(*a.Value, "\x00") // labels end in one
	}
	return "base64 " + base64.StdEncoding.EncodeToString(a.ValueB64)
}
