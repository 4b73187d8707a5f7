package demo

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/yaml"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/localcluster"
)

// Whom Alertmanager is, as in config/samples/alerts.
const (
	alertsNamespace = "monitoring"
	alertsAccount   = "alertmanager"
	alertsAudience  = "sluice-alerts"
)

// AlertName is the alert of AlertRule, with the labels of the service and the revision
// whose requests fail.
const AlertName = "RevisionErrorRatio"

// Alerting is what takes alerts to the operator: Prometheus with a rule, Alertmanager
// with the shipped configuration, and an identity for it.
type Alerting struct {
	cluster *localcluster.Cluster
	root    string
	// Receiver is the address at which the operator takes alerts in.
	Receiver  string
	tokenFile string
}

// StartAlerting gives Alertmanager an identity, starts it and gives Prometheus a rule.
// The operator, and other users who run it, may do what alerts need.
func StartAlerting(ctx context.Context, c *localcluster.Cluster, root string, users ...string) (*Alerting, error) {
	addrs, err := freeAddrs(1)
	if err != nil {
		return nil, err
	}
	a := &Alerting{cluster: c, root: root, Receiver: addrs[0], tokenFile: filepath.Join(c.Dir(), "alertmanager.token")}
	if err := a.permit(ctx, users); err != nil {
		return nil, err
	}
	if err := a.identify(ctx); err != nil {
		return nil, err
	}
	if err := a.StartAlertmanager(ctx); err != nil {
		return nil, err
	}
	return a, c.SetRules(ctx, []byte(errorRatioAlert))
}

// permit applies config/alerts, for the operator's service account and others.
func (a *Alerting) permit(ctx context.Context, users []string) error {
	folder := filepath.Join(a.root, "config", "alerts")
	if err := a.cluster.Apply(ctx, filepath.Join(folder, "role.yaml"), filepath.Join(folder, "role_binding.yaml")); err != nil {
		return fmt.Errorf("applying config/alerts: %w", err)
	}
	for _, user := range users {
		binding := fmt.Sprintf(alertsBinding, user)
		if err := a.cluster.ApplyYAML(ctx, binding); err != nil {
			return fmt.Errorf("permitting %s to take alerts in: %w", user, err)
		}
	}
	return nil
}

const alertsBinding = `
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: %[1]s-alerts}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: sluice-alerts}
subjects:
- {kind: User, apiGroup: rbac.authorization.k8s.io, name: %[1]s}
`

// identify makes Alertmanager's service account and a token of it for the receiver.
func (a *Alerting) identify(ctx context.Context) error {
	err := a.cluster.ApplyYAML(ctx, fmt.Sprintf(`
apiVersion: v1
kind: Namespace
metadata: {name: %[1]s}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: %[2]s, namespace: %[1]s}
`, alertsNamespace, alertsAccount))
	if err != nil {
		return fmt.Errorf("making Alertmanager's service account: %w", err)
	}
	kube, err := kubernetes.NewForConfig(a.cluster.AdminConfig())
	if err != nil {
		return fmt.Errorf("connecting: %w", err)
	}
	request := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{Audiences: []string{alertsAudience}}}
	granted, err := kube.CoreV1().ServiceAccounts(alertsNamespace).CreateToken(ctx, alertsAccount, request, metav1.CreateOptions{})
	if err != nil {
		return fmt.Errorf("asking for Alertmanager's token: %w", err)
	}
	if err := os.WriteFile(a.tokenFile, []byte(granted.Status.Token), 0o600); err != nil {
		return fmt.Errorf("writing Alertmanager's token: %w", err)
	}
	return nil
}

// StartAlertmanager starts Alertmanager with the shipped configuration. Only where the
// receiver is and how it is trusted differs on one machine.
func (a *Alerting) StartAlertmanager(ctx context.Context) error {
	return a.StartAlertmanagerTo(ctx, a.Receiver)
}

