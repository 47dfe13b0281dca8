package awstest

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// EBS is the EBS direct API over Snapshots: read only. Tokens carry the listing
// that gave them and when they end.
type EBS struct {
	Snapshots Snapshots
	// Now dates the tokens; nil is the server's clock at each call.
	Now func() time.Time
	// Page is the most blocks of a page, whatever is asked for; 0 means no limit.
	Page int
	// Empty puts an empty page with a token before every page.
	Empty bool
	// PageLife and BlockLife are how long tokens live.
	PageLife, BlockLife time.Duration
	// PerSecond refuses reads beyond so many in one second of Now; 0 never.
	PerSecond int
	// Got counts the answers with a block, by its index.
	Got map[int32]int
	// Hurt gives blocks a fault of their own, however often they are asked for.
	Hurt map[int32]*Error

	listing int
	second  int64
	inThis  int
}

// NewEBS is the API over these snapshots, with the lives of AWS.
func NewEBS(all Snapshots, now func() time.Time) *EBS {
	return &EBS{Snapshots: all, Now: now, PageLife: time.Hour, BlockLife: 7 * 24 * time.Hour, Got: map[int32]int{}, Hurt: map[int32]*Error{}}
}

// Action names the call; none changes anything.
func (e *EBS) Action(r *Request) (string, bool) {
	p := strings.Split(strings.Trim(r.HTTP.URL.Path, "/"), "/")
	switch {
	case len(p) == 3 && p[2] == "blocks":
		return "ListSnapshotBlocks", false
	case len(p) == 3 && p[2] == "changedblocks":
		return "ListChangedBlocks", false
	case len(p) == 4 && p[2] == "blocks":
		return "GetSnapshotBlock", false
	}
	return "Unknown", false
}

// Fail writes an error as REST JSON.
func (e *EBS) Fail(w http.ResponseWriter, _ *Request, x *Error) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("x-amzn-ErrorType", x.Code)
	w.WriteHeader(x.Status)
	body := map[string]string{"Message": x.Message}
	if x.Reason != "" {
		body["Reason"] = x.Reason
	}
	_ = json.NewEncoder(w).Encode(body)
}

// Serve answers.
func (e *EBS) Serve(w http.ResponseWriter, r *Request) error {
	p := strings.Split(strings.Trim(r.HTTP.URL.Path, "/"), "/")
	if r.Action == "Unknown" {
		return &Error{Status: http.StatusNotFound, Code: "UnknownOperationException", Message: r.HTTP.URL.Path}
	}
	s := e.Snapshots[p[1]]
	if s == nil || s.Region != "" && s.Region != r.Region {
		return &Error{Status: http.StatusNotFound, Code: "ResourceNotFoundException", Reason: "SNAPSHOT_NOT_FOUND", Message: "The snapshot '" + p[1] + "' does not exist."}
	}
	if s.State != "completed" {
		return &Error{Status: http.StatusBadRequest, Code: "ValidationException", Reason: "INVALID_SNAPSHOT_ID", Message: "The snapshot is not completed."}
	}
	if s.Owner != r.Account && !slices.Contains(s.SharedWith, r.Account) {
		return &Error{Status: http.StatusForbidden, Code: "AccessDeniedException", Reason: "UNAUTHORIZED_ACCOUNT", Message: "The snapshot belongs to another account."}
	}
	switch r.Action {
	case "GetSnapshotBlock":
		return e.get(w, r, s, p[3])
	case "ListChangedBlocks":
		return e.changed(w, r, s)
	}
	return e.list(w, r, s)
}

type listedBlock struct {
	BlockIndex int32  `json:"BlockIndex"`
	BlockToken string `json:"BlockToken"`
}

// page is a window of indexes, with the token of the next.
func (e *EBS) page(r *Request, all []int32) (part []int32, next string, err error) {
	q := r.HTTP.URL.Query()
	from, _ := strconv.Atoi(q.Get("startingBlockIndex")) //nolint:errcheck // absent is 0
	at, _ := slices.BinarySearch(all, int32(from))       //nolint:gosec // of a test
	most, _ := strconv.Atoi(q.Get("maxResults"))         //nolint:errcheck // absent is 0
	if most == 0 || e.Page > 0 && e.Page < most {
		most = max(e.Page, min(most, 100))
	}
	wasEmpty := false
	if t := q.Get("pageToken"); t != "" {
		var ends int64
		if n, _ := fmt.Sscanf(t, "page.%d.%d.%t", &at, &ends, &wasEmpty); n != 3 || at > len(all) || e.Now().Unix() > ends {
			return nil, "", &Error{Status: http.StatusBadRequest, Code: "ValidationException", Reason: "INVALID_PAGE_TOKEN", Message: "The page token is not valid."}
		}
	} else {
		e.listing++
	}
	ends := e.Now().Add(e.PageLife).Unix()
	if e.Empty && !wasEmpty {
		return nil, fmt.Sprintf("page.%d.%d.true", at, ends), nil
	}
	part = all[at:min(len(all), at+most)]
	if at+most < len(all) {
		next = fmt.Sprintf("page.%d.%d.false", at+most, ends)
	}
	return part, next, nil
}

