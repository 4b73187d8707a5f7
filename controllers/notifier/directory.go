package notifier

import (
	"context"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-dev/sluice/analysis"
	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/notify"
)

// secretTimeout is how long reading the Secrets of a Notifier may take.
const secretTimeout = 10 * time.Second

// directory reads Notifiers from the cache, and their Secrets by name from the API
// server each time that something is to be sent: notifications are rare, and a Secret
// that was changed takes effect at once.
type directory struct {
	objects client.Reader // cached
	secrets client.Reader // not cached
	// failed is told of a Notifier that could not be used just now.
	failed func(types.NamespacedName)
}

var _ notify.Directory = (*directory)(nil)

// List implements notify.Directory.
func (d *directory) List(ctx context.Context, namespace string) ([]v1alpha1.Notifier, error) {
	var list v1alpha1.NotifierList
	if err := d.objects.List(ctx, &list, client.InNamespace(namespace), client.DisableReadYourWritesConsistency); err != nil {
		return nil, err
	}
	return list.Items, nil
}

// Get implements notify.Directory.
func (d *directory) Get(ctx context.Context, name types.NamespacedName) (*v1alpha1.Notifier, notify.Target, error) {
	var n v1alpha1.Notifier
	if err := d.objects.Get(ctx, name, &n, client.DisableReadYourWritesConsistency); err != nil {
		return nil, notify.Target{}, &notify.Error{Reason: notify.ReasonNotifierMissing}
	}
	target, err := d.target(ctx, &n)
	if err == nil {
		err = target.Check()
	}
	if err != nil && d.failed != nil {
		d.failed(name)
	}
	return &n, target, err
}

// target reads the Secrets that a Notifier names. The error is a *notify.Error.
func (d *directory) target(ctx context.Context, n *v1alpha1.Notifier) (notify.Target, error) {
	ctx, cancel := context.WithTimeout(ctx, secretTimeout)
	defer cancel()
	s := &secrets{reader: d.secrets, namespace: n.Namespace, known: map[string]*corev1.Secret{}}
	t := notify.Target{}
	endpoint := n.Spec.Webhook
	switch {
	case n.Spec.Slack != nil:
		t.Address = s.line(ctx, &n.Spec.Slack.AddressFrom)
	case n.Spec.Teams != nil:
		t.Address = s.line(ctx, &n.Spec.Teams.AddressFrom)
	case n.Spec.CloudEvents != nil:
		endpoint = n.Spec.CloudEvents
	}
	if endpoint != nil {
		t.Address = analysis.Secret(endpoint.Address)
		if endpoint.AddressFrom != nil {
			t.Address = s.line(ctx, endpoint.AddressFrom)
		}
		t.Bearer = s.line(ctx, endpoint.Bearer)
		if endpoint.TLS != nil {
			t.CA = s.value(ctx, &endpoint.TLS.CA)
		}
	}
	return t, s.err
}

// secrets reads keys of Secrets, each Secret once. After an error it reads nothing
// more.
type secrets struct {
	reader    client.Reader
	namespace string
	known     map[string]*corev1.Secret
	err       error
}

// line returns a value without the white space around it, or nothing for no
// reference.
func (s *secrets) line(ctx context.Context, ref *v1alpha1.SecretKeyReference) analysis.Secret {
	if ref == nil {
		return ""
	}
	return analysis.Secret(strings.TrimSpace(string(s.value(ctx, ref))))
}

func (s *secrets) value(ctx context.Context, ref *v1alpha1.SecretKeyReference) []byte {
	secret := s.read(ctx, ref.Name)
	if secret == nil {
		return nil
	}
	value, ok := secret.Data[ref.Key]
	if !ok {
		s.err = &notify.Error{Reason: notify.ReasonSecretMissing, Detail: fmt.Sprintf("Secret %s has no key %s", ref.Name, ref.Key)}
	}
	return value
}

func (s *secrets) read(ctx context.Context, name string) *corev1.Secret {
	if s.err != nil {
		return nil
	}
	if known := s.known[name]; known != nil {
		return known
	}
	secret := &corev1.Secret{}
	err := s.reader.Get(ctx, types.NamespacedName{Namespace: s.namespace, Name: name}, secret)
	switch {
	case err == nil:
		s.known[name] = secret
		return secret
	case apierrors.IsNotFound(err):
		s.err = &notify.Error{Reason: notify.ReasonSecretMissing, Detail: fmt.Sprintf("there is no Secret %s", name)}
	case apierrors.IsForbidden(err), apierrors.IsUnauthorized(err):
		s.err = &notify.Error{Reason: notify.ReasonSecretForbidden, Detail: fmt.Sprintf(
			"the operator may not read Secret %s: a Role in this namespace must let it get it", name)}
	default:
		s.err = &notify.Error{Reason: notify.ReasonSecretUnreadable, Detail: fmt.Sprintf("Secret %s could not be read just now", name)}
	}
	return nil
}
