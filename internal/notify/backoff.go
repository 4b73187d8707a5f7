package notify

import (
	"context"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
)

// attempts is how often, and how far apart, a notification is tried: five times in
// about forty seconds, plus what the server takes and asks for.
func attempts() wait.Backoff {
	return wait.Backoff{Duration: time.Second, Factor: 3, Jitter: 0.1, Steps: 5}
}

// pause waits, and reports whether it did so to the end.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
