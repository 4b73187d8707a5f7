package main

import (
	"strings"
	"text/template"
)

// guide is what the welcome text speaks of.
type guide struct {
	Kubeconfig, Prometheus, Logs string
	Namespace, Service           string
	OperatorPID                  int
}

// welcome says what there is to try, as commands to copy.
func welcome(g guide) string {
	var b strings.Builder
	if err := welcomeText.Execute(&b, g); err != nil {
		return err.Error() + "\n" // the template is constant, and a test executes it
	}
	return b.String()
}

var welcomeText = template.Must(template.New("welcome").Parse(`
The cluster is up, and stays until you type quit or press Ctrl-C. Traffic keeps flowing.

  Prometheus  {{.Prometheus}}
  logs        {{.Logs}}

Type good, bad, slow, promote, abort, retry, kill, status or help. Or in another terminal:

  export KUBECONFIG={{.Kubeconfig}}

  # Look.
  kubectl -n {{.Namespace}} get rollouts,analysisruns,rolloutactions,pods
  kubectl -n {{.Namespace}} get rollout {{.Service}} -w
  kubectl -n {{.Namespace}} describe rollout {{.Service}}

  # Release a version that works, and one that fails one request in five.
  kubectl -n {{.Namespace}} patch rollout {{.Service}} --type=json -p '[{"op":"replace","path":"/spec/workload/template/spec/containers/0/image","value":"sluice.dev/demo:v20"}]'
  kubectl -n {{.Namespace}} patch rollout {{.Service}} --type=json -p '[{"op":"replace","path":"/spec/workload/template/spec/containers/0/image","value":"sluice.dev/demo:v21-errors-20"}]'

  # Command a release: Promote, PromoteFull, Abort or Retry.
  kubectl -n {{.Namespace}} create -f - <<EOF
  apiVersion: sluice.dev/v1alpha1
  kind: RolloutAction
  metadata: {generateName: abort-}
  spec: {rollout: {{.Service}}, action: Abort, revision: $(kubectl -n {{.Namespace}} get rollout {{.Service}} -o jsonpath='{.status.canary.revision}'), reason: I want to see it}
  EOF

  # Turn the weights by hand, and see them put right.
  kubectl -n {{.Namespace}} patch virtualservice {{.Service}} --type=json -p '[{"op":"replace","path":"/spec/http/0/route/0/weight","value":50},{"op":"replace","path":"/spec/http/0/route/1/weight","value":50}]'

  # Scale while a release goes on.
  kubectl -n {{.Namespace}} scale rollout {{.Service}} --replicas=6

  # Kill the operator in the middle of a release: it goes on where it was.
  kill -9 {{.OperatorPID}}

`))
