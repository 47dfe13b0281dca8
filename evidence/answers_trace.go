package evidence

import "snapcase/imaging"

// Trace is everything that one entity did and touched, over all exhibits.
type Trace struct {
	Entity    Entity       `json:"entity"`
	FoundAt   []Place      `json:"found_at"`
	Issued    []IssuedKey  `json:"issued"`
	IssuedBy  []IssuedKey  `json:"issued_by"`
	Events    int64        `json:"events"` // of the entity itself
	First     imaging.Time `json:"first"`
	Last      imaging.Time `json:"last"`
	Regions   []RegionUse  `json:"regions"` // of the entity and the keys it issued
	Calls     []CallCount  `json:"calls"`
	Created   []Created    `json:"created"`
	Instances []Instance   `json:"instances"`
	Peers     []TracePeer  `json:"peers"`
	ICMP      []ICMPPair   `json:"icmp"`
	Addresses []AddressUse `json:"addresses"`
}

// Entity is what a trace is of. Type is access-key, user, role-session,
// instance, address or snapshot.
type Entity struct {
	Type string `json:"type"`
	ID   string `json:"id"`
}

// IssuedKey is one link of a key chain. KeyID is the issued key (in Issued)
// or the key it was issued by (in IssuedBy); where no key made the call,
// Principal names who did.
type IssuedKey struct {
	KeyID     string       `json:"key_id"`
	By        string       `json:"by"` // the key at the other end of this link
	ByEvent   string       `json:"by_event"`
	EventName string       `json:"event_name"`
	Principal string       `json:"principal,omitempty"` // the session or user the key belongs to
	Join      string       `json:"join"`                // key-id or session
	Depth     int          `json:"depth"`
	Time      imaging.Time `json:"time"`
	Events    int64        `json:"events"`     // calls made with KeyID
	Permanent bool         `json:"persistent"` // made by CreateAccessKey
}

// RegionUse counts an entity's calls in one region.
type RegionUse struct {
	Region  string       `json:"region"`
	Events  int64        `json:"events"`
	Failed  int64        `json:"failed"`
	First   imaging.Time `json:"first"`
	Last    imaging.Time `json:"last"`
	Unusual bool         `json:"unusual"` // nobody else acted there before
}

// CallCount counts calls of one name.
type CallCount struct {
	Name   string `json:"name"`
	OK     int64  `json:"ok"`
	Failed int64  `json:"failed"`
}

// Created is a thing that an entity made.
type Created struct {
	Type    string       `json:"type"`
	ID      string       `json:"id"`
	Region  string       `json:"region"`
	EventID string       `json:"event_id"`
	Time    imaging.Time `json:"time"`
	Record  Record       `json:"record"`
}

// Instance is an EC2 instance that the evidence knows.
type Instance struct {
	ID         string   `json:"id"`
	Region     string   `json:"region"`
	PrivateIPs []string `json:"private_ips"`
	PublicIPs  []string `json:"public_ips"`
	Interfaces []string `json:"interfaces"`
}

// TracePeer sums the traffic with one remote address, as seen by the instance.
type TracePeer struct {
	IP       string       `json:"ip"`
	Protocol string       `json:"protocol"`
	BytesOut int64        `json:"bytes_out"`
	BytesIn  int64        `json:"bytes_in"`
	Packets  int64        `json:"packets"`
	First    imaging.Time `json:"first"`
	Last     imaging.Time `json:"last"`
	Country  *string      `json:"country"`
	ASN      *int64       `json:"asn"`
	Lists    []string     `json:"lists"`
	Listed   []Listed     `json:"listed,omitempty"`
	Lower    bool         `json:"lower_bound,omitempty"` // records were lost (SKIPDATA), or a sum would be above 2^63-1
}

// AddressUse counts the source addresses an entity called from.
type AddressUse struct {
	IP     string       `json:"ip"`
	Events int64        `json:"events"`
	First  imaging.Time `json:"first"`
	Last   imaging.Time `json:"last"`
	Listed []Listed     `json:"listed,omitempty"`
}

// ICMPPair judges the echo traffic of a pair of addresses.
type ICMPPair struct {
	Local        string       `json:"local,omitempty"`
	Peer         string       `json:"peer"`
	Requests     int64        `json:"requests"`
	Replies      int64        `json:"replies"`
	PayloadBytes int64        `json:"payload_bytes"`
	Entropy      float64      `json:"entropy"` // bits a byte
	Verdict      string       `json:"verdict"` // ordinary, unusual, tunnel
	Reasons      []string     `json:"reasons"`
	First        imaging.Time `json:"first"`
	Last         imaging.Time `json:"last"`
	Records      []Record     `json:"records,omitempty"` // some of the frames
}
