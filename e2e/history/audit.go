package history

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"sigs.k8s.io/yaml"
)

// AuditPolicy is the API server's audit policy under which its log has the writes
// of some users, with what they wrote, and nothing else.
func AuditPolicy(users ...string) ([]byte, error) {
	policy, err := yaml.Marshal(map[string]any{
		"apiVersion":        "audit.k8s.io/v1",
		"kind":              "Policy",
		"omitStages":        []string{"RequestReceived"},
		"omitManagedFields": true,
		"rules": []map[string]any{
			{"level": "RequestResponse", "users": users, "verbs": []string{"create", "update", "patch", "delete"}},
			{"level": "None"},
		},
	})
	if err != nil {
		return nil, fmt.Errorf("writing the audit policy: %w", err)
	}
	return policy, nil
}

// Write is a request of an operator that was to change something.
type Write struct {
	At                        time.Time
	User, Verb                string
	Resource, Namespace, Name string
	Code                      int
	// revision that was stored, 0 if none was.
	revision int64
}

// String is for messages.
func (w Write) String() string {
	return fmt.Sprintf("%s %s %s %s %s/%s: %d", w.At.Format("15:04:05.000"), w.User, w.Verb, w.Resource, w.Namespace, w.Name, w.Code)
}

// Audit reads an API server's audit log as it grows.
type Audit struct {
	path string

	mu      sync.Mutex
	offset  int64
	writers map[int64]Write
	writes  []Write
}

// OpenAudit reads the log at path, which need not exist yet.
func OpenAudit(path string) *Audit {
	return &Audit{path: path, writers: map[int64]Write{}}
}

// auditEvent is the part of audit.k8s.io/v1 Event that matters.
type auditEvent struct {
	Verb       string `json:"verb"`
	RequestURI string `json:"requestURI"`
	User       struct {
		Username string `json:"username"`
	} `json:"user"`
	ObjectRef struct {
		Resource, Subresource, Namespace, Name string
	} `json:"objectRef"`
	ResponseStatus struct {
		Code int `json:"code"`
	} `json:"responseStatus"`
	ResponseObject struct {
		Metadata struct {
			Name            string `json:"name"`
			ResourceVersion string `json:"resourceVersion"`
		} `json:"metadata"`
	} `json:"responseObject"`
	RequestReceivedTimestamp time.Time `json:"requestReceivedTimestamp"`
}

// Read takes in what was logged since the last call.
func (a *Audit) Read() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	f, err := os.Open(a.path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("opening the audit log: %w", err)
	}
	defer func() { _ = f.Close() }()
	if _, err := f.Seek(a.offset, io.SeekStart); err != nil {
		return fmt.Errorf("reading the audit log: %w", err)
	}
	in := bufio.NewReader(f)
	for {
		line, err := in.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return nil // A line that is not whole yet is read again.
		}
		if err != nil {
			return fmt.Errorf("reading the audit log: %w", err)
		}
		a.offset += int64(len(line))
		a.take(line)
	}
}

// take notes one event. A line that an API server which was killed left half
// written says nothing.
func (a *Audit) take(line []byte) {
	var e auditEvent
	if json.Unmarshal(line, &e) != nil || strings.Contains(e.RequestURI, "dryRun=") {
		return
	}
	w := Write{
		At: e.RequestReceivedTimestamp, User: e.User.Username, Verb: e.Verb, Namespace: e.ObjectRef.Namespace,
		Name: e.ObjectRef.Name, Resource: e.ObjectRef.Resource, Code: e.ResponseStatus.Code,
	}
	if e.ObjectRef.Subresource != "" {
		w.Resource += "/" + e.ObjectRef.Subresource
	}
	if w.Name == "" {
		w.Name = e.ResponseObject.Metadata.Name
	}
	a.writes = append(a.writes, w)
	if w.Code >= 300 || w.Verb == "delete" {
		return
	}
	w.revision, _ = strconv.ParseInt(e.ResponseObject.Metadata.ResourceVersion, 10, 64)
	// A write that changed nothing answers with an older version: the first to
	// answer with a version wrote it.
	if known, ok := a.writers[w.revision]; w.revision > 0 && (!ok || w.At.Before(known.At)) {
		a.writers[w.revision] = w
	}
}

// Attribute sets the writers of versions.
func (a *Audit) Attribute(versions []Version) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for i := range versions {
		versions[i].Writer = a.writers[versions[i].Revision].User
	}
}

// Since returns the writes in a namespace from a time on.
func (a *Audit) Since(namespace string, from time.Time) []Write {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(a.writes), func(w Write) bool {
		return w.Namespace != namespace || w.At.Before(from)
	})
}
