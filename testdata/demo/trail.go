package main

import (
	"encoding/json"
	"fmt"
	"log"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// event has the fields of a CloudTrail record in the order AWS writes them.
type event struct {
	EventVersion string         `json:"eventVersion"`
	Identity     map[string]any `json:"userIdentity"`
	Time         string         `json:"eventTime"`
	Source       string         `json:"eventSource"`
	Name         string         `json:"eventName"`
	Region       string         `json:"awsRegion"`
	IP           string         `json:"sourceIPAddress"`
	Agent        string         `json:"userAgent"`
	ErrorCode    string         `json:"errorCode,omitempty"`
	ErrorMessage string         `json:"errorMessage,omitempty"`
	Request      any            `json:"requestParameters"`
	Response     any            `json:"responseElements"`
	Additional   any            `json:"additionalEventData,omitempty"`
	RequestID    string         `json:"requestID,omitempty"`
	ID           string         `json:"eventID"`
	ReadOnly     bool           `json:"readOnly"`
	Resources    []resource     `json:"resources,omitempty"`
	Type         string         `json:"eventType"`
	Management   bool           `json:"managementEvent"`
	Recipient    string         `json:"recipientAccountId"`
	Shared       string         `json:"sharedEventID,omitempty"`
	Category     string         `json:"eventCategory"`
	TLS          *tls           `json:"tlsDetails,omitempty"`
	FromConsole  string         `json:"sessionCredentialFromConsole,omitempty"`

	when time.Time
}

type resource struct {
	Account string `json:"accountId"`
	Type    string `json:"type"`
	ARN     string `json:"ARN"`
}

type tls struct {
	Version string `json:"tlsVersion"`
	Cipher  string `json:"cipherSuite"`
	Host    string `json:"clientProvidedHostHeader"`
}

// caller is who makes calls: an identity, where from, with what.
type caller struct {
	identity  map[string]any
	ip, agent string
	console   bool
}

type obj = map[string]any

// log is the trail under construction.
type trailLog struct {
	w   *world
	all []event
}

var readers = []string{"Get", "List", "Describe", "Lookup", "Check", "Head", "BatchGet", "Assume", "Decrypt", "Select"}

// call adds one event.
func (l *trailLog) call(c caller, t time.Time, region, service, name string, req, resp any, more ...func(*event)) {
	e := event{
		EventVersion: "1.11", Identity: c.identity, when: t, Source: service + ".amazonaws.com", Name: name, Region: region,
		IP: c.ip, Agent: c.agent, Request: req, Response: resp, RequestID: l.w.uuid(), ID: l.w.uuid(),
		Type: "AwsApiCall", Management: true, Recipient: account, Category: "Management",
	}
	e.ReadOnly = slices.ContainsFunc(readers, func(p string) bool { return strings.HasPrefix(name, p) })
	switch {
	case strings.HasSuffix(c.ip, ".amazonaws.com"):
	case c.console:
		e.FromConsole = "true"
		e.TLS = &tls{"TLSv1.3", "TLS_AES_128_GCM_SHA256", service + "." + region + ".amazonaws.com"}
	default:
		e.TLS = &tls{"TLSv1.3", "TLS_AES_128_GCM_SHA256", service + "." + region + ".amazonaws.com"}
	}
	for _, f := range more {
		f(&e)
	}
	l.all = append(l.all, e)
}

// denied makes an event a refused one, in the words of the service.
func denied(who, action string) func(*event) {
	return func(e *event) {
		e.ErrorCode, e.Response = "AccessDenied", nil
		e.ErrorMessage = "User: " + who + " is not authorized to perform: " + action + " because no identity-based policy allows the " + action + " action"
		if e.Source == "ec2.amazonaws.com" {
			e.ErrorCode = "Client.UnauthorizedOperation"
			e.ErrorMessage = "You are not authorized to perform this operation. User: " + who + " is not authorized to perform: " + action + " with an explicit deny in a service control policy"
		}
	}
}

func stamp(t time.Time) string { return t.Format(time.RFC3339) }

// user is the identity of an IAM user; role of a role session.
func user(name, id, key string) map[string]any {
	m := obj{"type": "IAMUser", "principalId": id, "arn": "arn:aws:iam::" + account + ":user/" + name, "accountId": account, "userName": name}
	if key != "" {
		m["accessKeyId"] = key
	}
	return m
}

func role(name, path, id, session, key string, since time.Time, mfa bool) map[string]any {
	return obj{
		"type": "AssumedRole", "principalId": id + ":" + session, "arn": "arn:aws:sts::" + account + ":assumed-role/" + name + "/" + session,
		"accountId": account, "accessKeyId": key,
		"sessionContext": obj{
			"sessionIssuer": obj{"type": "Role", "principalId": id, "arn": "arn:aws:iam::" + account + ":role/" + path + name, "accountId": account, "userName": name},
			"attributes":    obj{"creationDate": stamp(since), "mfaAuthenticated": fmt.Sprint(mfa)},
		},
	}
}

func (w *world) credentials(key string, t time.Time) map[string]any {
	return obj{"accessKeyId": key, "sessionToken": "IQoJb3JpZ2luX2VjEDAaDGV1LWNlbnRyYWwtMSJHMEUCIQ" + w.secretKey()[:24], "expiration": t.Add(time.Hour).Format("Jan 2, 2006, 3:04:05 PM")}
}

// assume adds an AssumeRole of c and gives the session's identity.
func (l *trailLog) assume(c caller, t time.Time, region, name, path, id, session, key string) map[string]any {
	arn := "arn:aws:iam::" + account + ":role/" + path + name
	l.call(c, t, region, "sts", "AssumeRole",
		obj{"roleArn": arn, "roleSessionName": session, "durationSeconds": 3600},
		obj{
			"credentials":     l.w.credentials(key, t),
			"assumedRoleUser": obj{"assumedRoleId": id + ":" + session, "arn": "arn:aws:sts::" + account + ":assumed-role/" + name + "/" + session},
		},
		func(e *event) { e.Resources = []resource{{account, "AWS::IAM::Role", arn}} })
	return role(name, path, id, session, key, t, false)
}

// trail writes the whole CloudTrail: noise, story, files as S3 holds them,
// some events delivered twice.
func (w *world) trail(dir string, facts map[string]any) {
	l := &trailLog{w: w}
	l.noise()
	noise := len(l.all)
	l.story(facts)
	slices.SortStableFunc(l.all, func(a, b event) int { return a.when.Compare(b.when) })
	type file struct {
		region string
		window time.Time
	}
	files, order := map[file][]event{}, []file{}
	put := func(f file, e event) {
		if files[f] == nil {
			order = append(order, f)
		}
		files[f] = append(files[f], e)
	}
	copies := 0
	for i := range l.all {
		e := &l.all[i]
		e.Time = stamp(e.when)
		f := file{e.Region, e.when.Truncate(30 * time.Minute)}
		put(f, *e)
		if w.r.IntN(14) == 0 { // delivered again, in the same or the next file
			copies++
			if w.r.IntN(2) == 0 {
				f.window = f.window.Add(30 * time.Minute)
			}
			put(f, *e)
		}
	}
	slices.SortFunc(order, func(a, b file) int {
		return strings.Compare(a.region+stamp(a.window), b.region+stamp(b.window))
	})
	for _, f := range order {
		t := f.window.Add(35 * time.Minute)
		name := fmt.Sprintf("%s_CloudTrail_%s_%s_%s.json", account, f.region, t.Format("20060102T1504Z"), w.name16())
		b, err := json.Marshal(struct{ Records []event }{files[f]})
		if err != nil {
			log.Fatal(err)
		}
		write(filepath.Join(dir, "AWSLogs", account, "CloudTrail", f.region, t.Format("2006/01/02"), name), b)
	}
	byKey := map[string]int{}
	for _, e := range l.all {
		if k, ok := e.Identity["accessKeyId"].(string); ok && (k == w.keyID || k == w.session || k == w.second || k == w.spare) {
			byKey[k]++
		}
	}
	facts["cloudtrail"] = obj{"files": len(order), "records": len(l.all) + copies, "distinct": len(l.all), "duplicates": copies, "noise_events": noise, "events_by_key": byKey}
}

func (w *world) name16() string {
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
	b := make([]byte, 16)
	for i := range b {
		b[i] = letters[w.r.IntN(len(letters))]
	}
	return string(b)
}
