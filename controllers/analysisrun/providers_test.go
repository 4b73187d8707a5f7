package analysisrun

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	fakeclient "sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/sluice-dev/sluice/analysis"
	"github.com/sluice-dev/sluice/analysis/fake"
	"github.com/sluice-dev/sluice/api/v1alpha1"
)

const canary = "canary-secret-7d1f"

// counting is an API server that counts reads of Secrets and can refuse them.
type counting struct {
	client.Client
	reads   int
	refuse  error
	opened  []analysis.Endpoint
	clients []*fake.Provider
	told    []providerKey
}

func newCounting(objects ...client.Object) (*counting, *Providers) {
	c := &counting{}
	c.Client = fakeclient.NewClientBuilder().WithScheme(scheme()).
		WithStatusSubresource(&v1alpha1.MetricProvider{}, &v1alpha1.AnalysisRun{}).WithObjects(objects...).
		WithInterceptorFuncs(interceptor.Funcs{
			Get: func(ctx context.Context, cl client.WithWatch, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
				if _, ok := o.(*corev1.Secret); ok {
					c.reads++
					if c.refuse != nil {
						return c.refuse
					}
				}
				return cl.Get(ctx, key, o, opts...)
			},
		}).Build()
	p, err := newProviders(c, c, Options{Clock: clock.RealClock{}, Open: func(e analysis.Endpoint) (analysis.Provider, error) {
		if strings.Contains(e.Address, "invalid") {
			return nil, &analysis.Error{Reason: analysis.ReasonProviderInvalid}
		}
		f := &fake.Provider{}
		c.opened = append(c.opened, e)
		c.clients = append(c.clients, f)
		return f, nil
	}}.withDefaults())
	if err != nil {
		panic(err)
	}
	p.onChange(func(k providerKey) { c.told = append(c.told, k) })
	return c, p
}

func withToken(mp *v1alpha1.MetricProvider) *v1alpha1.MetricProvider {
	mp.Spec.Prometheus.Auth = &v1alpha1.ProviderAuth{Bearer: &v1alpha1.SecretKeyReference{Name: "token", Key: "token"}}
	return mp
}

func secret(name string, data map[string]string) *corev1.Secret {
	s := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}, Data: map[string][]byte{}}
	for k, v := range data {
		s.Data[k] = []byte(v)
	}
	return s
}

func reference(name string) *v1alpha1.ProviderReference {
	return &v1alpha1.ProviderReference{Name: name}
}

func TestResolveKeepsClients(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mp := withToken(metricProvider("p"))
		mp.Spec.Prometheus.Timeout = dur(3 * time.Second)
		c, p := newCounting(mp, secret("token", map[string]string{"token": canary + "\n"}))
		resolve := func(wantReads, wantOpened int) {
			t.Helper()
			client, timeout, err := p.Resolve(t.Context(), namespace, reference("p"))
			if err != nil || timeout != 3*time.Second {
				t.Fatal(timeout, err)
			}
			if client != analysis.Provider(c.clients[len(c.clients)-1]) {
				t.Error("not the latest client")
			}
			if c.reads != wantReads || len(c.opened) != wantOpened {
				t.Errorf("%d reads and %d clients, want %d and %d", c.reads, len(c.opened), wantReads, wantOpened)
			}
		}
		resolve(1, 1)
		if c.opened[0].Bearer.Reveal() != canary {
			t.Error("the token is not the Secret's")
		}
		resolve(1, 1)
		pass(secretTTL - time.Second)
		resolve(1, 1)
		pass(time.Second)
		resolve(2, 1) // the same Secret: the same client

		var s corev1.Secret
		if err := c.Get(t.Context(), key("token"), &s); err != nil {
			t.Fatal(err)
		}
		s.Data["token"] = []byte("other")
		if err := c.Update(t.Context(), &s); err != nil {
			t.Fatal(err)
		}
		c.reads = 2
		resolve(2, 1)
		p.Distrust(namespace, reference("p")) // 401, right after a read
		resolve(2, 1)
		pass(retryAfter)
		resolve(3, 2)
		if !c.clients[0].Closed() || c.clients[1].Closed() {
			t.Error("the client that was replaced is not closed, or the other one is")
		}
		resolve(3, 2)

		if err := c.Get(t.Context(), key("p"), mp); err != nil {
			t.Fatal(err)
		}
		mp.Generation++
		mp.Spec.Prometheus.Address = "http://q"
		if err := c.Update(t.Context(), mp); err != nil {
			t.Fatal(err)
		}
		resolve(4, 3)
		if c.opened[2].Address != "http://q" {
			t.Errorf("the address is %s", c.opened[2].Address)
		}
		p.forget(keyOf(namespace, reference("p")))
		synctest.Wait()
		if !c.clients[2].Closed() {
			t.Error("a client that was forgotten is not closed")
		}
	})
}

