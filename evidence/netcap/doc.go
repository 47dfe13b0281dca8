// Package netcap reads packet captures and judges the pings in them.
//
// # What is followed
//
// Files: classic pcap (draft-ietf-opsawg-pcap) in both byte orders, with
// micro- or nanoseconds, versions 2.0 to 2.4 with the lengths as each has them;
// pcapng (draft-ietf-opsawg-pcapng) with several sections, each in its own
// byte order, and interfaces, each with its link type and its resolution and
// offset of time; enhanced, simple and obsolete packet blocks. Either may be
// gzip, told by content; offsets are then those of the unpacked file.
//
// Frames: Ethernet with VLAN tags (802.1Q, 802.1ad) and SNAP, raw IP (101, 12,
// 14, 228, 229), BSD loopback (0, 108), Linux cooked (113, 276). IPv4 (RFC 791),
// IPv6 with its extension headers (RFC 8200), ICMP and ICMPv6, UDP, TCP, VXLAN
// (RFC 7348) on UDP port 4789, one in another to any depth. Names: DNS
// (RFC 1035) on port 53, the server name of a TLS ClientHello (RFC 6066), the
// Host of an HTTP/1 request.
//
// # A frame
//
// What a mirror session delivers, and what its record says:
//
//	Ethernet  IPv4 10.0.0.5 > 10.0.0.9  UDP > 4789  VXLAN 7001       outer_src, outer_dst, vnis
//	  Ethernet  IPv4 10.66.0.10 > 203.0.113.77                       src, dst
//	    ICMP type 8, id 4919, seq 1, 1024 bytes                      icmp
//
// Src, Dst and all that follows are of the innermost packet. Lengths are what
// headers declare, so a frame that was cut still counts whole; bytes are what
// was captured. Padding behind the packet is no part of it. Fragments are not
// joined: the first has ports and ICMP fields, the later ones have neither.
// Names are printable ASCII; any other byte of them stands as \DDD, as in zone
// files. A name is given where it is there whole. The answers of DNS are the
// data of each record that is there whole; an answer that is not about the
// name that was asked, or one it is an alias of, has its own name and type
// before it.
//
// # Damage
//
// What gives no frame comes as a *BadFrame with its place. In pcapng the walk
// goes on at the next sound block; a classic capture ends where a length cannot
// be, because nothing tells where the next frame begins. A file that was cut
// gives the frames before the cut and one BadFrame. A frame that cannot be
// decoded is a record all the same, with its lengths alone. Damage that is no
// frame, such as a broken interface description, has the number of the frame
// behind it. A time that is not known, or outside the years 1 to 9999, is not
// set.
//
// # Limits
//
// 262,144 captured bytes a frame, 8 MiB a block, 65,536 interfaces a section.
// Memory stays the same whatever the length of the file.
//
// # Pings and channels
//
// Judge weighs the echo packets of each pair of addresses. An ordinary ping
// has a payload that only ping makes, and the reply carries the request's
// bytes. Where more than two and more than a fifth of the replies do not, it is
// a tunnel; likewise where more than five replies with changing payloads have
// no request, one id and sequence number comes with more than five payloads, a
// known tool has left its mark, or payloads read as a shell. Entropy is given
// and decides nothing: a ping that counts its bytes up has nearly 8 bits a byte.
//
// # What is not done
//
// No joining of fragments or of TCP segments, no checksums, no GRE, ERSPAN,
// Geneve, IP in IP, PPP or MPLS: those frames are described by the packet
// outside, GRE as protocol 47. No decryption: secrets in a file are passed
// over. What later fragments of a ping carry is not judged.
package netcap
