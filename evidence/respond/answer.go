package respond

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"

	"snapcase/evidence"
)

// read makes a read call and decodes every page into a T of its own.
func read[T any](ctx context.Context, c Cloud, service, action string, params map[string]any) ([]T, error) {
	answers, err := c.Read(ctx, evidence.CloudCall{Service: service, Action: action, Params: params})
	if err != nil {
		return nil, err
	}
	all := make([]T, len(answers))
	for i, a := range answers {
		if err := json.Unmarshal(a.Body, &all[i]); err != nil {
			return nil, fmt.Errorf("%s:%s: decode the answer: %w", service, action, err)
		}
	}
	return all, nil
}

// filter is a Filters parameter of ec2, from name and value pairs.
func filter(pairs ...string) []any {
	var f []any
	for i := 0; i+1 < len(pairs); i += 2 {
		f = append(f, map[string]any{"Name": pairs[i], "Values": []any{pairs[i+1]}})
	}
	return f
}

// list turns strings into a JSON list.
func list(all ...string) []any {
	l := make([]any, len(all))
	for i, s := range all {
		l[i] = s
	}
	return l
}

// plain brings a value to what JSON knows, with whole numbers as int64, so
// that it can stand in the ledger and compare equal after being read back.
func plain(v any) (any, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	var out any
	if err := d.Decode(&out); err != nil {
		return nil, err
	}
	return whole(out), nil
}

// whole turns numbers into int64 and leaves nulls out.
func whole(v any) any {
	switch v := v.(type) {
	case json.Number:
		if n, err := v.Int64(); err == nil {
			return n
		}
		return v.String()
	case map[string]any:
		for k, x := range v {
			if x == nil {
				delete(v, k)
			} else {
				v[k] = whole(x)
			}
		}
	case []any:
		for i := range v {
			v[i] = whole(v[i])
		}
	}
	return v
}

// object is plain for a map.
func object(v any) (map[string]any, error) {
	p, err := plain(v)
	if err != nil {
		return nil, err
	}
	m, ok := p.(map[string]any)
	if !ok {
		return map[string]any{}, nil
	}
	return m, nil
}
