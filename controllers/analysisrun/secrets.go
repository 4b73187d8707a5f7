package analysisrun

import (
	"context"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"

	"github.com/sluice-dev/sluice/analysis"
	"github.com/sluice-dev/sluice/api/v1alpha1"
)

// secretsOf returns the references of a provider to Secrets.
func secretsOf(spec *v1alpha1.PrometheusProvider) []v1alpha1.SecretKeyReference {
	var refs []v1alpha1.SecretKeyReference
	if a := spec.Auth; a != nil {
		if a.Basic != nil {
			refs = append(refs, a.Basic.Password)
		}
		if a.Bearer != nil {
			refs = append(refs, *a.Bearer)
		}
	}
	if spec.TLS != nil {
		refs = append(refs, spec.TLS.CA)
	}
	return refs
}

// endpoint reads the Secrets that a MetricProvider names. It also returns a text
// that changes when any of them does. The error is an *analysis.Error.
func (p *Providers) endpoint(ctx context.Context, mp *v1alpha1.MetricProvider) (analysis.Endpoint, string, error) {
	spec := mp.Spec.Prometheus
	endpoint := analysis.Endpoint{Address: spec.Address}
	values := map[v1alpha1.SecretKeyReference][]byte{}
	secrets := map[string]*corev1.Secret{}
	var versions strings.Builder
	for _, ref := range secretsOf(spec) {
		secret, err := p.secret(ctx, mp.Namespace, ref.Name, secrets)
		if err != nil {
			return analysis.Endpoint{}, "", err
		}
		value, ok := secret.Data[ref.Key]
		if !ok {
			return analysis.Endpoint{}, "", &analysis.Error{Reason: analysis.ReasonSecretMissing}
		}
		values[ref] = value
		fmt.Fprintf(&versions, "%s/%s;", secret.UID, secret.ResourceVersion)
	}
	if a := spec.Auth; a != nil {
		if a.Basic != nil {
			endpoint.Username = a.Basic.Username
			endpoint.Password = analysis.Secret(values[a.Basic.Password])
		}
		if a.Bearer != nil {
			endpoint.Bearer = analysis.Secret(strings.TrimSpace(string(values[*a.Bearer])))
		}
	}
	if spec.TLS != nil {
		endpoint.CA = values[spec.TLS.CA]
	}
	return endpoint, versions.String(), nil
}

// secret reads a Secret, once for each of its keys.
func (p *Providers) secret(ctx context.Context, namespace, name string, known map[string]*corev1.Secret) (*corev1.Secret, error) {
	if s := known[name]; s != nil {
		return s, nil
	}
	s := &corev1.Secret{}
	err := p.secrets.Get(ctx, types.NamespacedName{Namespace: namespace, Name: name}, s)
	switch {
	case apierrors.IsNotFound(err):
		return nil, &analysis.Error{Reason: analysis.ReasonSecretMissing}
	case apierrors.IsForbidden(err), apierrors.IsUnauthorized(err):
		return nil, &analysis.Error{Reason: analysis.ReasonSecretForbidden}
	case err != nil:
		return nil, &analysis.Error{Reason: analysis.ReasonUnavailable}
	}
	known[name] = s
	return s, nil
}
