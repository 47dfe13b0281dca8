package disk

import "strings"

// byNature says of a type that it has no files to list; "" of all others.
func byNature(kind string) string {
	switch kind {
	case "swap":
		return "swap space: it has no files; its bytes can be searched"
	case "swsuspend":
		return "swap space that holds a hibernation image: it has no files; its bytes can be searched"
	}
	return ""
}

// needed says what it would take to read a type that no driver reads.
func needed(kind string) string {
	switch kind {
	case "crypto_LUKS":
		return "encrypted: the passphrase or key is needed, and a tool that unlocks it (cryptsetup) to make an image of what is inside"
	case "BitLocker", "cs_fvault2":
		return "encrypted: the recovery key is needed, and a tool that unlocks it to make an image of what is inside"
	case "LVM2_member", "LVM1_member":
		return "a physical volume of LVM that could not be put together with its group: an image of its logical volumes is needed"
	case "jbd", "xfs_external_log":
		return "the journal of a file system that lies elsewhere: the image of that one is needed"
	case "bcache", "bcachefs", "zfs_member", "VMFS_volume_member", "drbd", "ceph_bluestore", "stratis", "vdo", "mpool":
		return "a member of a larger store: its software is needed to assemble it"
	}
	if strings.HasSuffix(kind, "_raid_member") || kind == "linux_raid_member" {
		return "a member of a RAID that is not put together here: all members are needed, and a tool that assembles them to make an image of the array"
	}
	return "no reader for this format is built in: another tool is needed to list its files"
}
