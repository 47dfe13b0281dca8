package fstest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"snapcase/imaging/filesystem"

	"golang.org/x/sys/unix"
)

// FillAttributes gives files in the folder dir of a mounted volume extended
// attributes of every namespace: no more than few of them in the inode, then
// enough for blocks and trees, up to many of them and values of big bytes. What
// the volume has no room for is left out.
func FillAttributes(t testing.TB, dir string, many, big int) {
	t.Helper()
	set, refused := 0, 0
	put := func(path, name string, value []byte) {
		switch err := unix.Lsetxattr(path, name, value, 0); {
		case err == nil:
			set++
		case errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.E2BIG) || errors.Is(err, unix.ERANGE) || errors.Is(err, unix.EOPNOTSUPP):
			refused++
		default:
			t.Fatalf("set %s of %s: %v", name, path, err)
		}
	}
	file := func(name string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(name), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	file("none")
	few := file("few")
	put(few, "user.a", []byte("b"))
	put(few, "user.empty", nil)
	put(few, "trusted.overlay.opaque", []byte("y"))
	put(few, "security.selinux", []byte("system_u:object_r:etc_t:s0\x00"))
	put(few, filesystem.Capability, []byte("\x01\x00\x00\x02\x00\x24\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"))
	put(few, "user.\xff\x1b[2J\n", []byte{0, 1, 2, 0xff})
	list := []filesystem.ACLEntry{
		{Tag: 1, Perm: 6, ID: filesystem.NoID},
		{Tag: 2, Perm: 7, ID: 1001},
		{Tag: 4, Perm: 4, ID: filesystem.NoID},
		{Tag: 8, Perm: 5, ID: 70000},
		{Tag: 16, Perm: 7, ID: filesystem.NoID},
		{Tag: 32, ID: filesystem.NoID},
	}
	put(file("acl"), filesystem.ACLAccess, filesystem.ACLValue(list))
	folder := filepath.Join(dir, "folder")
	if err := os.Mkdir(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	put(folder, filesystem.ACLDefault, filesystem.ACLValue(list))
	put(folder, filesystem.ACLAccess, filesystem.ACLValue(list))
	for n := 10; n <= many; n *= 4 {
		path := file(fmt.Sprintf("many%d", n))
		for i := range n {
			put(path, fmt.Sprintf("user.name-%d", i), bytes.Repeat([]byte{byte('a' + i%26)}, i%70))
		}
	}
	for n := 100; n <= big; n = n*5 + 1 {
		path := file(fmt.Sprintf("big%d", n))
		for i := range 3 {
			put(path, fmt.Sprintf("user.%d", i), bytes.Repeat([]byte{byte('0' + i), 'x', 0}, n/3))
		}
	}
	if set < 20 {
		t.Fatalf("%d attributes were set, %d refused", set, refused)
	}
	t.Logf("%d attributes set, %d refused", set, refused)
}

// CompareAttributes compares those of every entry below the folder dir of the
// mounted volume, which is the volume's own path under, with what fs gives.
func CompareAttributes[F interface {
	filesystem.FileSystem
	filesystem.Attributer
}](t testing.TB, fs F, dir, under string) {
	t.Helper()
	compared := 0
	for e, err := range fs.Walk(context.Background()) {
		if err != nil {
			t.Fatal(err)
		}
		if e.Status != filesystem.Allocated || !strings.HasPrefix(e.Path, under+"/") {
			continue
		}
		path := dir + strings.TrimPrefix(e.Path, under)
		got, damage, err := fs.Attributes(e.Ref)
		if err != nil || damage != "" {
			t.Errorf("%s: %q %v", e.Path, damage, err)
		}
		names := kernelNames(t, path)
		var have []string
		for _, a := range got {
			have = append(have, a.Name)
			value := make([]byte, filesystem.MaxAttribute)
			n, err := unix.Lgetxattr(path, a.Name, value)
			if err != nil || !bytes.Equal(value[:n], a.Value) || a.Damage != "" {
				t.Errorf("%s: %q has %d bytes %.40q %s, the kernel %d bytes %.40q %v", e.Path, a.Name, len(a.Value), a.Value, a.Damage, n, value[:max(n, 0)], err)
			}
			compared++
		}
		if !slices.Equal(have, names) {
			t.Errorf("%s: attributes %.300q, the kernel has %.300q", e.Path, have, names)
		}
	}
	if compared < 20 {
		t.Errorf("only %d attributes compared", compared)
	}
	t.Logf("%d attributes equal", compared)
}

// kernelNames are the names that the kernel lists, without what it gives twice.
func kernelNames(t testing.TB, path string) []string {
	t.Helper()
	p := make([]byte, 1<<20)
	n, err := unix.Llistxattr(path, p)
	if err != nil {
		t.Fatal(err)
	}
	names := strings.Split(strings.TrimSuffix(string(p[:n]), "\x00"), "\x00")
	names = slices.DeleteFunc(names, func(s string) bool { return s == "" || strings.HasPrefix(s, "trusted.SGI_ACL_") })
	slices.Sort(names)
	return names
}
