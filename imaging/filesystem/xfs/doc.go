// Package xfs reads XFS file systems of version 4 and 5, allocated and
// deleted. It follows "XFS Algorithms & Data Structures" (third edition) and
// "XFS Self Describing Metadata" of the Linux kernel documentation.
//
// # Layout
//
// All numbers are big-endian but for checksums. A volume is cut into
// allocation groups of sb_agblocks blocks; each begins with a copy of the
// superblock and, a sector each, the headers of its free space (AGF), of its
// inodes (AGI) and of its spare blocks (AGFL). Numbers of blocks and inodes
// have the group in their upper bits, so that they are not counted through:
// with 65,000 blocks of 4 KiB in a group sb_agblklog is 16, with inodes of
// 512 bytes sb_inopblog is 3, and inode 1,048,704 is group 1 (1<<19), block
// 16 of it, inode 0 of the block: byte (65,000+16)*4,096 of the volume.
//
// The AGI leads to a B+tree of chunks of 64 inodes, with a bit for each that
// is free and, in sparse chunks, for each four that do not exist. An inode
// has a core, a data fork and an attribute fork. The data fork is the content
// itself (short links, small directories), a list of extents, or the root of
// a B+tree of extents. A directory is entries of inode, name, type and their
// own place, in the inode or in blocks of sb_blocksize << sb_dirblklog bytes;
// indexes by hash lie behind 32 GiB of its content and are never needed here.
//
// # How a walk reads
//
// The trees of chunks are read, then the inodes in disk order with large reads
// to find directories; the directory blocks are collected, sorted by their
// place and read in that order; then the inodes are read again and each is
// given out with its names. What is kept in memory is 16 bytes and the name
// itself for each name, 4 bytes for each inode of a chunk that has names, and
// about 40 bytes for each directory. Walk gives the root, then allocated
// entries by inode, then deleted and orphaned ones by inode, then names that
// lead to no inode. Two walks give the same entries in the same order.
//
// # Status
//
// A name in a directory whose inode has a mode is allocated, as the kernel
// would see it; the tree of chunks is asked only for what no live name leads
// to. Freeing an inode clears its mode, size and counts and leaves its times,
// of which that of the last change is the time of deletion. A deleted name
// whose inode is free shows what the freed inode still says, with the type of
// the name. A deleted name whose inode is in use (the file was renamed, or the
// inode was freed and taken again) is "reallocated": it has no sizes and no
// times, since they would be another file's, and its Ref carries the stream
// "reallocated", which Open refuses with ErrReused.
//
// # Deleted names
//
// Removing an entry writes ff ff and the length of the free run over the upper
// half of its inode number, and the place of the run over its last two bytes;
// the lower half, the name and the type stay:
//
//	before: 00 00 00 00 00 00 00 83 | 03 | 6f 6c 64 | 01 | .. | 00 60
//	after:  ff ff 00 10 00 00 00 83 | 03 | 6f 6c 64 | 01 | .. | 00 60
//
// Free runs that touch become one, and the entries inside keep their bytes, so
// a run is searched in steps of eight bytes and not at its head alone.
//
// # The log
//
// A volume that was not unmounted, as in a snapshot of a running machine, has
// changes in its log that are not in their place. Open replays them as the
// kernel would, into memory: buffers in parts of 128 bytes, cores and forks of
// inodes, new chunks; a buffer that was freed later or is newer by its own LSN
// is left alone. OpenRaw shows the volume without that. Intents that were
// begun and not ended, and inodes that were open and have no name, are left as
// they are: the latter are orphans with their whole content.
//
// A log on a device of its own is read by OpenWithLog; LogUUID says what its
// records carry, and Info.State that it is missing where it was not given. A log
// of another file system, or one that ends before the superblock was written, is
// not replayed, as the kernel would not mount with it, and Info.State says so.
//
// All of the log area, not only what is still to be replayed, is read for the
// past: what freed inodes were (size, extents, mode), and names that stood in
// directories. An entry found there says "log" in From; one found elsewhere
// that the log completes says "+log".
//
// # What is gone
//
// Names of a deleted directory come from the log, from blocks that its freed
// inode or the log still names, and from its inode when the chunk was freed as
// a whole: then nothing is written back, and the inodes stand on the disk as
// they were before. Names lead to such chunks. OpenDeep reads all free space
// for chunks and directory blocks to which nothing leads.
//
// # What it does not do
//
// It reads no realtime device; parent pointers are not used. Directory blocks of
// version 4 do not say whose they are: of those the log and the free space tell
// nothing.
package xfs