// StartAlertmanagerTo is StartAlertmanager for a receiver at another address.
func (a *Alerting) StartAlertmanagerTo(ctx context.Context, receiver string) error {
	_, _, authority := a.cluster.ServingFiles()
	shipped, err := os.ReadFile(filepath.Join(a.root, "config", "samples", "alerts", "alertmanager.yaml"))
	if err != nil {
		return fmt.Errorf("reading Alertmanager's configuration: %w", err)
	}
	config := map[string]any{}
	if err := yaml.Unmarshal(shipped, &config); err != nil {
		return fmt.Errorf("reading Alertmanager's configuration: %w", err)
	}
	receivers, _, err := unstructured.NestedSlice(config, "receivers")
	if err != nil {
		return fmt.Errorf("reading Alertmanager's receivers: %w", err)
	}
	for i := range receivers {
		webhooks, ok, err := unstructured.NestedSlice(receivers[i].(map[string]any), "webhook_configs") //nolint:forcetypeassert // Alertmanager says what else it is
		if err != nil || !ok {
			continue
		}
		webhook := webhooks[0].(map[string]any) //nolint:forcetypeassert // likewise
		for _, field := range []struct {
			value string
			path  []string
		}{
			{"https://" + receiver + "/v1/alerts", []string{"url"}},
			{a.tokenFile, []string{"http_config", "authorization", "credentials_file"}},
			{authority, []string{"http_config", "tls_config", "ca_file"}},
		} {
			if err := unstructured.SetNestedField(webhook, field.value, field.path...); err != nil {
				return fmt.Errorf("adapting Alertmanager's configuration: %w", err)
			}
		}
		receivers[i].(map[string]any)["webhook_configs"] = webhooks //nolint:forcetypeassert // likewise
	}
	config["receivers"] = receivers
	content, err := yaml.Marshal(config)
	if err != nil {
		return fmt.Errorf("writing Alertmanager's configuration: %w", err)
	}
	return a.cluster.StartAlertmanager(ctx, content)
}

// OperatorArgs are the flags with which an operator takes these alerts in, by push and
// by pull.
func (a *Alerting) OperatorArgs() []string {
	return append(a.PushArgs(),
		"--alerts-alertmanager-address="+a.cluster.AlertmanagerURL(),
		"--alerts-poll-interval=1s",
		"--alerts-max-age=5s",
		"--alerts-poll-as=system:serviceaccount:"+alertsNamespace+":"+alertsAccount,
	)
}

// PushArgs are the flags with which an operator takes these alerts in by push alone.
func (a *Alerting) PushArgs() []string {
	cert, key, _ := a.cluster.ServingFiles()
	return []string{
		"--alerts-bind-address=" + a.Receiver,
		"--alerts-tls-cert-file=" + cert,
		"--alerts-tls-key-file=" + key,
		"--alerts-audiences=" + alertsAudience,
	}
}

// AllowSender lets Alertmanager's alerts command the releases of a namespace, as the
// sample does.
func (a *Alerting) AllowSender(ctx context.Context, namespace string) error {
	objects, err := readManifest(filepath.Join(a.root, "config", "samples", "alerts", "sender.yaml"))
	if err != nil {
		return err
	}
	for _, object := range objects {
		if object.GetNamespace() != SystemNamespace {
			object.SetNamespace(namespace)
		}
	}
	if err := a.cluster.ApplyObjects(ctx, objects...); err != nil {
		return fmt.Errorf("permitting alerts in namespace %s: %w", namespace, err)
	}
	return nil
}

// AlertRule takes a service's release back when one of its revisions fails.
func AlertRule(service string) v1alpha1.AlertRule {
	return v1alpha1.AlertRule{
		Name:     "errors",
		Matchers: []string{`alertname="` + AlertName + `"`, `destination_workload="` + service + `"`, `severity="page"`},
	}
}

// errorRatioAlert is config/samples/alerts/prometheusrule.yaml for gRPC, and in more of
// a hurry.
var errorRatioAlert = `
groups:
- name: releases
  interval: 1s
  rules:
  - alert: ` + AlertName + `
    expr: |
      sum by (destination_workload_namespace, destination_workload, destination_canonical_revision) (
        rate(istio_requests_total{reporter="source", grpc_response_status=~"` + badStatuses + `"}[5s]))
      /
      sum by (destination_workload_namespace, destination_workload, destination_canonical_revision) (
        rate(istio_requests_total{reporter="source"}[5s]))
      > 0.05
    labels:
      severity: page
      sluice: release
`