func (e *EBS) token(i int32) string {
	return fmt.Sprintf("block.%d.%d.%d.%032d", i, e.listing, e.Now().Add(e.BlockLife).Unix(), i)
}

func (e *EBS) list(w http.ResponseWriter, r *Request, s *Snapshot) error {
	part, next, err := e.page(r, s.Listed)
	if err != nil {
		return err
	}
	blocks := []listedBlock{}
	for _, i := range part {
		blocks = append(blocks, listedBlock{i, e.token(i)})
	}
	return e.answer(w, s, "Blocks", blocks, next)
}

func (e *EBS) answer(w http.ResponseWriter, s *Snapshot, name string, blocks any, next string) error {
	a := map[string]any{name: blocks, "BlockSize": cmp.Or(s.Block, BlockSize), "VolumeSize": s.GiB, "ExpiryTime": float64(e.Now().Add(e.BlockLife).Unix())}
	if next != "" {
		a["NextToken"] = next
	}
	w.Header().Set("Content-Type", "application/json")
	return json.NewEncoder(w).Encode(a)
}

// changed compares two snapshots block by block.
func (e *EBS) changed(w http.ResponseWriter, r *Request, s *Snapshot) error {
	first := e.Snapshots[r.HTTP.URL.Query().Get("firstSnapshotId")]
	if first == nil || first.VolumeID != s.VolumeID {
		return &Error{Status: http.StatusBadRequest, Code: "ValidationException", Reason: "UNRELATED_SNAPSHOTS", Message: "The snapshots are not of one lineage."}
	}
	var all []int32
	for i := range int32(s.GiB << 30 / BlockSize) { //nolint:gosec // of a test's volume
		if !s.has(i) && !first.has(i) {
			continue
		}
		_, a, err := first.block(i)
		if err != nil {
			return err
		}
		_, b, err := s.block(i)
		if err != nil {
			return err
		}
		if a != b {
			all = append(all, i)
		}
	}
	part, next, err := e.page(r, all)
	if err != nil {
		return err
	}
	blocks := []map[string]any{}
	for _, i := range part {
		c := map[string]any{"BlockIndex": i}
		if s.has(i) {
			c["SecondBlockToken"] = e.token(i)
		}
		if first.has(i) {
			c["FirstBlockToken"] = e.token(i)
		}
		blocks = append(blocks, c)
	}
	return e.answer(w, s, "ChangedBlocks", blocks, next)
}

func (e *EBS) get(w http.ResponseWriter, r *Request, s *Snapshot, index string) error {
	n, err := strconv.ParseInt(index, 10, 32)
	i := int32(n) //nolint:gosec // parsed with 32 bits
	if err != nil || !s.has(i) {
		return &Error{Status: http.StatusBadRequest, Code: "ValidationException", Reason: "INVALID_BLOCK", Message: "There is no such block."}
	}
	var of int32
	var listing int
	var ends int64
	if k, _ := fmt.Sscanf(r.HTTP.URL.Query().Get("blockToken"), "block.%d.%d.%d", &of, &listing, &ends); k != 3 || of != i || e.Now().Unix() > ends {
		return &Error{Status: http.StatusBadRequest, Code: "ValidationException", Reason: "INVALID_BLOCK_TOKEN", Message: "The block token is not valid."}
	}
	if now := e.Now().Unix(); now != e.second {
		e.second, e.inThis = now, 0
	}
	if e.inThis++; e.PerSecond > 0 && e.inThis > e.PerSecond {
		return &Error{Status: http.StatusBadRequest, Code: "RequestThrottledException", Reason: "RESOURCE_LEVEL_THROTTLE", Message: "The request was throttled."}
	}
	if x := e.Hurt[i]; x != nil {
		return x
	}
	b, sum, err := s.block(i)
	if err != nil {
		return err
	}
	e.Got[i]++
	w.Header().Set("x-amz-Data-Length", strconv.Itoa(len(b)))
	w.Header().Set("x-amz-Checksum", base64.StdEncoding.EncodeToString(sum[:]))
	w.Header().Set("x-amz-Checksum-Algorithm", "SHA256")
	w.Header().Set("Content-Type", "application/octet-stream")
	_, err = w.Write(b)
	return err
}
