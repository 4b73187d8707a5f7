package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/demo"
)

// reactionTimeout bounds one reaction.
const reactionTimeout = time.Minute

// measureAborts measures from an abort action to weight 0: one at a time, and many
// at once.
func measureAborts(ctx context.Context, b *bench) error {
	singles, rounds, atOnce := b.size(30, 3), b.size(4, 1), b.size(20, 5)
	if _, err := b.startOperator(ctx); err != nil {
		return err
	}
	f, err := b.newFleet(ctx, singles+rounds*atOnce, demo.Service{Steps: held()})
	if err != nil {
		return err
	}
	if _, err := f.release(ctx, "v2"); err != nil {
		return err
	}
	if err := f.awaitHeld(ctx, "held"); err != nil {
		return err
	}
	var alone, together, answeredAlone, answeredTogether series
	for i := range singles {
		if err := f.timeAborts(ctx, f.names[i:i+1], &alone, &answeredAlone); err != nil {
			return err
		}
	}
	for i := range rounds {
		// What the aborts before left to do is not to be part of it.
		if _, err := b.awaitQuiet(ctx); err != nil {
			return err
		}
		first := singles + i*atOnce
		if err := f.timeAborts(ctx, f.names[first:first+atOnce], &together, &answeredTogether); err != nil {
			return err
		}
	}
	crowd := fmt.Sprintf("%d at once", atOnce)
	b.report.add(b.part, "abort action sent to weight 0, one", alone, seconds(0))
	b.report.add(b.part, "abort action answered to weight 0, one", answeredAlone, seconds(0))
	b.report.add(b.part, "abort action sent to weight 0, "+crowd, together, seconds(0.15))
	b.report.add(b.part, "abort action answered to weight 0, "+crowd, answeredTogether, seconds(0))
	return nil
}

// timeAborts aborts Rollouts at once and adds how long each took: from before the
// request was sent, and from its answer.
func (f *fleet) timeAborts(ctx context.Context, names []string, sent, answered *series) error {
	ctx, cancel := context.WithTimeout(ctx, reactionTimeout)
	defer cancel()
	type pair struct{ sent, answered time.Duration }
	took := make([]pair, len(names))
	var group errgroup.Group
	for i, name := range names {
		group.Go(func() error {
			start, end, err := f.abort(ctx, name)
			if err != nil {
				return err
			}
			at, err := f.b.weights.awaitWeight(ctx, name, 0, start)
			took[i] = pair{at.Sub(start), at.Sub(end)}
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	for _, t := range took {
		sent.addDuration(t.sent)
		answered.addDuration(max(0, t.answered))
	}
	return nil
}

// measureSamples measures from the first bad answer to a query to weight 0, while
// some Rollouts are measured once a second.
func measureSamples(ctx context.Context, b *bench) error {
	if _, err := b.startOperator(ctx); err != nil {
		return err
	}
	f, err := b.newFleet(ctx, b.size(40, 5), demo.Service{Steps: held(), Metrics: []v1alpha1.Metric{measured(time.Second)}})
	if err != nil {
		return err
	}
	var took series
	for names := range slices.Chunk(f.names, 10) {
		some := &fleet{b: b, names: names, service: f.service}
		if _, err := some.release(ctx, "v2"); err != nil {
			return err
		}
		if err := some.awaitHeld(ctx, "held"); err != nil {
			return err
		}
		for _, name := range names {
			if err := b.timeSample(ctx, name, &took); err != nil {
				return err
			}
		}
	}
	b.report.add(b.part, "bad sample served to weight 0, interval 1s", took, seconds(0.2))
	return nil
}

// timeSample turns a Rollout bad and adds how long it took to take the traffic
// back.
func (b *bench) timeSample(ctx context.Context, name string, took *series) error {
	ctx, cancel := context.WithTimeout(ctx, reactionTimeout)
	defer cancel()
	before := time.Now()
	b.metrics.turnBad(name)
	at, err := b.weights.awaitWeight(ctx, name, 0, before)
	if err != nil {
		return err
	}
	took.addDuration(at.Sub(b.metrics.servedAt(name)))
	return nil
}
