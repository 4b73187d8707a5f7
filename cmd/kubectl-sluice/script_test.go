package main

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-dev/sluice/api/v1alpha1"
)

// TestScripts runs the plugin, a process of its own for each command, against the
// operator on a real API server. Each script has a namespace of its own.
func TestScripts(t *testing.T) {
	w := theWorld(t)
	testscript.Run(t, testscript.Params{
		Dir:                 filepath.Join("testdata", "script"),
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(env *testscript.Env) error {
			name, kubeconfig, err := w.namespace(context.Background(), env.WorkDir)
			if err != nil {
				return err
			}
			env.Vars = append(env.Vars, "KUBECONFIG="+kubeconfig, "NAMESPACE="+name, "HOME="+env.WorkDir, "NO_COLOR=")
			env.Defer(func() { w.gate.release(name) })
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"service":      w.serviceCommand,
			"hold":         w.holdCommand,
			"release":      w.releaseCommand,
			"await-action": w.awaitActionCommand,
			"await-step":   w.awaitStepCommand,
			"await-canary": w.awaitCanaryCommand,
			"weight":       w.weightCommand,
			"actions":      w.actionsCommand,
			"grant":        w.grantCommand,
			"policy":       w.policyCommand,
			"exits":        exitsCommand,
			"create":       w.createCommand,
			"prometheus":   prometheusCommand,
		},
	})
}

// arguments checks how many a command got.
func arguments(ts *testscript.TestScript, neg bool, args []string, n int, usage string) {
	if neg || len(args) != n {
		ts.Fatalf("usage: %s", usage)
	}
}

// serviceCommand creates a service with its Rollout.
func (w *world) serviceCommand(ts *testscript.TestScript, neg bool, args []string) {
	arguments(ts, neg, args, 1, "service NAME")
	ts.Check(w.service(ts.Getenv("NAMESPACE"), args[0]))
}

func (w *world) service(namespace, name string) error {
	return w.create(context.Background(), filepath.Join("testdata", "service.yaml"), namespace, "NAME", name)
}

// holdCommand holds the operator's decisions in the script's namespace.
func (w *world) holdCommand(ts *testscript.TestScript, neg bool, args []string) {
	arguments(ts, neg, args, 0, "hold")
	w.gate.hold(ts.Getenv("NAMESPACE"))
}

func (w *world) releaseCommand(ts *testscript.TestScript, neg bool, args []string) {
	arguments(ts, neg, args, 0, "release")
	w.gate.release(ts.Getenv("NAMESPACE"))
}

// awaitActionCommand waits until somebody created a command of a kind.
func (w *world) awaitActionCommand(ts *testscript.TestScript, neg bool, args []string) {
	arguments(ts, neg, args, 1, "await-action KIND")
	ts.Check(w.await(context.Background(), &v1alpha1.RolloutActionList{}, ts.Getenv("NAMESPACE"), "the command", func(o client.Object) bool {
		return string(o.(*v1alpha1.RolloutAction).Spec.Action) == args[0]
	}))
}

// awaitStepCommand waits until a Rollout is in a step, and the step in force.
func (w *world) awaitStepCommand(ts *testscript.TestScript, neg bool, args []string) {
	arguments(ts, neg, args, 2, "await-step NAME STEP")
	ts.Check(w.awaitStep(context.Background(), ts.Getenv("NAMESPACE"), args[0], args[1]))
}

func (w *world) awaitStep(ctx context.Context, namespace, name, step string) error {
	return w.await(ctx, &v1alpha1.RolloutList{}, namespace, "step "+step, func(o client.Object) bool {
		at := o.(*v1alpha1.Rollout).Status.Step
		return o.GetName() == name && at != nil && at.Name == step && at.InForceSince != nil
	})
}

// awaitCanaryCommand waits until another revision than that of a file is the canary.
func (w *world) awaitCanaryCommand(ts *testscript.TestScript, neg bool, args []string) {
	arguments(ts, neg, args, 2, "await-canary NAME FILE")
	before := strings.TrimSpace(ts.ReadFile(args[1]))
	ts.Check(w.await(context.Background(), &v1alpha1.RolloutList{}, ts.Getenv("NAMESPACE"), "another canary", func(o client.Object) bool {
		canary := o.(*v1alpha1.Rollout).Status.Canary
		return o.GetName() == args[0] && canary != nil && canary.Revision != before
	}))
}

// weightCommand holds what the VirtualService gives the canary.
func (w *world) weightCommand(ts *testscript.TestScript, neg bool, args []string) {
	arguments(ts, neg, args, 2, "weight NAME PERCENT")
	got, err := w.weight(ts.Getenv("NAMESPACE"), args[0])
	ts.Check(err)
	if got != args[1] {
		ts.Fatalf("the VirtualService gives the canary %s%%, not %s%%", got, args[1])
	}
}

func (w *world) weight(namespace, name string) (string, error) {
	u := &unstructured.Unstructured{}
	u.SetGroupVersionKind(schema.GroupVersionKind{Group: "networking.istio.io", Version: "v1", Kind: "VirtualService"})
	if err := w.client.Get(context.Background(), types.NamespacedName{Namespace: namespace, Name: name}, u); err != nil {
		return "", err
	}
	http, _, err := unstructured.NestedSlice(u.Object, "spec", "http")
	if err != nil || len(http) != 1 {
		return "", fmt.Errorf("%d routes: %w", len(http), err)
	}
	routes, _, err := unstructured.NestedSlice(http[0].(map[string]any), "route")
	if err != nil || len(routes) != 2 {
		return "", fmt.Errorf("%d destinations: %w", len(routes), err)
	}
	weight, _, err := unstructured.NestedInt64(routes[1].(map[string]any), "weight")
	return strconv.FormatInt(weight, 10), err
}

// actionsCommand holds how many commands were created in the namespace.
func (w *world) actionsCommand(ts *testscript.TestScript, neg bool, args []string) {
	arguments(ts, neg, args, 1, "actions COUNT")
	list := &v1alpha1.RolloutActionList{}
	ts.Check(w.client.List(context.Background(), list, client.InNamespace(ts.Getenv("NAMESPACE"))))
	if got := strconv.Itoa(len(list.Items)); got != args[0] {
		ts.Fatalf("there are %s commands, not %s", got, args[0])
	}
}

// grantCommand gives a user a ClusterRole in the namespace.
func (w *world) grantCommand(ts *testscript.TestScript, neg bool, args []string) {
	arguments(ts, neg, args, 2, "grant USER ROLE")
	ts.Check(w.grant(ts.Getenv("NAMESPACE"), args[0], args[1]))
}

func (w *world) grant(namespace, user, role string) error {
	return w.client.Create(context.Background(), &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: user + "-" + role},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.UserKind, Name: user}},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role},
	})
}

// exitsCommand runs a program and holds its exit code.
func exitsCommand(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE PROGRAM ARGUMENTS...")
	}
	err := ts.Exec(args[1], args[2:]...)
	code := 0
	var exited *exec.ExitError
	if errors.As(err, &exited) {
		code = exited.ExitCode()
	} else {
		ts.Check(err)
	}
	if strconv.Itoa(code) != args[0] {
		ts.Fatalf("it exited with %d, not %s", code, args[0])
	}
}
