package main

import (
	"bufio"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"
)

// request is one request of the operator, as the API server's audit log has it.
type request struct {
	AuditID   string `json:"auditID"`
	Verb      string `json:"verb"`
	URI       string `json:"requestURI"`
	ObjectRef *struct {
		Resource    string `json:"resource"`
		Subresource string `json:"subresource"`
		Namespace   string `json:"namespace"`
		Name        string `json:"name"`
	} `json:"objectRef"`
	ResponseStatus *struct {
		Code int `json:"code"`
	} `json:"responseStatus"`
	Received time.Time `json:"requestReceivedTimestamp"`
}

// kind names what is requested: "patch virtualservices".
func (r *request) kind() string {
	what := strings.SplitN(r.URI, "?", 2)[0]
	if r.ObjectRef != nil {
		what = r.ObjectRef.Resource
		if r.ObjectRef.Subresource != "" {
			what += "/" + r.ObjectRef.Subresource
		}
	}
	kind := r.Verb + " " + what
	if r.dryRun() {
		kind += " (dry run)"
	}
	if r.ResponseStatus != nil && r.ResponseStatus.Code >= 400 {
		kind += fmt.Sprintf(" (%d)", r.ResponseStatus.Code)
	}
	return kind
}

func (r *request) is(resource string) bool {
	return r.ObjectRef != nil && r.ObjectRef.Resource == resource
}

// lease reports whether the request is about leader election.
func (r *request) lease() bool { return r.is("leases") }

// event reports whether the request writes a Kubernetes Event.
func (r *request) event() bool { return r.is("events") }

// read reports whether the request asks for state, which caches are for.
func (r *request) read() bool { return r.Verb == "get" || r.Verb == "list" }

// dryRun reports whether the request is checked and then dropped.
func (r *request) dryRun() bool { return strings.Contains(r.URI, "dryRun=") }

// write reports whether the request may change something, as a dry run does not.
func (r *request) write() bool {
	switch r.Verb {
	case "create", "update", "patch", "delete", "deletecollection":
		return !r.dryRun()
	}
	return false
}

// requests returns what the operator asked for from one moment to another.
func (b *bench) requests(from, to time.Time) ([]request, error) {
	f, err := os.Open(b.audit)
	if err != nil {
		return nil, fmt.Errorf("opening the audit log: %w", err)
	}
	defer func() { _ = f.Close() }()
	seen := map[string]bool{} // a watch is logged at its start and its end
	var out []request
	lines := bufio.NewReader(f)
	for {
		line, err := lines.ReadBytes('\n')
		if errors.Is(err, io.EOF) { // the rest is being written
			return out, nil
		}
		if err != nil {
			return nil, fmt.Errorf("reading the audit log: %w", err)
		}
		var r request
		if err := json.Unmarshal(line, &r); err != nil {
			return nil, fmt.Errorf("reading the audit log: %w", err)
		}
		if r.Received.Before(from) || r.Received.After(to) || seen[r.AuditID] {
			continue
		}
		seen[r.AuditID] = true
		out = append(out, r)
	}
}

// tally counts requests.
type tally struct {
	Requests int            `json:"requests"` // but for leases
	Writes   int            `json:"writes"`   // but for events, leases and dry runs
	Events   int            `json:"events"`
	Reads    int            `json:"reads"` // that no cache answered
	Kinds    map[string]int `json:"kinds"`
}

func count(requests []request) tally {
	t := tally{Kinds: map[string]int{}}
	for i := range requests {
		r := &requests[i]
		if r.lease() {
			continue
		}
		t.Requests++
		t.Kinds[r.kind()]++
		switch {
		case r.event():
			t.Events++
		case r.write():
			t.Writes++
		case r.read():
			t.Reads++
		}
	}
	return t
}

// sorted returns the kinds of requests, the most frequent first.
func (t *tally) sorted() []string {
	kinds := make([]string, 0, len(t.Kinds))
	for kind := range t.Kinds {
		kinds = append(kinds, kind)
	}
	slices.SortFunc(kinds, func(a, b string) int {
		if c := cmp.Compare(t.Kinds[b], t.Kinds[a]); c != 0 {
			return c
		}
		return strings.Compare(a, b)
	})
	return kinds
}
