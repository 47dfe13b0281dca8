package respond

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"snapcase/evidence"
	"snapcase/imaging/image/lime"
)

// memoryScriptName stands in plan and ledger for the script that the instance
// runs: it holds signed addresses, which are worth as much as credentials while
// they live, so it is put in only when the command is sent.
const memoryScriptName = "${memory-script}"

// Memory goes up in parts of partSize bytes, at most maxParts of them: what S3
// takes in one object is 10,000 parts, and what SSM takes as a command is some
// 60,000 characters, of which each signed address needs about 600.
const (
	partSize  = 4 << 30
	maxParts  = 64
	signedFor = 6 * time.Hour
)

func (b *builder) memoryKey() string {
	return "snapcase/" + b.case8() + "/" + b.o.Instance + "-" + strconv.Itoa(b.run) + ".lime"
}

func (b *builder) memory() Step {
	st := Step{ID: stepMemory, Whitepaper: 4, Title: "Memory, through SSM with AVML", Checks: []string{"size and SHA-256 of the object, read back, are what the instance said", "its ranges have at least the memory that the instance says it has"}}
	if b.subject.Platform == "windows" {
		st.Cannot = "AVML reads Linux only"
		return st
	}
	if b.s.Presigner == nil {
		st.Cannot = "no addresses can be signed with these credentials"
		return st
	}
	const upload, send = "memory/upload", "memory/send"
	comment := "snapcase " + b.case8() + " memory " + strconv.Itoa(b.run)
	st.Calls = append(st.Calls,
		b.call(upload, "s3", "CreateMultipartUpload", map[string]any{"Bucket": b.o.MemoryBucket, "Key": b.memoryKey()}),
		b.call(send, "ssm", "SendCommand", map[string]any{
			"DocumentName": "AWS-RunShellScript", "InstanceIds": list(b.o.Instance), "Comment": comment, "TimeoutSeconds": int64(600),
			"Parameters": map[string]any{"commands": list(memoryScriptName), "executionTimeout": list("21600")},
			"_upload":    "${" + upload + ".UploadId}", "_bucket": b.o.MemoryBucket, "_key": b.memoryKey(), "_avml": b.o.AVML, "_avml_sha256": b.o.AVMLSHA256,
		}),
		b.call("memory/finish", "s3", "CompleteMultipartUpload", map[string]any{"Bucket": b.o.MemoryBucket, "Key": b.memoryKey(), "UploadId": "${" + upload + ".UploadId}"}))
	st.Warnings = append(st.Warnings,
		"it runs a program on the instance and writes the image to its disk before it is uploaded: what lies there unallocated is partly overwritten before the snapshot; a full disk ends it",
		"it fails under kernel lockdown, without the SSM agent, and without a route to S3: then the step says so and the rest goes on")
	return st
}

// memoryScript is what the instance runs: no credentials are in it, only
// addresses that each do one thing and expire.
func (e *engine) memoryScript(ctx context.Context, p map[string]any) (string, error) {
	sign := func(action string, params map[string]any) (string, error) {
		u, err := e.s.Presigner.Presign(ctx, evidence.CloudCall{Service: "s3", Action: action, Params: params}, signedFor)
		if err == nil && strings.ContainsAny(u, "'\n") {
			err = errors.New("the signed address cannot stand in a script")
		}
		return u, err
	}
	tool, err := sign("GetObject", map[string]any{"Bucket": p["_bucket"], "Key": p["_avml"]})
	if err != nil {
		return "", err
	}
	var parts strings.Builder
	for n := int64(1); n <= maxParts; n++ {
		u, err := sign("UploadPart", map[string]any{"Bucket": p["_bucket"], "Key": p["_key"], "UploadId": p["_upload"], "PartNumber": n})
		if err != nil {
			return "", err
		}
		fmt.Fprintf(&parts, "put %d '%s'\n", n, u)
	}
	return fmt.Sprintf(memoryScript, tool, text(p, "_avml_sha256"), partSize>>20, parts.String()), nil
}

// memoryScript prints little: SSM keeps 24,000 characters.
const memoryScript = `set -eu
umask 077
d=$(mktemp -d)
trap 'rm -rf "$d"' EXIT
cd "$d"
curl -fsS -o avml '%s'
echo '%s  avml' | sha256sum -c - >/dev/null
chmod 700 avml
./avml mem.lime >avml.out 2>&1 || { tail -c 1000 avml.out; exit 1; }
size=$(stat -c %%s mem.lime)
sum=$(sha256sum mem.lime | cut -d' ' -f1)
ram=$(awk '/^MemTotal/{print $2*1024}' /proc/meminfo)
mib=%d
put() {
  skip=$((($1-1)*mib))
  [ $((skip*1048576)) -lt "$size" ] || return 0
  dd if=mem.lime bs=1048576 skip=$skip count=$mib 2>/dev/null >part
  curl -fsS -o /dev/null -T part "$2"
}
%secho "snapcase-memory size=$size sha256=$sum ram=$ram"
`

var memoryLine = regexp.MustCompile(`snapcase-memory size=([0-9]+) sha256=([0-9a-f]{64}) ram=([0-9.e+]+)`)

