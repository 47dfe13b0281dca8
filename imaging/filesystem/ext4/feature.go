package ext4

import "fmt"

// Feature bits that the reader looks at.
const (
	compatResize     = 0x10
	compatJournal    = 0x4
	compatSparse2    = 0x200
	compatOrphanFile = 0x1000

	incompatFiletype   = 0x2
	incompatRecover    = 0x4
	incompatJournalDev = 0x8
	incompatMetaBG     = 0x10
	incompatExtents    = 0x40
	incompat64bit      = 0x80
	incompatMMP        = 0x100
	incompatCsumSeed   = 0x2000
	incompatLargeDir   = 0x4000
	incompatInline     = 0x8000
	incompatEncrypt    = 0x10000
	incompatCasefold   = 0x20000

	// knownIncompat: filetype, recover, meta_bg, extents, 64bit, mmp, flex_bg,
	// ea_inode, csum_seed, large_dir, inline_data, encrypt, casefold.
	knownIncompat = 0x2 | 0x4 | 0x10 | 0x40 | 0x80 | 0x100 | 0x200 | 0x400 | 0x2000 | 0x4000 | 0x8000 | 0x10000 | 0x20000

	roSparse   = 0x1
	roGdtCsum  = 0x10
	roBigalloc = 0x200
	roMetaCsum = 0x400
	roProject  = 0x2000
)

type feature struct {
	bit  uint32
	name string
}

// The names are those of dumpe2fs.
func compatNames() []feature {
	return []feature{
		{0x1, "dir_prealloc"},
		{0x2, "imagic_inodes"},
		{0x4, "has_journal"},
		{0x8, "ext_attr"},
		{0x10, "resize_inode"},
		{0x20, "dir_index"},
		{0x40, "lazy_bg"},
		{0x100, "snapshot_bitmap"},
		{0x200, "sparse_super2"},
		{0x400, "fast_commit"},
		{0x800, "stable_inodes"},
		{0x1000, "orphan_file"},
	}
}

func incompatNames() []feature {
	return []feature{
		{0x1, "compression"},
		{0x2, "filetype"},
		{0x4, "needs_recovery"},
		{0x8, "journal_dev"},
		{0x10, "meta_bg"},
		{0x40, "extent"},
		{0x80, "64bit"},
		{0x100, "mmp"},
		{0x200, "flex_bg"},
		{0x400, "ea_inode"},
		{0x1000, "dirdata"},
		{0x2000, "metadata_csum_seed"},
		{0x4000, "large_dir"},
		{0x8000, "inline_data"},
		{0x10000, "encrypt"},
		{0x20000, "casefold"},
	}
}

func rocompatNames() []feature {
	return []feature{
		{0x1, "sparse_super"},
		{0x2, "large_file"},
		{0x4, "btree_dir"},
		{0x8, "huge_file"},
		{0x10, "uninit_bg"},
		{0x20, "dir_nlink"},
		{0x40, "extra_isize"},
		{0x80, "snapshot"},
		{0x100, "quota"},
		{0x200, "bigalloc"},
		{0x400, "metadata_csum"},
		{0x800, "replica"},
		{0x1000, "read-only"},
		{0x2000, "project"},
		{0x4000, "shared_blocks"},
		{0x8000, "verity"},
		{0x10000, "orphan_present"},
	}
}

// features names the set bits; one without a name is shown as FEATURE_I17, as
// dumpe2fs does.
func (s *superblock) features() []string {
	var all []string
	for _, set := range []struct {
		letter string
		bits   uint32
		names  []feature
	}{{"C", s.compat, compatNames()}, {"I", s.incompat, incompatNames()}, {"R", s.rocompat, rocompatNames()}} {
		for b := range 32 {
			if set.bits&(1<<b) == 0 {
				continue
			}
			name := fmt.Sprintf("FEATURE_%s%d", set.letter, b)
			for _, f := range set.names {
				if f.bit == 1<<b {
					name = f.name
				}
			}
			all = append(all, name)
		}
	}
	return all
}

// kind is the name the kernel and blkid would use.
func (s *superblock) kind() string {
	const ext3Incompat = incompatFiletype | incompatRecover | incompatMetaBG
	switch {
	case s.incompat&^ext3Incompat != 0 || s.rocompat&^0x7 != 0:
		return "ext4"
	case s.compat&compatJournal != 0:
		return "ext3"
	}
	return "ext2"
}

// checksums says whether group descriptors carry one, which is when the
// uninitialised flags of a group mean anything.
func (s *superblock) checksums() bool { return s.rocompat&(roGdtCsum|roMetaCsum) != 0 }
