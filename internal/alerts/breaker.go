package alerts

import (
	"context"
	"fmt"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-dev/sluice/api/v1alpha1"
)

// Limits are how many releases alerts may end within a time without a person.
type Limits struct {
	// Fleet is for all, and for one alert at once; 0 is no limit of any kind.
	Fleet int32
	// Namespace is for those of one namespace, so that one does not use up what is for
	// all; 0 is as many as Fleet.
	Namespace int32
	Window    time.Duration
}

// Breaker keeps alerts from ending releases of a whole fleet without a person. It is
// the leader's; a new leader finds in the RolloutActions what the one before did.
type Breaker struct {
	limits Limits
	clock  clock.PassiveClock
	reader client.Reader

	mu     sync.Mutex
	seeded bool
	aborts map[types.UID]ended // by action
}

// ended is a release that an alert ended.
type ended struct {
	namespace string
	at        time.Time
}

// NewBreaker makes a breaker.
func NewBreaker(l Limits, c clock.PassiveClock, reader client.Reader) *Breaker {
	if l.Namespace == 0 {
		l.Namespace = l.Fleet
	}
	b := &Breaker{limits: l, clock: c, reader: reader, aborts: map[types.UID]ended{}}
	currentBreaker.Store(b)
	return b
}

// Admit says why an alert's action must not end a release without a person, or
// nothing. One that is admitted counts until Settle says that it ended none.
func (b *Breaker) Admit(ctx context.Context, a *v1alpha1.RolloutAction) (string, error) {
	if b.limits.Fleet <= 0 || a.Spec.Alert == nil || a.Spec.Alert.DryRun || a.Spec.Action != v1alpha1.ActionAbort {
		return "", nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.seed(ctx); err != nil {
		return "", err
	}
	b.prune()
	if _, admitted := b.aborts[a.UID]; admitted {
		return "", nil
	}
	here := int32(0)
	for _, e := range b.aborts {
		if e.namespace == a.Namespace {
			here++
		}
	}
	switch {
	case a.Spec.Alert.Matched > b.limits.Fleet:
		return fmt.Sprintf("the alert would end %d releases at once, and more than %d need a person", a.Spec.Alert.Matched, b.limits.Fleet), nil
	case int32(len(b.aborts)) >= b.limits.Fleet:
		return fmt.Sprintf("alerts ended %d releases within %s, and more need a person", len(b.aborts), b.limits.Window), nil
	case here >= b.limits.Namespace:
		return fmt.Sprintf("alerts ended %d releases of namespace %s within %s, and more need a person", here, a.Namespace, b.limits.Window), nil
	}
	b.aborts[a.UID] = ended{a.Namespace, b.clock.Now()}
	return "", nil
}

// Settle tells whether an action that was admitted ended a release.
func (b *Breaker) Settle(uid types.UID, aborted bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	e, admitted := b.aborts[uid]
	switch {
	case !admitted:
	case !aborted:
		delete(b.aborts, uid)
	default:
		b.aborts[uid] = ended{e.namespace, b.clock.Now()}
	}
}

// seed finds what was aborted before this process led.
func (b *Breaker) seed(ctx context.Context) error {
	if b.seeded {
		return nil
	}
	var list v1alpha1.RolloutActionList
	if err := b.reader.List(ctx, &list, client.UnsafeDisableDeepCopy, client.DisableReadYourWritesConsistency); err != nil {
		return fmt.Errorf("listing RolloutActions: %w", err)
	}
	for i := range list.Items {
		a := &list.Items[i]
		applied := meta.FindStatusCondition(a.Status.Conditions, v1alpha1.ConditionApplied)
		if a.Spec.Alert != nil && a.Spec.Action == v1alpha1.ActionAbort && applied != nil && applied.Reason == v1alpha1.ReasonActionApplied {
			b.aborts[a.UID] = ended{a.Namespace, applied.LastTransitionTime.Time}
		}
	}
	b.seeded = true
	return nil
}

func (b *Breaker) prune() {
	for uid, e := range b.aborts {
		if b.clock.Since(e.at) >= b.limits.Window {
			delete(b.aborts, uid)
		}
	}
}

// open reports whether the next abort would be one too many.
func (b *Breaker) open() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.prune()
	return b.limits.Fleet > 0 && int32(len(b.aborts)) >= b.limits.Fleet
}