func TestResolveErrorsAreNoStorm(t *testing.T) {
	gr := schema.GroupResource{Resource: "secrets"}
	for _, tc := range []struct {
		name   string
		secret *corev1.Secret
		refuse error
		want   analysis.Reason
	}{
		{"missing", nil, nil, analysis.ReasonSecretMissing},
		{"key missing", secret("token", nil), nil, analysis.ReasonSecretMissing},
		{"forbidden", nil, apierrors.NewForbidden(gr, "token", errors.New(canary)), analysis.ReasonSecretForbidden},
		{"unreadable", nil, apierrors.NewInternalError(errors.New(canary)), analysis.ReasonUnavailable},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				objects := []client.Object{withToken(metricProvider("p"))}
				if tc.secret != nil {
					objects = append(objects, tc.secret)
				}
				c, p := newCounting(objects...)
				c.refuse = tc.refuse
				for range 100 {
					_, _, err := p.Resolve(t.Context(), namespace, reference("p"))
					if analysis.ReasonOf(err) != tc.want || strings.Contains(fmt.Sprintf("%+v", err), canary) {
						t.Fatalf("error %v, want %s", err, tc.want)
					}
				}
				if c.reads != 1 || len(c.told) != 1 {
					t.Errorf("100 measurements read the Secret %d times and told %d times", c.reads, len(c.told))
				}
				pass(retryAfter)
				_, _, _ = p.Resolve(t.Context(), namespace, reference("p"))
				if c.reads != 2 {
					t.Errorf("read %d times after a while, want 2", c.reads)
				}
			})
		})
	}
}

func TestResolveOutlivesAnUnreadableSecret(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, p := newCounting(withToken(metricProvider("p")), secret("token", map[string]string{"token": canary}))
		for _, refuse := range []error{nil, apierrors.NewInternalError(errors.New("down"))} {
			c.refuse = refuse
			if got, _, err := p.Resolve(t.Context(), namespace, reference("p")); err != nil || got != analysis.Provider(c.clients[0]) {
				t.Fatalf("got %v, %v", got, err)
			}
			pass(secretTTL)
		}
		if c.reads != 2 || c.clients[0].Closed() {
			t.Errorf("read %d times, closed %v", c.reads, c.clients[0].Closed())
		}
	})
}

func TestResolveOthers(t *testing.T) {
	invalid := metricProvider("invalid")
	nothing := metricProvider("nothing")
	nothing.Spec.Prometheus = nil
	elsewhere := metricProvider("elsewhere")
	elsewhere.Namespace = "other"
	c, p := newCounting(invalid, nothing, elsewhere)
	for name, want := range map[string]analysis.Reason{
		"invalid": analysis.ReasonProviderInvalid, "nothing": analysis.ReasonProviderInvalid,
		"absent": analysis.ReasonProviderMissing, "elsewhere": analysis.ReasonProviderMissing,
	} {
		if _, _, err := p.Resolve(t.Context(), namespace, reference(name)); analysis.ReasonOf(err) != want {
			t.Errorf("%s: error %v, want %s", name, err, want)
		}
	}
	if c.reads != 0 {
		t.Errorf("read %d Secrets that nobody names", c.reads)
	}
}

