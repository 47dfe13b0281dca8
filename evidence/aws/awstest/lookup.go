package awstest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"time"
)

// TrailEvent is an event that LookupEvents knows. Attributes are by their names
// there.
type TrailEvent struct {
	ID         string
	Time       time.Time
	Attributes map[string]string
	Record     string // the JSON of the record
}

// EventHistory is CloudTrail as far as LookupEvents goes: events of a region, by
// exactly one attribute, the newest first, 50 a page at most, two calls a second,
// 90 days back, and a token that goes with its own question only.
type EventHistory struct {
	JSON
	Events map[string][]TrailEvent // by region
	Denied map[string]bool         // regions that say no
	Now    func() time.Time

	calls map[string][]time.Time
	Slow  int // calls that were refused as too fast
}

// Serve answers.
func (h *EventHistory) Serve(w http.ResponseWriter, r *Request) error {
	if r.Action != "LookupEvents" {
		return h.JSON.Serve(w, r)
	}
	if h.Denied[r.Region] {
		return &Error{Status: http.StatusBadRequest, Code: "AccessDeniedException", Message: "explicit deny in a service control policy"}
	}
	if h.calls == nil {
		h.calls = map[string][]time.Time{}
	}
	now := h.Now()
	recent := slices.DeleteFunc(h.calls[r.Region], func(t time.Time) bool { return now.Sub(t) >= time.Second })
	if len(recent) >= 2 {
		h.Slow++
		return &Error{Status: http.StatusBadRequest, Code: "ThrottlingException", Message: "Rate exceeded"}
	}
	h.calls[r.Region] = append(recent, now)
	var in struct {
		LookupAttributes   []struct{ AttributeKey, AttributeValue string }
		StartTime, EndTime float64
		MaxResults         int
		NextToken          string
	}
	if err := json.Unmarshal(r.Body, &in); err != nil {
		return &Error{Status: http.StatusBadRequest, Code: "SerializationException", Message: err.Error()}
	}
	if len(in.LookupAttributes) != 1 {
		return &Error{Status: http.StatusBadRequest, Code: "InvalidLookupAttributesException", Message: "You can specify only one lookup attribute."}
	}
	if in.MaxResults < 1 || in.MaxResults > 50 {
		return &Error{Status: http.StatusBadRequest, Code: "InvalidMaxResultsException", Message: "1 to 50"}
	}
	return h.answer(w, r.Region, now, in.LookupAttributes[0].AttributeKey, in.LookupAttributes[0].AttributeValue, in.StartTime, in.EndTime, in.MaxResults, in.NextToken)
}

func (h *EventHistory) answer(w http.ResponseWriter, region string, now time.Time, key, value string, start, end float64, most int, token string) error {
	question, at := fmt.Sprintf("%s=%s %.0f-%.0f", key, value, start, end), 0
	if token != "" {
		n, err := fmt.Sscanf(token, question+" @%d", &at)
		if n != 1 || err != nil {
			return &Error{Status: http.StatusBadRequest, Code: "InvalidNextTokenException", Message: "the token is of another question"}
		}
	}
	var found []TrailEvent
	for _, e := range h.Events[region] {
		t := float64(e.Time.Unix())
		if e.Attributes[key] == value && t >= start && t <= end && now.Sub(e.Time) <= 90*24*time.Hour {
			found = append(found, e)
		}
	}
	slices.SortStableFunc(found, func(a, b TrailEvent) int { return b.Time.Compare(a.Time) })
	events := []any{}
	for _, e := range found[at:min(len(found), at+most)] {
		events = append(events, map[string]any{"EventId": e.ID, "EventTime": e.Time.Unix(), "AccessKeyId": e.Attributes["AccessKeyId"], "EventName": e.Attributes["EventName"], "CloudTrailEvent": e.Record, "Resources": []any{}})
	}
	out := map[string]any{"Events": events}
	if at += most; at < len(found) {
		out["NextToken"] = fmt.Sprintf("%s @%d", question, at)
	}
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	return json.NewEncoder(w).Encode(out)
}
