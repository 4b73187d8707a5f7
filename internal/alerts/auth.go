package alerts

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"
	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/sluice-dev/sluice/api/v1alpha1"
)

const (
	// trustFor is how long an answer of the API server is relied on.
	trustFor = 10 * time.Second
	// maxRemembered is how many answers are remembered.
	maxRemembered = 4096
	// maxToken is longer than any token.
	maxToken = 16 << 10
	// reviewsPerSecond and reviewsBurst are how many tokens that nobody knows are asked
	// about.
	reviewsPerSecond = 20
	reviewsBurst     = 50
	// systemPrefix begins names that are Kubernetes's own to give.
	systemPrefix = "system:"
)

// authenticatedGroup is everybody's whom the API server knows.
const authenticatedGroup = "system:authenticated"

// errBusy says that too many unknown senders are being asked about.
var errBusy = errors.New("too many tokens that are not known yet: send it again")

// errUnauthenticated says that nobody is known to have sent a request.
var errUnauthenticated = errors.New("no valid bearer token or client certificate")

// identity is who sent a request.
type identity struct {
	user   string
	groups []string
	extra  map[string]authorizationv1.ExtraValue
}

// gate finds out who sent a request and what they may do, from the API server.
type gate struct {
	client    client.Client
	clock     clock.PassiveClock
	audiences []string
	// reviews bounds how often the API server is asked who a token is of.
	reviews *rate.Limiter

	mu         sync.Mutex
	identities map[[sha256.Size]byte]remembered[identity]
	allowed    map[string]remembered[bool]
}

type remembered[T any] struct {
	value T
	until time.Time
}

func newGate(c client.Client, clk clock.PassiveClock, audiences []string) *gate {
	return &gate{client: c, clock: clk, audiences: audiences, reviews: rate.NewLimiter(reviewsPerSecond, reviewsBurst),
		identities: map[[sha256.Size]byte]remembered[identity]{}, allowed: map[string]remembered[bool]{}}
}

// identify returns who sent a request: a client certificate that was verified, as
// Kubernetes reads those, or else a bearer token. A certificate makes nobody one of
// Kubernetes's own users and groups, as its issuer need not be the cluster's.
func (g *gate) identify(ctx context.Context, r *http.Request) (identity, error) {
	if r.TLS != nil && len(r.TLS.VerifiedChains) > 0 {
		subject := r.TLS.VerifiedChains[0][0].Subject
		if strings.HasPrefix(subject.CommonName, systemPrefix) {
			return identity{}, errUnauthenticated
		}
		groups := []string{authenticatedGroup}
		for _, o := range subject.Organization {
			if !strings.HasPrefix(o, systemPrefix) {
				groups = append(groups, o)
			}
		}
		return known(identity{user: subject.CommonName, groups: groups})
	}
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	token = strings.TrimSpace(token)
	if !strings.EqualFold(scheme, "Bearer") || token == "" || len(token) > maxToken {
		return identity{}, errUnauthenticated
	}
	key := sha256.Sum256([]byte(token))
	if id, ok := recall(g, g.identities, key); ok {
		return id, nil
	}
	id, err := g.review(ctx, token)
	if err != nil {
		return identity{}, err
	}
	remember(g, g.identities, key, id)
	return id, nil
}

// known refuses to take nobody for somebody.
func known(id identity) (identity, error) {
	if id.user == "" || id.user == "system:anonymous" {
		return identity{}, errUnauthenticated
	}
	return id, nil
}

func (g *gate) review(ctx context.Context, token string) (identity, error) {
	if !g.reviews.AllowN(g.clock.Now(), 1) {
		return identity{}, errBusy
	}
	review := &authenticationv1.TokenReview{Spec: authenticationv1.TokenReviewSpec{Token: token, Audiences: g.audiences}}
	if err := g.client.Create(ctx, review, client.DisableReadYourWritesConsistency); err != nil {
		return identity{}, fmt.Errorf("asking who a token is of: %w", err)
	}
	s := &review.Status
	if !s.Authenticated || s.Error != "" || len(g.audiences) > 0 && !overlap(s.Audiences, g.audiences) {
		return identity{}, errUnauthenticated
	}
	id := identity{user: s.User.Username, groups: s.User.Groups, extra: map[string]authorizationv1.ExtraValue{}}
	for name, values := range s.User.Extra {
		id.extra[name] = authorizationv1.ExtraValue(values)
	}
	return known(id)
}

