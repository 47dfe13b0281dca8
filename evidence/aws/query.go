package aws

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/smithy-go"
)

// queryService is a service that takes a form and answers in XML, of which the
// program needs a handful of calls: it is called without a module of its own.
type queryService struct {
	a       *Account
	name    string // in the signature's scope and in the host
	version string // of its API
}

// maxDepth bounds how deep an answer may be nested.
const maxDepth = 32

// op makes an operation of an action.
func (s queryService) op(action string) operation {
	return func(ctx context.Context, params []byte) (any, error) {
		var in map[string]any
		d := json.NewDecoder(bytes.NewReader(params))
		d.UseNumber()
		if err := d.Decode(&in); err != nil {
			return nil, fmt.Errorf("parameters: %w", err)
		}
		form := url.Values{"Action": {action}, "Version": {s.version}}
		flatten("", in, form)
		return s.call(ctx, action, form.Encode())
	}
}

// flatten writes parameters as a form: Key, Key.member.1, Key.member.1.Sub.
func flatten(at string, v any, form url.Values) {
	switch v := v.(type) {
	case map[string]any:
		for k, x := range v {
			if at != "" {
				k = at + "." + k
			}
			flatten(k, x, form)
		}
	case []any:
		for i, x := range v {
			flatten(at+".member."+strconv.Itoa(i+1), x, form)
		}
	case nil:
	default:
		form.Set(at, fmt.Sprint(v))
	}
}

func (s queryService) endpoint() string {
	key := "AWS_ENDPOINT_URL_" + strings.ToUpper(strings.ReplaceAll(s.name, "elasticloadbalancing", "elastic_load_balancing_v2"))
	if s.name == "autoscaling" {
		key = "AWS_ENDPOINT_URL_AUTO_SCALING"
	}
	if u := os.Getenv(key); u != "" {
		return u
	}
	if s.a.config.BaseEndpoint != nil {
		return *s.a.config.BaseEndpoint
	}
	domain := "amazonaws.com"
	if strings.HasPrefix(s.a.Region, "cn-") {
		domain = "amazonaws.com.cn"
	}
	return "https://" + s.name + "." + s.a.Region + "." + domain + "/"
}

// call sends a form once. What comes back is kept as other calls keep it.
func (s queryService) call(ctx context.Context, action, form string) (any, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, s.endpoint(), strings.NewReader(form))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
	who, err := s.a.config.Credentials.Retrieve(ctx)
	if err != nil {
		return nil, fmt.Errorf("get identity: get credentials: %w", err)
	}
	sum := sha256.Sum256([]byte(form))
	if err := v4.NewSigner().SignHTTP(ctx, who, r, hex.EncodeToString(sum[:]), s.name, s.a.Region, s.a.now()); err != nil {
		return nil, err
	}
	var client sdk.HTTPClient = http.DefaultClient
	if s.a.config.HTTPClient != nil {
		client = s.a.config.HTTPClient
	}
	resp, err := client.Do(r)
	if err != nil {
		return nil, err
	}
	raw, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	err = errors.Join(err, resp.Body.Close())
	if k, ok := ctx.Value(keptKey{}).(*kept); ok {
		*k = kept{status: resp.StatusCode, kind: resp.Header.Get("Content-Type"), raw: raw, request: requestIDOf(resp.Header)}
		if t, perr := http.ParseTime(resp.Header.Get("Date")); perr == nil {
			k.date = t
		}
	}
	if err != nil || len(raw) > maxAnswer {
		return nil, &lostError{errors.Join(err, errors.New("the answer did not come whole"))}
	}
	return answerOf(resp.StatusCode, action, raw)
}

// answerOf takes the result, or the error, out of an answer.
func answerOf(status int, action string, raw []byte) (any, error) {
	d := xml.NewDecoder(bytes.NewReader(raw))
	var root any
	var name string
	for {
		t, err := d.Token()
		if err != nil {
			return nil, fmt.Errorf("decode the answer: %w", err)
		}
		if start, ok := t.(xml.StartElement); ok {
			name = start.Name.Local
			if root, err = element(d, 0); err != nil {
				return nil, fmt.Errorf("decode the answer: %w", err)
			}
			break
		}
	}
	top, _ := root.(map[string]any)
	if status >= http.StatusMultipleChoices || name == "ErrorResponse" {
		e, _ := top["Error"].(map[string]any)
		code, _ := e["Code"].(string)
		msg, _ := e["Message"].(string)
		if code == "" {
			return nil, fmt.Errorf("status %d without an error code", status)
		}
		return nil, &smithy.GenericAPIError{Code: code, Message: msg}
	}
	if out, ok := top[action+"Result"].(map[string]any); ok {
		return out, nil
	}
	return map[string]any{}, nil
}

// element reads to the end of the element that was begun: text, a list where its
// children are called member, else a map.
func element(d *xml.Decoder, depth int) (any, error) {
	if depth > maxDepth {
		return nil, fmt.Errorf("nested more than %d deep", maxDepth)
	}
	var said strings.Builder
	fields, list, isList := map[string]any{}, []any{}, false
	for {
		t, err := d.Token()
		if err != nil {
			return nil, err
		}
		switch t := t.(type) {
		case xml.CharData:
			said.Write(t)
		case xml.StartElement:
			v, err := element(d, depth+1)
			if err != nil {
				return nil, err
			}
			if t.Name.Local == "member" {
				isList, list = true, append(list, v)
			} else {
				fields[t.Name.Local] = v
			}
		case xml.EndElement:
			switch {
			case isList:
				return list, nil
			case len(fields) > 0:
				return fields, nil
			}
			return strings.TrimSpace(said.String()), nil
		}
	}
}
