package history

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// prefix is where the API server keeps everything.
const prefix = "/registry/"

// Recorder reads the history of a store from its first revision on.
type Recorder struct {
	client *clientv3.Client
	stop   context.CancelFunc
	ctx    context.Context

	mu       sync.Mutex
	versions []Version
	revision int64
	err      error
	moved    chan struct{}
}

// Record starts to read. The store must never have been compacted.
func Record(ctx context.Context, endpoint string) (*Recorder, error) {
	client, err := clientv3.New(clientv3.Config{Endpoints: []string{endpoint}, DialTimeout: 10 * time.Second})
	if err != nil {
		return nil, fmt.Errorf("connecting to etcd: %w", err)
	}
	r := &Recorder{client: client, moved: make(chan struct{})}
	r.ctx, r.stop = context.WithCancel(context.WithoutCancel(ctx))
	watch := client.Watch(r.ctx, prefix, clientv3.WithPrefix(), clientv3.WithRev(1))
	go r.read(watch)
	return r, nil
}

func (r *Recorder) read(watch clientv3.WatchChan) {
	for answer := range watch {
		r.take(&answer)
	}
	r.fail(errors.New("the watch of etcd ended"))
}

func (r *Recorder) take(answer *clientv3.WatchResponse) {
	if err := answer.Err(); err != nil {
		r.fail(fmt.Errorf("watching etcd: %w", err))
		return
	}
	now := time.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range answer.Events {
		kind, namespace, name, ok := parseKey(string(e.Kv.Key))
		if !ok {
			continue
		}
		r.versions = append(r.versions, Version{
			Revision: e.Kv.ModRevision, Seen: now, Kind: kind, Namespace: namespace, Name: name, Raw: e.Kv.Value,
		})
	}
	r.revision = answer.Header.Revision
	close(r.moved)
	r.moved = make(chan struct{})
}

func (r *Recorder) fail(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err == nil && r.ctx.Err() == nil {
		r.err = err
	}
	close(r.moved)
	r.moved = make(chan struct{})
}

// Take returns the versions that were stored since the last call and until now, in
// order.
func (r *Recorder) Take(ctx context.Context) ([]Version, error) {
	now, err := r.client.Get(ctx, prefix, clientv3.WithCountOnly())
	if err != nil {
		return nil, fmt.Errorf("reading etcd's revision: %w", err)
	}
	for {
		r.mu.Lock()
		revision, moved, err := r.revision, r.moved, r.err
		if err != nil || revision >= now.Header.Revision {
			out := r.versions
			r.versions = nil
			r.mu.Unlock()
			return out, err
		}
		r.mu.Unlock()
		if err := r.client.RequestProgress(r.ctx); err != nil {
			return nil, fmt.Errorf("asking etcd for progress: %w", err)
		}
		select {
		case <-moved:
		case <-time.After(progressInterval):
		case <-ctx.Done():
			return nil, fmt.Errorf("waiting for revision %d of etcd: %w", now.Header.Revision, ctx.Err())
		}
	}
}

// progressInterval is how often etcd is asked how far the watch is.
const progressInterval = 200 * time.Millisecond

// Close ends the reading.
func (r *Recorder) Close() error {
	r.stop()
	if err := r.client.Close(); err != nil && !errors.Is(err, context.Canceled) {
		return fmt.Errorf("closing the connection to etcd: %w", err)
	}
	return nil
}
