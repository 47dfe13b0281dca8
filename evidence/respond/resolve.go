package respond

import (
	"context"
	"regexp"
	"strconv"
	"strings"
	"time"
)

var placeholder = regexp.MustCompile(`\$\{([^}]+)\}`)

// resolve fills the names in ${…}: results of earlier calls as ${CALL.NAME},
// ${this.NAME} of the call that is taken back, ${now}, ${token}, and ids that change with
// each replacement, which are asked for.
func (e *engine) resolve(ctx context.Context, params map[string]any, this map[string]any) (map[string]any, error) {
	v, err := e.fill(ctx, params, this)
	if err != nil {
		return nil, err
	}
	return object(v)
}

func (e *engine) fill(ctx context.Context, v any, this map[string]any) (any, error) {
	switch v := v.(type) {
	case string:
		return e.fillText(ctx, v, this)
	case map[string]any:
		out := make(map[string]any, len(v))
		for k, x := range v {
			y, err := e.fill(ctx, x, this)
			if err != nil {
				return nil, err
			}
			out[k] = y
		}
		return out, nil
	case []any:
		out := make([]any, len(v))
		for i, x := range v {
			y, err := e.fill(ctx, x, this)
			if err != nil {
				return nil, err
			}
			out[i] = y
		}
		return out, nil
	}
	return v, nil
}

func (e *engine) fillText(ctx context.Context, s string, this map[string]any) (string, error) {
	var err error
	out := placeholder.ReplaceAllStringFunc(s, func(m string) string {
		if err != nil {
			return m
		}
		var v string
		v, err = e.lookup(ctx, m[2:len(m)-1], this)
		return v
	})
	return out, err
}

func (e *engine) lookup(ctx context.Context, name string, this map[string]any) (string, error) {
	if "${"+name+"}" == memoryScriptName {
		return memoryScriptName, nil // holds signed addresses: put in when it is sent
	}
	if name == "token" { // the intent keeps it: whoever makes the call again uses the same
		return sha([]byte(e.s.CaseID + e.instance + stampOf(e.s.Now()) + strconv.Itoa(len(e.h.order))))[:32], nil
	}
	if name == "now" {
		return e.s.Now().UTC().Format(time.RFC3339), nil
	}
	if instance, ok := strings.CutPrefix(name, "association:"); ok {
		id, _, err := association(ctx, e.s.Cloud, instance)
		if err == nil && id == "" {
			err = &needError{"the profile association of " + instance}
		}
		return id, err
	}
	if subnet, ok := strings.CutPrefix(name, "acl-association:"); ok {
		state, err := e.state(ctx, e.s.Cloud, deed{state: func(ctx context.Context, c Cloud, _ map[string]any) (map[string]any, error) {
			id, _, err := aclAssociation(ctx, c, subnet)
			return map[string]any{"id": id}, err
		}}, nil)
		return text(state, "id"), err
	}
	if key, ok := strings.CutPrefix(name, "this."); ok {
		if v := text(this, key); v != "" {
			return v, nil
		}
		return "", &needError{name}
	}
	i := strings.LastIndexByte(name, '.')
	if i > 0 {
		if p := e.h.calls[name[:i]]; p != nil && p.done {
			if v := text(p.result, name[i+1:]); v != "" {
				return v, nil
			}
		}
	}
	return "", &needError{name}
}
