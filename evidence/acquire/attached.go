package acquire

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"snapcase/evidence"

	"golang.org/x/sys/unix"
)

// Host is where a host shows its devices; the zero value is this host.
type Host struct {
	Sys string // "" is /sys
	Dev string // "" is /dev
}

func (h Host) sys(parts ...string) string {
	return filepath.Join(append([]string{cmp.Or(h.Sys, "/sys"), "class", "block"}, parts...)...)
}

func (h Host) dev(parts ...string) string {
	return filepath.Join(append([]string{cmp.Or(h.Dev, "/dev")}, parts...)...)
}

var volumeID = regexp.MustCompile(`^vol-([0-9a-f]{8}|[0-9a-f]{17})$`)

// IsVolume says whether s is the id of an EBS volume.
func IsVolume(s string) bool { return volumeID.MatchString(s) }

// nvmeDisk is the first namespace of a controller; paths of a multipath device
// (nvme0c1n1) have no device node.
var nvmeDisk = regexp.MustCompile(`^nvme[0-9]+n1$`)

// ebsModel is what an EBS volume says it is; an instance store says otherwise.
const ebsModel = "Amazon Elastic Block Store"

// Attached is a volume that is attached to this host.
type Attached struct {
	Volume     string
	Path       string   // of its device
	Partitions []string // paths of their devices
	Notes      []string // how it was found and that it cannot be written to
}

// FindVolume finds the device of an attached EBS volume. On Nitro instances the
// serial number of the NVMe device is the volume's id; the name under which the
// attachment was asked for says nothing there. asked is that name ("/dev/sdf"),
// where it is known: on Xen instances, which have no such serial number, the
// device is /dev/xvdf. /dev/disk/by-id must not say otherwise.
func (h Host) FindVolume(id, asked string) (Attached, error) {
	a := Attached{Volume: id}
	serial := strings.ReplaceAll(id, "-", "")
	names, err := filepath.Glob(h.sys("nvme*n1"))
	if err != nil {
		return a, err
	}
	var name string
	for _, n := range names {
		n = filepath.Base(n)
		if !nvmeDisk.MatchString(n) || h.attribute(n, "device", "serial") != serial {
			continue
		}
		if m := h.attribute(n, "device", "model"); m != ebsModel {
			return a, fmt.Errorf("find %s: %s has its serial number, and is a %q: %w", id, h.dev(n), m, evidence.ErrUsage)
		}
		if name != "" {
			return a, fmt.Errorf("find %s: both %s and %s have its serial number", id, h.dev(name), h.dev(n))
		}
		name = n
		a.Notes = append(a.Notes, fmt.Sprintf("%s has the NVMe serial number %s and the model %s", h.dev(n), serial, ebsModel))
	}
	if name == "" {
		if name = h.xen(asked); name == "" {
			return a, evidence.WithHint(fmt.Errorf("find %s: no device of this host has its serial number: %w", id, evidence.ErrNotFound),
				"attach it to this instance and wait some seconds; on a Xen instance name the device itself (/dev/xvdf), or acquire a snapshot of the volume (snap-…)")
		}
		a.Notes = append(a.Notes, fmt.Sprintf("attached as %s, which is %s on a Xen instance", asked, h.dev(name)))
	}
	a.Path = h.dev(name)
	if err := h.byID(serial, a.Path); err != nil {
		return a, fmt.Errorf("find %s: %w", id, err)
	}
	parts, err := filepath.Glob(h.sys(name, name+"*", "partition"))
	if err != nil {
		return a, err
	}
	for _, p := range parts {
		a.Partitions = append(a.Partitions, h.dev(filepath.Base(filepath.Dir(p))))
	}
	slices.Sort(a.Partitions)
	return a, h.unused(name, a)
}

// attribute reads a small file of a device in sysfs; it is empty where there is none.
func (h Host) attribute(name string, path ...string) string {
	b, err := os.ReadFile(h.sys(append([]string{name}, path...)...))
	if err != nil || len(b) > 4096 {
		return ""
	}
	return strings.TrimSpace(string(b))
}

var xenName = regexp.MustCompile(`^(?:/dev/)?(?:sd|xvd)([a-z]{1,2})$`)

// xen is the name of the device that was asked for as /dev/sdX.
func (h Host) xen(asked string) string {
	m := xenName.FindStringSubmatch(asked)
	if m == nil {
		return ""
	}
	if _, err := os.Stat(h.sys("xvd" + m[1])); err != nil {
		return ""
	}
	return "xvd" + m[1]
}

