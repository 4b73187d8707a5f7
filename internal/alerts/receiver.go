package alerts

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/sluice-dev/sluice/api/v1alpha1"
)

const (
	// Path is where alerts are posted to.
	Path = "/v1/alerts"
	// maxBody is the most that a message may have, in bytes.
	maxBody = 1 << 20
	// handleTimeout is how long taking in a message may take.
	handleTimeout = 20 * time.Second
)

// Receiver takes Alertmanager's webhook in. It works on every replica: what is to be
// done is written down before it answers, and the leader does it.
type Receiver struct {
	recorder  *Recorder
	gate      *gate
	limiter   *limiter
	clock     clock.PassiveClock
	namespace string
	// look asks for a poll at once.
	look func()
	log  logr.Logger
}

// ReceiverOptions are what a receiver needs.
type ReceiverOptions struct {
	// Client reads Rollouts from a cache, writes RolloutActions and asks for reviews.
	Client client.Client
	// Clock tells the time.
	Clock clock.PassiveClock
	// Audiences that a token must be for; without any, the API server's own.
	Audiences []string
	// Namespace is the operator's: who may create the resource alerts there may send.
	Namespace string
	// Look, if not nil, is called when Alertmanager left alerts out.
	Look func()
	// Log takes what was done.
	Log logr.Logger
}

// NewReceiver makes a receiver.
func NewReceiver(o ReceiverOptions) *Receiver {
	if o.Look == nil {
		o.Look = func() {}
	}
	return &Receiver{
		recorder: &Recorder{client: o.Client, now: o.Clock.Now},
		gate:     newGate(o.Client, o.Clock, o.Audiences),
		limiter:  newLimiter(o.Clock),
		clock:    o.Clock, look: o.Look, log: o.Log, namespace: o.Namespace,
	}
}

// refusal is an answer other than 200. Alertmanager tries again on 5xx alone.
type refusal struct {
	status int
	text   string
}

func (e *refusal) Error() string { return e.text }

// ServeHTTP implements http.Handler. The size is limited before anybody is asked who
// the sender is, and nothing is read of whom may not send.
func (rc *Receiver) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(log.IntoContext(r.Context(), rc.log), handleTimeout)
	defer cancel()
	err := rc.serve(ctx, w, r)
	status, text := http.StatusOK, "ok"
	var refused *refusal
	switch {
	case errors.As(err, &refused):
		status, text = refused.status, refused.text
	case err != nil:
		rc.log.Error(err, "Taking in alerts failed, Alertmanager is to send them again")
		status, text = http.StatusServiceUnavailable, "could not be recorded: send it again"
	}
	if status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "1")
	}
	requests.WithLabelValues(strconv.Itoa(status)).Inc()
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, text+"\n")
}

func (rc *Receiver) serve(ctx context.Context, w http.ResponseWriter, r *http.Request) error {
	switch {
	case r.URL.Path != Path:
		return &refusal{http.StatusNotFound, "alerts are posted to " + Path}
	case r.Method != http.MethodPost:
		w.Header().Set("Allow", http.MethodPost)
		return &refusal{http.StatusMethodNotAllowed, "alerts are posted"}
	case r.ContentLength > maxBody:
		return tooLarge()
	}
	if !rc.limiter.enter(r) {
		return &refusal{http.StatusServiceUnavailable, "too many requests: send it again"}
	}
	defer rc.limiter.leave()
	r.Body = http.MaxBytesReader(w, r.Body, maxBody)
	id, err := rc.admit(ctx, r)
	if err != nil {
		return err
	}
	body, err := io.ReadAll(r.Body)
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return tooLarge()
	case err != nil:
		return &refusal{http.StatusBadRequest, "the message could not be read"}
	}
	n, err := decodeMessage(body, rc.clock.Now())
	if err != nil {
		return &refusal{http.StatusBadRequest, "the message is not one of Alertmanager's webhook, version 4"}
	}
	return rc.take(ctx, id, n)
}

