package evidence

// ByteOwner says to whom one byte of an image belongs.
type ByteOwner struct {
	Exhibit string `json:"exhibit"`
	// Offset is where the byte lies in the image; null where it was asked for
	// by its place in a volume that lies in pieces.
	Offset       *int64  `json:"offset"`
	Volume       *string `json:"volume"` // null where no volume holds the byte
	VolumeOffset *int64  `json:"volume_offset"`
	Status       string  `json:"status"`          // allocated, deleted, slack, unallocated, memory
	Area         string  `json:"area,omitempty"`  // what the byte is where that is not plain content, as in Place
	Address      *string `json:"address"`         // of the entry that owns it
	FileOffset   *int64  `json:"file_offset"`     // of the byte in the entry's content
	Doubt        string  `json:"doubt,omitempty"` // why a claim may be missing
}
