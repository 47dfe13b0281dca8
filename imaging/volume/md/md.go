// Package md reads the superblocks of Linux software RAID (md) and, of what
// needs no parity, the array. It follows md(4) and the kernel's md_p.h.
//
// # Layout
//
// Version 0.90 lies in the last whole 64 KiB that has 64 KiB before the end;
// 1.0 in the last 8 KiB, on 4 KiB; 1.1 at the start; 1.2 at 4,096 bytes. All
// begin with the magic A92B4EFC. A 1.x superblock is little-endian: the UUID of
// the array at 16, its name at 32, level at 72, layout at 76, sectors used of each
// member at 80, chunk at 88 (sectors), members at 92, start and length of the data
// at 128 and 136 (sectors), this member's number at 160, events at 200, checksum at
// 216, and from 256 two bytes for each member's role: its place in the array,
// FFFF a spare, FFFE faulty, FFFD a journal. A 0.90 superblock is words in the
// order of the machine that wrote it: level at word 7, KiB used of each member
// at 8, members at 10, events at 39, chunk at 65 (bytes), this member at 992.
//
// Chunks of raid5 go by rows, one for each member, of which one is the parity:
// with the usual layout (2, left-symmetric) of row r the member n-1 - r%n, and the
// data begin behind it. raid6 has a second parity Q behind the first. raid10 has
// near copies (layout % 256) on members that follow one another and far copies
// (layout / 256 % 256) in the next rows or in the next part of the members.
//
// With 1.2 and a data offset of 2,048, byte b of a raid1 is byte 1,048,576 + b
// of each member. In a raid0 of members of one size, chunk c lies on member
// c % n as its chunk c / n. A linear array is its members one after another.
//
// # What is read
//
// raid1 (one member whose events are the newest and that is in step), linear,
// raid0 of members of one size, raid10, raid4, raid5 and raid6. Of the last four
// what a missing member holds is taken from its copies or computed from the
// parity, where one member is missing, and State says so; where that is not
// enough they are not read. Of the others a member that is not given leaves a gap
// of zeros that Damage names. Where a member is given several times (snapshots of
// several days) each copy makes an array of its own.
//
// # What it does not do
//
// raid0 of several sizes, parity whose layout is for conversions, a raid6 that
// lacks two members, multipath, containers (DDF, IMSM) and arrays that are being
// reshaped are named and not read. Bitmaps, journals and the lists of bad blocks
// are not looked into, and no parity is compared with its data. A superblock at
// the end of a disk may be that of its last partition: both are given what they
// show.
package md

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"snapcase/imaging"
)

// Array is one array.
type Array struct {
	UUID    string // as mdadm prints it: four groups of eight hex digits
	Name    string // usually host:name; "" for 0.90
	Version string // 0.90, 1.0, 1.1, 1.2
	Level   string // raid1, raid0, linear, raid5, …
	Devices int    // that the array has
	Chunk   int64  // bytes, 0 for none
	Size    int64  // bytes of Source
	Members []Member
	State   []string // what an examiner must know
	Gaps    []Gap    // what reads as zeros because no source has it
	Damage  string   // "" or codes with short sentences
	Reason  string   // why Source is nil
	// Source is the content, nil when it is not read.
	Source imaging.Source

	layout *layout
}

// Member is one source with a superblock of the array.
type Member struct {
	Source  int    // index into the sources of Scan
	UUID    string // of the device; "" for 0.90
	Role    int    // place in the array; -1: none (State says why)
	State   string // active, spare, faulty, journal, stale, rebuilding
	At      int64  // of the superblock, bytes
	Start   int64  // of the data, bytes
	Size    int64  // of the data, bytes
	Events  uint64
	Updated imaging.Time
	Damage  string
}

// Gap is a run of the array that no source has: of Devices chunks that take
// turns the one with this index (from 0); Devices is 1 where it is all.
type Gap struct {
	Start, Size     int64 // bytes in the array
	Device, Devices int
	What            string
}

// Probe says whether src has a superblock of md.
func Probe(src imaging.Source) bool {
	m, err := find(src)
	return err == nil && m != nil
}

// Scan reads the arrays of the sources; those without a superblock are passed
// over. Damage is told in the arrays; the error is a failure of a source alone.
func Scan(sources []imaging.Source) ([]Array, error) {
	var all []*super
	for i, src := range sources {
		s, err := find(src)
		if err != nil {
			return nil, fmt.Errorf("read md of source %d: %w", i, err)
		}
		if s != nil {
			s.source, s.src = i, src
			all = append(all, s)
		}
	}
	return assemble(all), nil
}

// readAt gives up to n bytes from off: fewer at the end of src.
func readAt(src imaging.Source, off int64, n int) ([]byte, error) {
	if off < 0 || off >= src.Size() {
		return nil, nil
	}
	p := make([]byte, min(int64(n), src.Size()-off))
	n, err := src.ReadAt(p, off)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return p[:n], err
}

var le = binary.LittleEndian
