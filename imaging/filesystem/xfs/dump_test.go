package xfs

import (
	"context"
	"fmt"
	"os"
	"testing"

	"snapcase/imaging/filesystem/fstest"
)

func TestDump(t *testing.T) {
	p := os.Getenv("DUMP")
	if p == "" {
		t.Skip()
	}
	fs, err := Open(fstest.File(t, p))
	if err != nil {
		t.Fatal(err)
	}
	fmt.Printf("%+v\n", fs.Info())
	for e, err := range fs.Walk(context.Background()) {
		fmt.Printf("%s %d/%d %q %s %o sz=%d l=%d m=%s d=%s link=%q from=%s DMG=%s first=%d %v\n", e.Status, e.Ref.Inode, e.Ref.Generation, e.Path, e.Type, e.Mode, e.Size, e.Links, e.Modified, e.Deleted, e.Link, e.From, e.Damage, e.First, err)
	}
}
