package awstest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
)

// JSON is a service that speaks JSON 1.1 with X-Amz-Target: cloudtrail and kms
// here, by functions a test gives.
type JSON struct {
	Calls   map[string]func(in map[string]any) (any, error)
	Mutates map[string]bool
}

// Action names the call.
func (j *JSON) Action(r *Request) (string, bool) {
	t := r.HTTP.Header.Get("X-Amz-Target")
	a := t[strings.LastIndexByte(t, '.')+1:]
	return a, j.Mutates[a]
}

// Fail writes an error.
func (j *JSON) Fail(w http.ResponseWriter, _ *Request, x *Error) {
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	w.WriteHeader(x.Status)
	_ = json.NewEncoder(w).Encode(map[string]string{"__type": x.Code, "message": x.Message})
}

// Serve answers.
func (j *JSON) Serve(w http.ResponseWriter, r *Request) error {
	f := j.Calls[r.Action]
	if f == nil {
		return &Error{Status: http.StatusBadRequest, Code: "UnknownOperationException", Message: r.Action}
	}
	in := map[string]any{}
	if err := json.Unmarshal(r.Body, &in); err != nil {
		return &Error{Status: http.StatusBadRequest, Code: "SerializationException", Message: err.Error()}
	}
	out, err := f(in)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	return json.NewEncoder(w).Encode(out)
}

// Commands are the commands that an SSM sent.
type Commands struct {
	Sent []map[string]any
	// Run is the agent on the instance: it gets the script when the command is
	// first asked about, outside of any call to the server that it makes itself,
	// and gives what it printed. Nil never ends.
	Run func(script string) (stdout, status string)

	mu      sync.Mutex // of answers: the agent works beside the server
	answers map[string][2]string
}

// NewSSM is the SSM API over c.
func NewSSM(c *Commands) *JSON {
	c.answers = map[string][2]string{}
	return &JSON{Mutates: map[string]bool{"SendCommand": true}, Calls: map[string]func(map[string]any) (any, error){
		"SendCommand": c.send, "ListCommands": c.list, "GetCommandInvocation": c.invocation,
	}}
}

func (c *Commands) send(in map[string]any) (any, error) {
	id := fmt.Sprintf("00000000-0000-0000-0000-%012d", len(c.Sent)+1)
	in["CommandId"] = id
	c.Sent = append(c.Sent, in)
	if c.Run != nil {
		p, _ := in["Parameters"].(map[string]any)
		l, _ := p["commands"].([]any)
		script, _ := l[0].(string)
		go func() { // the agent works by itself, and calls the server as it does
			out, status := c.Run(script)
			c.mu.Lock()
			defer c.mu.Unlock()
			c.answers[id] = [2]string{out, status}
		}()
	}
	return map[string]any{"Command": map[string]any{"CommandId": id, "Comment": in["Comment"], "Status": "Pending"}}, nil
}

func (c *Commands) list(in map[string]any) (any, error) {
	all := []any{}
	for _, s := range c.Sent {
		all = append(all, map[string]any{"CommandId": s["CommandId"], "Comment": s["Comment"], "Status": "InProgress"})
	}
	return map[string]any{"Commands": all}, nil
}

func (c *Commands) invocation(in map[string]any) (any, error) {
	id, _ := in["CommandId"].(string)
	c.mu.Lock()
	a, ok := c.answers[id]
	c.mu.Unlock()
	if !ok {
		return map[string]any{"CommandId": id, "Status": "InProgress"}, nil
	}
	return map[string]any{"CommandId": id, "Status": a[1], "StandardOutputContent": a[0]}, nil
}