// overlap reports whether any of the audiences that the server confirmed is one of
// ours: one that does not know of audiences confirms none.
func overlap(confirmed, ours []string) bool {
	for _, c := range confirmed {
		for _, o := range ours {
			if c == o {
				return true
			}
		}
	}
	return false
}

// userNamed is who has a name, as the API server would know them.
func userNamed(name string) identity {
	groups := []string{authenticatedGroup}
	if account, ok := strings.CutPrefix(name, "system:serviceaccount:"); ok {
		namespace, _, _ := strings.Cut(account, ":")
		groups = append(groups, "system:serviceaccounts", "system:serviceaccounts:"+namespace)
	}
	return identity{user: name, groups: groups}
}

// maySend reports whether somebody may send alerts at all: create the resource alerts,
// of which there are no objects, in the operator's namespace.
func (g *gate) maySend(ctx context.Context, id identity, namespace string) (bool, error) {
	return g.may(ctx, id, authorizationv1.ResourceAttributes{
		Namespace: namespace, Verb: "create", Group: v1alpha1.GroupVersion.Group, Version: v1alpha1.GroupVersion.Version, Resource: "alerts",
	})
}

// mayCommand reports whether somebody may give a Rollout a command: create
// RolloutActions in its namespace, and do what it says to that Rollout, which is a verb
// of its own. What they cannot do by themselves, they cannot do by an alert.
func (g *gate) mayCommand(ctx context.Context, id identity, to types.NamespacedName, action v1alpha1.ActionType) (bool, error) {
	rollouts := authorizationv1.ResourceAttributes{
		Namespace: to.Namespace, Verb: strings.ToLower(string(action)),
		Group: v1alpha1.GroupVersion.Group, Version: v1alpha1.GroupVersion.Version, Resource: "rollouts",
	}
	actions := rollouts
	actions.Verb, actions.Resource = "create", "rolloutactions"
	if allowed, err := g.may(ctx, id, actions); err != nil || !allowed {
		return false, err
	}
	if allowed, err := g.may(ctx, id, rollouts); err != nil || allowed {
		return allowed, err // for all of the namespace: one answer serves them all
	}
	rollouts.Name = to.Name
	return g.may(ctx, id, rollouts)
}

// permitted returns the matches of which somebody may give the command.
func (g *gate) permitted(ctx context.Context, id identity, matches []match) ([]match, error) {
	var out []match
	var errs []error
	for _, m := range matches {
		allowed, err := g.mayCommand(ctx, id, m.target.Rollout, v1alpha1.ActionType(m.Rule.Action))
		switch {
		case err != nil:
			errs = append(errs, err)
		case allowed:
			out = append(out, m)
		default:
			recorded.WithLabelValues(string(m.Rule.Action), "forbidden").Inc()
			log.FromContext(ctx).Info("An alert's sender may not command a Rollout",
				"sender", id.user, "rollout", m.target.Rollout, "rule", m.Rule.Name, "action", m.Rule.Action)
		}
	}
	return out, errors.Join(errs...)
}

// may asks the API server, or remembers what it said a moment ago.
func (g *gate) may(ctx context.Context, id identity, what authorizationv1.ResourceAttributes) (bool, error) {
	key := fmt.Sprintf("%q %q %q %q", id.user, id.groups, id.extra, what)
	if allowed, ok := recall(g, g.allowed, key); ok {
		return allowed, nil
	}
	review := &authorizationv1.LocalSubjectAccessReview{
		ObjectMeta: metav1.ObjectMeta{Namespace: what.Namespace},
		Spec: authorizationv1.SubjectAccessReviewSpec{
			User: id.user, Groups: id.groups, Extra: id.extra, ResourceAttributes: &what,
		},
	}
	if err := g.client.Create(ctx, review, client.DisableReadYourWritesConsistency); err != nil {
		return false, fmt.Errorf("asking what %s may do in namespace %s: %w", id.user, what.Namespace, err)
	}
	allowed := review.Status.Allowed && !review.Status.Denied
	remember(g, g.allowed, key, allowed)
	return allowed, nil
}

func recall[K comparable, T any](g *gate, from map[K]remembered[T], key K) (T, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	r, ok := from[key]
	if !ok || !g.clock.Now().Before(r.until) {
		delete(from, key)
		var none T
		return none, false
	}
	return r.value, true
}

func remember[K comparable, T any](g *gate, in map[K]remembered[T], key K, value T) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(in) >= maxRemembered {
		clear(in)
	}
	in[key] = remembered[T]{value: value, until: g.clock.Now().Add(trustFor)}
}
