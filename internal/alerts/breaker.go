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

// Breaker keeps alerts from aborting a whole fleet without a person: an alert that
// is to abort more than Limit releases aborts none, and no more than Limit are
// aborted within Window. It is the leader's; a new leader finds in the
// RolloutActions what the one before did.
type Breaker struct {
	limit  int32
	window time.Duration
	clock  clock.PassiveClock
	reader client.Reader

	mu     sync.Mutex
	seeded bool
	aborts map[types.UID]time.Time // by action
}

// NewBreaker makes a breaker; a limit of 0 is none.
func NewBreaker(limit int32, window time.Duration, c clock.PassiveClock, reader client.Reader) *Breaker {
	b := &Breaker{limit: limit, window: window, clock: c, reader: reader, aborts: map[types.UID]time.Time{}}
	currentBreaker.Store(b)
	return b
}

// Admit says why an alert's action must not abort a release without a person, or
// nothing. One that is admitted counts until Settle says that it aborted none.
func (b *Breaker) Admit(ctx context.Context, a *v1alpha1.RolloutAction) (string, error) {
	if b.limit <= 0 || a.Spec.Alert == nil || a.Spec.Alert.DryRun || a.Spec.Action != v1alpha1.ActionAbort {
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
	if a.Spec.Alert.Matched > b.limit {
		return fmt.Sprintf("the alert would abort %d releases at once, and more than %d need a person", a.Spec.Alert.Matched, b.limit), nil
	}
	if int32(len(b.aborts)) >= b.limit {
		return fmt.Sprintf("alerts aborted %d releases within %s, and more need a person", len(b.aborts), b.window), nil
	}
	b.aborts[a.UID] = b.clock.Now()
	return "", nil
}

// Settle tells what became of an action that was admitted.
func (b *Breaker) Settle(uid types.UID, aborted bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if _, admitted := b.aborts[uid]; !admitted {
		return
	}
	if !aborted {
		delete(b.aborts, uid)
		return
	}
	b.aborts[uid] = b.clock.Now()
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
			b.aborts[a.UID] = applied.LastTransitionTime.Time
		}
	}
	b.seeded = true
	return nil
}

func (b *Breaker) prune() {
	for uid, at := range b.aborts {
		if b.clock.Since(at) >= b.window {
			delete(b.aborts, uid)
		}
	}
}

// open reports whether the next abort would be one too many.
func (b *Breaker) open() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.prune()
	return b.limit > 0 && int32(len(b.aborts)) >= b.limit
}