// admit returns who sent a request, if they may send alerts.
func (rc *Receiver) admit(ctx context.Context, r *http.Request) (identity, error) {
	id, err := rc.gate.identify(ctx, r)
	switch {
	case errors.Is(err, errUnauthenticated):
		return id, &refusal{http.StatusUnauthorized, err.Error()}
	case errors.Is(err, errBusy):
		return id, &refusal{http.StatusServiceUnavailable, err.Error()}
	case err != nil:
		return id, err
	}
	allowed, err := rc.gate.maySend(ctx, id, rc.namespace)
	if err == nil && !allowed {
		err = &refusal{http.StatusForbidden, "the sender may not create alerts.sluice.dev in the operator's namespace"}
	}
	return id, err
}

func tooLarge() error {
	return &refusal{http.StatusRequestEntityTooLarge, fmt.Sprintf("the message has more than %d bytes", maxBody)}
}

// take writes down what a message means. It returns no error once everything that
// is to be done is durable.
func (rc *Receiver) take(ctx context.Context, id identity, n notification) error {
	firing, resolved := split(n.alerts)
	received.WithLabelValues("firing").Add(float64(len(firing)))
	received.WithLabelValues("resolved").Add(float64(len(resolved)))
	received.WithLabelValues("dropped").Add(float64(n.dropped))
	received.WithLabelValues("truncated").Add(float64(n.truncated))
	if n.truncated > 0 {
		rc.log.Info("Alertmanager left alerts out of a message: only a poll finds them", "alerts", n.truncated)
		rc.look()
	}
	if err := rc.cancel(ctx, id, resolved); err != nil {
		return err
	}
	if len(firing) == 0 {
		return nil
	}
	releases, err := rc.recorder.releases(ctx)
	if err != nil {
		return err
	}
	matches, err := due(ctx, releases, firing, rc.clock.Now())
	if err != nil {
		return err
	}
	allowed, err := rc.gate.permitted(ctx, id, matches)
	errs := []error{err} // what may be done is done nevertheless
	counts := abortedBy(allowed)
	for i := range allowed {
		m := &allowed[i]
		errs = append(errs, rc.recorder.record(ctx, m, "alert receiver for "+id.user, counts[m.Alert.Fingerprint]))
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	if len(matches) > 0 && len(allowed) == 0 {
		return &refusal{http.StatusForbidden, "the sender may not command the Rollouts on which these alerts would act"}
	}
	return nil
}

// cancel ends what waits for alerts to last that were resolved. Nothing is ever
// resumed: what was aborted stays so.
func (rc *Receiver) cancel(ctx context.Context, id identity, resolved []Alert) error {
	if len(resolved) == 0 {
		return nil
	}
	prints := make(map[string]bool, len(resolved))
	for i := range resolved {
		prints[episode(resolved[i].Fingerprint, resolved[i].StartsAt)] = true
	}
	var errs []error
	err := rc.recorder.cancelWhere(ctx, func(a *v1alpha1.RolloutAction) bool {
		if !prints[episode(a.Spec.Alert.Fingerprint, a.Spec.Alert.StartsAt.Time)] {
			return false
		}
		rollout := types.NamespacedName{Namespace: a.Namespace, Name: a.Spec.Rollout}
		allowed, err := rc.gate.mayCommand(ctx, id, rollout, a.Spec.Action)
		errs = append(errs, err)
		return allowed
	})
	return errors.Join(append(errs, err)...)
}

// episode names one time of firing of one alert.
func episode(fingerprint string, starts time.Time) string {
	return fingerprint + " " + starts.UTC().Format(time.RFC3339Nano)
}

func split(alerts []Alert) (firing, resolved []Alert) {
	for _, a := range alerts {
		if a.Firing {
			firing = append(firing, a)
		} else {
			resolved = append(resolved, a)
		}
	}
	return firing, resolved
}