// byID asks udev's links, where there are any, whether they mean the same device.
func (h Host) byID(serial, path string) error {
	link := h.dev("disk", "by-id", "nvme-Amazon_Elastic_Block_Store_"+serial)
	there, err := filepath.EvalSymlinks(link)
	if err != nil {
		return nil //nolint:nilerr // no such link: nothing is known against it
	}
	here, err := filepath.EvalSymlinks(path)
	if err != nil {
		return err
	}
	if here != there {
		return fmt.Errorf("sysfs says %s and %s says %s", here, link, there)
	}
	return nil
}

// unused refuses a device that is mounted or part of something that is active.
func (h Host) unused(name string, a Attached) error {
	for _, p := range append([]string{a.Path}, a.Partitions...) {
		dirs := []string{h.sys(filepath.Base(p), "holders"), h.sys(name, filepath.Base(p), "holders")}
		for _, d := range dirs {
			if held, err := os.ReadDir(d); err == nil && len(held) > 0 {
				return evidence.WithHint(fmt.Errorf("%s is in use by %s", p, held[0].Name()), "deactivate it first (vgchange -an, mdadm --stop): what is active may write")
			}
		}
		at, err := mountedAt(p)
		if err != nil {
			return err
		}
		if at != "" {
			return evidence.WithHint(fmt.Errorf("%s is mounted at %s", p, at), "unmount it first: a mounted file system may write; snapcase needs no mount")
		}
	}
	return nil
}

// mountedAt is where a device is mounted; "" where it is not.
func mountedAt(path string) (string, error) {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return "", &os.PathError{Op: "stat", Path: path, Err: err}
	}
	b, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return "", err
	}
	want := fmt.Sprintf("%d:%d", unix.Major(st.Rdev), unix.Minor(st.Rdev))
	for line := range strings.Lines(string(b)) {
		if f := strings.Fields(line); len(f) > 4 && f[2] == want {
			return f[4], nil
		}
	}
	return "", nil
}

// Protect makes the device and its partitions read-only in the kernel, and reads
// that back. Where that cannot be shown it is an error: nothing is acquired from
// a device that could be written to. It keeps writers of user space out, those
// who have it open too; the kernel itself only warns, so that nothing may mount
// or activate the volume.
func (a *Attached) Protect() error {
	for _, p := range append([]string{a.Path}, a.Partitions...) {
		how, err := readOnly(p)
		if err != nil {
			return evidence.WithHint(fmt.Errorf("%s cannot be made read-only: %w", p, err), "run as root, or make it read-only yourself (blockdev --setro %s) and run the same command again", p)
		}
		a.Notes = append(a.Notes, p+": "+how)
	}
	return nil
}

// readOnly sets a block device read-only, and proves it by the ioctl and sysfs.
func readOnly(path string) (how string, err error) {
	f, err := openReadOnly(path)
	if err != nil {
		return "", err
	}
	defer f.Close() //nolint:errcheck // read-only
	fd := int(f.Fd())
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return "", err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFBLK {
		return "", errors.New("it is no block device")
	}
	was, err := unix.IoctlGetInt(fd, unix.BLKROGET)
	if err != nil {
		return "", err
	}
	how = "read-only already"
	if was == 0 {
		if err := unix.IoctlSetPointerInt(fd, unix.BLKROSET, 1); err != nil {
			return "", err
		}
		how = "set read-only (BLKROSET)"
	}
	is, err := unix.IoctlGetInt(fd, unix.BLKROGET)
	if err != nil {
		return "", err
	}
	shown, err := os.ReadFile(sysfs(st.Rdev) + "/ro")
	if err != nil {
		return "", err
	}
	if is != 1 || strings.TrimSpace(string(shown)) != "1" {
		return "", fmt.Errorf("it was set read-only, and BLKROGET says %d, %s/ro %q", is, sysfs(st.Rdev), shown)
	}
	return how + "; BLKROGET and sysfs say read-only", nil
}

// HasSize compares the device's length with that of the volume; 0 is one that is
// not known.
func (a *Attached) HasSize(want int64) error {
	if want == 0 {
		return nil
	}
	id, _, err := identify(a.Path)
	if err == nil && id.Size != want {
		err = fmt.Errorf("%s has %d bytes, the volume %s %d", a.Path, id.Size, a.Volume, want)
	}
	return err
}
