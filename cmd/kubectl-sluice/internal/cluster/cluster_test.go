package cluster_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/cmd/kubectl-sluice/internal/cluster"
)

var rollouts = schema.GroupResource{Group: "sluice.dev", Resource: "rollouts"}

// touched is a cluster in memory, and a function that changes its Rollout.
func touched(t *testing.T) (*cluster.Cluster, func()) {
	t.Helper()
	scheme, err := cluster.Scheme()
	if err != nil {
		t.Fatal(err)
	}
	r := &v1alpha1.Rollout{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "app"}}
	c := fake.NewClientBuilder().WithScheme(scheme).WithObjects(r).Build()
	return &cluster.Cluster{Client: c, Namespace: "shop"}, func() {
		now := &v1alpha1.Rollout{}
		if err := c.Get(t.Context(), client.ObjectKeyFromObject(r), now); err != nil {
			t.Fatal(err)
		}
		now.Spec.Paused = !now.Spec.Paused
		if err := c.Update(t.Context(), now); err != nil {
			t.Fatal(err)
		}
	}
}

// TestFollow holds which failed looks end it: those that are final, and the first one.
func TestFollow(t *testing.T) {
	away := apierrors.NewServiceUnavailable("the API server restarts")
	gone := apierrors.NewNotFound(rollouts, "app")
	for _, tt := range []struct {
		name  string
		looks []error // what each look comes to; the one after the last is done
		want  error
	}{
		{"nothing fails", []error{nil, nil}, nil},
		{"the API server restarts", []error{nil, away, away, nil}, nil},
		{"the API server is away from the start", []error{away}, away},
		{"the Rollout is deleted", []error{nil, gone}, gone},
		{"the permission is taken away", []error{nil, apierrors.NewForbidden(rollouts, "app", nil)}, apierrors.NewForbidden(rollouts, "app", nil)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, touch := touched(t)
			looked := 0
			err := c.Follow(t.Context(), "app", func(context.Context) (bool, error) {
				touch() // the next look comes soon
				looked++
				if looked > len(tt.looks) {
					return true, nil
				}
				return false, tt.looks[looked-1]
			})
			if (err == nil) != (tt.want == nil) || err != nil && err.Error() != tt.want.Error() {
				t.Errorf("ended with %v, not %v", err, tt.want)
			}
			if want := len(tt.looks) + 1; tt.want == nil && looked != want {
				t.Errorf("%d looks, not %d", looked, want)
			}
		})
	}
}

// TestFollowEnds holds that the end of the context ends it, with its cause.
func TestFollowEnds(t *testing.T) {
	c, _ := touched(t)
	cause := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	err := c.Follow(ctx, "app", func(context.Context) (bool, error) {
		cancel(cause)
		return false, nil
	})
	if !errors.Is(err, cause) {
		t.Errorf("ended with %v", err)
	}
}

// TestErrorsSayWhatToDo holds what is added to what an API server answers.
func TestErrorsSayWhatToDo(t *testing.T) {
	for _, tt := range []struct {
		name, body string
		status     int
		says       string
	}{
		{"no CustomResourceDefinitions", "404 page not found", http.StatusNotFound, "this cluster does not have Sluice's CustomResourceDefinitions: install Sluice"},
		{
			"no Rollout", `{"kind":"Status","apiVersion":"v1","status":"Failure","message":"rollouts.sluice.dev \"app\" not found","reason":"NotFound","details":{"name":"app","group":"sluice.dev","kind":"rollouts"},"code":404}`,
			http.StatusNotFound, `"kubectl sluice list -n shop" shows those of this namespace`,
		},
		{
			"no permission", `{"kind":"Status","apiVersion":"v1","status":"Failure","message":"no","reason":"Forbidden","code":403}`,
			http.StatusForbidden, "ask for the ClusterRole sluice-viewer",
		},
		{"no login", `{"kind":"Status","apiVersion":"v1","status":"Failure","message":"no","reason":"Unauthorized","code":401}`, http.StatusUnauthorized, "log in again"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				if strings.HasPrefix(tt.body, "{") {
					w.Header().Set("Content-Type", "application/json")
				}
				w.WriteHeader(tt.status)
				_, _ = w.Write([]byte(tt.body))
			}))
			defer server.Close()
			_, err := connect(t, server.URL).Rollout(t.Context(), "app")
			if err == nil || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("%v does not say %q", err, tt.says)
			}
		})
	}
}

// TestAnswersAreFew holds that one look at a Rollout costs few requests, discovery
// included.
func TestAnswersAreFew(t *testing.T) {
	var asked []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.URL.Path)
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{"apiVersion":"sluice.dev/v1alpha1","kind":"Rollout","metadata":{"name":"app","namespace":"shop"}}`))
	}))
	_, err := connect(t, server.URL).Rollout(t.Context(), "app")
	server.Close() // and with it what appends to asked
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"/apis/sluice.dev/v1alpha1/namespaces/shop/rollouts/app"}; !slices.Equal(asked, want) {
		t.Errorf("asked for %q", asked)
	}
}

// connect reads a kubeconfig for a server.
func connect(t *testing.T, host string) *cluster.Cluster {
	t.Helper()
	config := clientcmdapi.NewConfig()
	config.Clusters["test"] = &clientcmdapi.Cluster{Server: host}
	config.Contexts["test"] = &clientcmdapi.Context{Cluster: "test", Namespace: "shop"}
	config.CurrentContext = "test"
	path := filepath.Join(t.TempDir(), "kubeconfig")
	if err := clientcmd.WriteToFile(*config, path); err != nil {
		t.Fatal(err)
	}
	flags := genericclioptions.NewConfigFlags(false)
	flags.KubeConfig = &path
	c, err := cluster.Connect(flags)
	if err != nil {
		t.Fatal(err)
	}
	return c
}
