package draw

import (
	"time"

	"k8s.io/apimachinery/pkg/util/duration"
)

// Ago writes how long ago something was, as kubectl writes ages.
func Ago(now, then time.Time) string {
	if then.IsZero() {
		return "-"
	}
	return duration.HumanDuration(max(0, now.Sub(then)))
}

// In writes how long it is until something, rounded up to a second: "now" when it
// is due.
func In(now, then time.Time) string {
	left := then.Sub(now)
	if left <= 0 {
		return "now"
	}
	return "in " + Length(left)
}

// Length writes a duration, rounded up to a second.
func Length(d time.Duration) string {
	return duration.HumanDuration((d + time.Second - 1).Truncate(time.Second))
}