// memory sends the command, waits for it, and finishes the upload.
func (r *runner) memory(ctx context.Context, st *Step) (why string, err error) {
	for _, i := range []int{0, 1} {
		if w, err := r.one(ctx, st, &st.Calls[i]); err != nil || w != "" {
			return w, err
		}
	}
	said, why, err := r.command1(ctx)
	if err != nil || why != "" {
		return why, err
	}
	m := memoryLine.FindStringSubmatch(said)
	if m == nil {
		return "the instance did not say what it uploaded: " + said[max(0, len(said)-300):], nil
	}
	if w, err := r.finishUpload(ctx, st, &st.Calls[2]); err != nil || w != "" {
		return w, err
	}
	object, err := objectState(ctx, r.s.Cloud, st.Calls[2].Params)
	if err != nil {
		return "", err
	}
	if got := fmt.Sprint(object["ContentLength"]); got != m[1] {
		return fmt.Sprintf("the object has %s bytes, the instance sent %s", got, m[1]), nil
	}
	bucket, key := text(st.Calls[2].Params, "Bucket"), text(st.Calls[2].Params, "Key")
	ram, err := strconv.ParseFloat(m[3], 64) // awk prints 1e+12 for large numbers
	if err != nil {
		return "the instance did not say how much memory it has: " + m[3], nil
	}
	sum, why, err := r.readMemory(ctx, bucket, key, m[2])
	if err != nil || why != "" {
		return why, err
	}
	if float64(sum) < ram {
		return fmt.Sprintf("the ranges of the image have %d bytes and the instance %.0f bytes of memory: it is short", sum, ram), nil
	}
	r.held("s3://%s/%s has %s bytes and the SHA-256 %s that the instance gave; its ranges have %d bytes, the instance %.0f", bucket, key, m[1], m[2], sum, ram)
	return "", nil
}

// readMemory reads the object back: its SHA-256 must be what the instance said,
// and sum is how many bytes of memory its ranges have. why is not empty where it
// is not what was sent, or not whole.
func (r *runner) readMemory(ctx context.Context, bucket, key, want string) (sum int64, why string, err error) {
	if r.s.Library == nil {
		return 0, "the object was not read back: whether it is what the instance sent is not known", nil
	}
	src, err := r.s.Library.Object(ctx, bucket, key)
	if err != nil {
		return 0, "", err
	}
	const piece = 8 << 20
	h, buf := sha256.New(), make([]byte, piece)
	for off := int64(0); off < src.Size(); off += piece {
		n, err := src.ReadAt(buf[:min(piece, src.Size()-off)], off)
		if int64(n) < min(piece, src.Size()-off) {
			if ctx.Err() != nil {
				return 0, "", ctx.Err()
			}
			return 0, fmt.Sprintf("the object could be read back up to byte %d of %d: %v", off+int64(n), src.Size(), err), nil
		}
		h.Write(buf[:n])
		r.progress(stepMemory, "read back "+key, int(off)+n, int(src.Size()))
	}
	if got := hex.EncodeToString(h.Sum(nil)); got != want {
		return 0, fmt.Sprintf("the object has the SHA-256 %s, the instance sent %s", got, want), nil
	}
	sum, damage, err := lime.Sum(src)
	switch {
	case ctx.Err() != nil:
		return 0, "", ctx.Err()
	case err != nil:
		return 0, fmt.Sprintf("the object is no image of memory: %v", err), nil
	case len(damage) > 0:
		return sum, fmt.Sprintf("the image is damaged, %d bytes of memory are in it: %s", sum, strings.Join(damage, "; ")), nil
	}
	return sum, "", nil
}

// command1 waits for the command to end and gives what it printed.
func (r *runner) command1(ctx context.Context) (said, why string, err error) {
	id := text(r.h.calls["memory/send"].result, "CommandId")
	looks := max(int(r.pace.Limit/max(r.pace.Wait, time.Millisecond)), r.pace.Looks)
	for i := 0; i < looks; i++ {
		m, err := one(ctx, r.s.Cloud, "ssm", "GetCommandInvocation", map[string]any{"CommandId": id, "InstanceId": r.instance})
		if err != nil && !lost(err) {
			return "", "", err
		}
		switch text(m, "Status") {
		case "Success":
			return text(m, "StandardOutputContent"), "", nil
		case "Cancelled", "Failed", "TimedOut", "Cancelling":
			return "", fmt.Sprintf("the command ended as %s: %s %s", text(m, "Status"), text(m, "StandardOutputContent"), text(m, "StandardErrorContent")), nil
		}
		r.progress(stepMemory, id, 0, 0)
		if err := sleep(ctx, r.pace.Wait); err != nil {
			return "", "", err
		}
	}
	return "", "the command did not end in time", nil
}

// finishUpload asks which parts are there and puts them together. The list of
// parts is not in the plan: the instance alone knows how many it has.
func (r *runner) finishUpload(ctx context.Context, st *Step, c *Call) (why string, err error) {
	params, err := r.resolve(ctx, c.Params, nil)
	if err != nil {
		return "", err
	}
	all, err := every(ctx, r.s.Cloud, "s3", "ListParts", "Parts", params)
	if err != nil {
		return "", err
	}
	var parts []any
	for _, p := range all {
		parts = append(parts, map[string]any{"PartNumber": p["PartNumber"], "ETag": p["ETag"]})
	}
	if len(parts) == 0 && !r.h.past(c.ID).done {
		return "no part was uploaded", nil
	}
	full := *c
	full.Params = map[string]any{"MultipartUpload": map[string]any{"Parts": parts}}
	for k, v := range c.Params {
		full.Params[k] = v
	}
	return r.one(ctx, st, &full)
}