func TestResolveCredentials(t *testing.T) {
	mp := metricProvider("p")
	mp.Spec.Prometheus.Auth = &v1alpha1.ProviderAuth{Basic: &v1alpha1.BasicAuth{Username: "u", Password: v1alpha1.SecretKeyReference{Name: "all", Key: "password"}}}
	mp.Spec.Prometheus.TLS = &v1alpha1.ProviderTLS{CA: v1alpha1.SecretKeyReference{Name: "all", Key: "ca"}}
	c, p := newCounting(mp, secret("all", map[string]string{"password": "pw ", "ca": "pem"}))
	if _, _, err := p.Resolve(t.Context(), namespace, reference("p")); err != nil {
		t.Fatal(err)
	}
	e := c.opened[0]
	if e.Username != "u" || e.Password.Reveal() != "pw " || string(e.CA) != "pem" || e.Bearer != "" || c.reads != 1 {
		t.Errorf("got %+v after %d reads", e, c.reads)
	}
}

func TestClientsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var objects []client.Object
		for i := range maxProviders + 5 {
			objects = append(objects, metricProvider(fmt.Sprintf("p%d", i)))
		}
		c, p := newCounting(objects...)
		for i := range maxProviders + 5 {
			pass(time.Millisecond)
			if _, _, err := p.Resolve(t.Context(), namespace, reference(fmt.Sprintf("p%d", i))); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		if len(p.clients) != maxProviders {
			t.Errorf("%d clients are kept", len(p.clients))
		}
		for i, f := range c.clients {
			if f.Closed() != (i < 5) {
				t.Errorf("client %d: closed %v", i, f.Closed())
			}
		}
	})
}

func TestReadiness(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, p := newCounting(withToken(metricProvider("p")))
		r := &readiness{client: c, providers: p, clock: clock.RealClock{}}
		look := func(status metav1.ConditionStatus, reason string, again time.Duration) *v1alpha1.MetricProvider {
			t.Helper()
			result, err := r.Reconcile(t.Context(), ctrl.Request{NamespacedName: key("p")})
			if err != nil || result.RequeueAfter != again {
				t.Fatalf("%+v, %v", result, err)
			}
			var mp v1alpha1.MetricProvider
			if err := c.Get(t.Context(), key("p"), &mp); err != nil {
				t.Fatal(err)
			}
			ready := meta.FindStatusCondition(mp.Status.Conditions, v1alpha1.ConditionReady)
			if ready == nil || ready.Status != status || ready.Reason != reason || ready.ObservedGeneration != mp.Generation || mp.Status.ObservedGeneration != mp.Generation {
				t.Fatalf("got %+v, want %s %s", mp.Status, status, reason)
			}
			if strings.Contains(fmt.Sprintf("%+v", mp.Status), canary) {
				t.Errorf("the status tells a secret: %+v", mp.Status)
			}
			return &mp
		}
		look(metav1.ConditionFalse, "SecretMissing", lookAgain)
		if err := c.Create(t.Context(), secret("token", map[string]string{"token": canary})); err != nil {
			t.Fatal(err)
		}
		pass(lookAgain)
		first := look(metav1.ConditionTrue, "Usable", 0)
		if again := look(metav1.ConditionTrue, "Usable", 0); again.ResourceVersion != first.ResourceVersion {
			t.Error("written although nothing changed")
		}
		if err := c.Delete(t.Context(), first); err != nil {
			t.Fatal(err)
		}
		if _, err := r.Reconcile(t.Context(), ctrl.Request{NamespacedName: key("p")}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if len(p.clients) != 0 || !c.clients[0].Closed() {
			t.Error("the client of a provider that is gone is kept")
		}
	})
}
