package history

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestParseKey(t *testing.T) {
	for in, want := range map[string]string{
		"/registry/sluice.dev/rollouts/demo/app":                 "Rollout demo app",
		"/registry/services/specs/demo/app":                      "Service demo app",
		"/registry/services/endpoints/demo/app":                  "",
		"/registry/networking.istio.io/virtualservices/demo/app": "VirtualService demo app",
		"/registry/gateway.networking.k8s.io/httproutes/a/b":     "HTTPRoute a b",
		"/registry/gateway.networking.k8s.io/grpcroutes/a/b":     "GRPCRoute a b",
		"/registry/leases/sluice-system/sluice":                  "Lease sluice-system sluice",
		"/registry/namespaces/demo":                              "",
		"/elsewhere/pods/a/b":                                    "",
	} {
		kind, namespace, name, ok := parseKey(in)
		got := strings.TrimSpace(kind + " " + namespace + " " + name)
		if !ok {
			got = ""
		}
		if got != want {
			t.Errorf("parseKey(%s) = %q, want %q", in, got, want)
		}
	}
}

func auditLine(at time.Time, user, verb, version string, code int) string {
	return fmt.Sprintf(`{"verb":%q,"requestURI":"/x","user":{"username":%q},"objectRef":{"resource":"rollouts","subresource":"status","namespace":"n","name":"app"},`+
		`"responseStatus":{"code":%d},"responseObject":{"metadata":{"resourceVersion":%q}},"requestReceivedTimestamp":%q}`+"\n",
		verb, user, code, version, at.Format(time.RFC3339Nano))
}

func TestAudit(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.log")
	a := OpenAudit(path)
	if err := a.Read(); err != nil {
		t.Fatalf("reading a log that is not there yet: %v", err)
	}
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	half := auditLine(at.Add(3*time.Second), alice, "patch", "9", 200)
	lines := auditLine(at.Add(time.Second), bob, "update", "7", 200) + // changed nothing
		auditLine(at, alice, "update", "7", 200) +
		auditLine(at.Add(2*time.Second), alice, "update", "8", 409) +
		strings.Replace(auditLine(at, alice, "create", "6", 201), "/x", "/x?dryRun=All", 1) +
		"not json\n"
	for _, content := range []string{lines + half[:20], lines + half} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := a.Read(); err != nil {
			t.Fatal(err)
		}
	}
	versions := []Version{{Revision: 6}, {Revision: 7}, {Revision: 8}, {Revision: 9}}
	a.Attribute(versions)
	for i, want := range []string{"", alice, "", alice} {
		if versions[i].Writer != want {
			t.Errorf("revision %d was written by %q, want %q", versions[i].Revision, versions[i].Writer, want)
		}
	}
	if got := a.Since("n", at.Add(2*time.Second)); len(got) != 2 || !strings.Contains(got[0].String(), "rollouts/status n/app: 409") {
		t.Errorf("Since: %v", got)
	}
	if got := a.Since("other", at); len(got) != 0 {
		t.Errorf("Since of another namespace: %v", got)
	}
}

func TestAuditPolicy(t *testing.T) {
	policy, err := AuditPolicy(alice, bob)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"- " + alice, "- " + bob, "level: RequestResponse", "level: None"} {
		if !strings.Contains(string(policy), want) {
			t.Errorf("the policy lacks %q:\n%s", want, policy)
		}
	}
}
