// Package soak writes the script of a long run: releases back to back, some of them
// aborted, some superseded by the next, with changes of scale and restarts of the
// operator in between. The same seed gives the same script.
package soak

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"time"
)

// End is how a release ends.
type End string

// Values of End.
const (
	Promoted   End = "promoted"
	Aborted    End = "aborted by command"
	Condemned  End = "aborted by analysis"
	Superseded End = "superseded"
)

// Ends lists the values of End.
func Ends() []End { return []End{Promoted, Aborted, Condemned, Superseded} }

// Moment is a point of a release.
type Moment int

// Values of Moment, in their order.
const (
	Never    Moment = iota
	Starting        // the release has begun, its pods are not there yet
	First           // the first step is in force
	Second          // the second step is in force; it waits for approval
	Promoting
)

// Moments lists those that each release that is promoted comes through.
func Moments() []Moment { return []Moment{Starting, First, Second, Promoting} }

// Restart is how the operator ends and is started again.
type Restart string

// Values of Restart.
const (
	Kill Restart = "SIGKILL"
	Stop Restart = "SIGTERM"
)

// Round is one release.
type Round struct {
	// Version is the image tag: one that fails, if analysis is to condemn it.
	Version string
	// End, and at which moment, for what aborts and supersedes.
	End   End
	EndAt Moment
	// Start is how long each pod takes until it is ready, Drain how long it serves
	// after it was told to end: a second at least, for when somebody asks for
	// fewer pods those that go have traffic until proxies know.
	Start, Drain time.Duration
	// Replicas from the moment ScaleAt on.
	Replicas int32
	ScaleAt  Moment
	// Restart of the operator at the moment RestartAt.
	Restart   Restart
	RestartAt Moment
}

// String says what happens in the round.
func (r Round) String() string {
	out := fmt.Sprintf("%s, pods start in %s and end in %s", r.Version, r.Start, r.Drain)
	if r.ScaleAt != Never {
		out += fmt.Sprintf(", %d replicas %s", r.Replicas, r.ScaleAt)
	}
	if r.RestartAt != Never {
		out += fmt.Sprintf(", %s %s", r.Restart, r.RestartAt)
	}
	return out + ": " + strings.TrimSpace(fmt.Sprintf("%s %s", r.End, r.EndAt))
}

// String is for reports.
func (m Moment) String() string {
	return [...]string{"", "while it starts", "in the first step", "in the second step", "while it is promoted"}[m]
}

// before gives a moment that the release comes to before it ends.
func (r Round) before(rng *rand.Rand) Moment {
	last := Promoting
	switch r.End {
	case Condemned:
		last = Starting // How far it comes is up to the analysis.
	case Aborted, Superseded:
		last = r.EndAt
	case Promoted:
	}
	return Starting + Moment(rng.IntN(int(last-Starting)+1))
}

// Script gives n rounds: a quarter is aborted, one half of it by the analysis, a
// quarter is superseded, and the rest is promoted, the last one always. A third has
// a change of scale, a quarter a restart.
func Script(seed uint64, n int) []Round {
	rng := rand.New(rand.NewPCG(seed, 0))
	rounds := make([]Round, n)
	for i, end := range ends(rng, n) {
		r := &rounds[i]
		r.End, r.Version = end, fmt.Sprintf("v%d", i+2)
		switch end {
		case Condemned:
			r.Version += "-errors-60"
		case Aborted, Superseded:
			r.EndAt = Starting + Moment(rng.IntN(3))
		case Promoted:
		}
		r.Start = time.Duration(rng.IntN(16)) * 100 * time.Millisecond
		r.Drain = time.Duration(10+rng.IntN(16)) * 100 * time.Millisecond
		if rng.IntN(3) == 0 {
			r.Replicas, r.ScaleAt = int32(2+rng.IntN(7)), r.before(rng)
		}
		if rng.IntN(4) == 0 {
			r.Restart, r.RestartAt = []Restart{Kill, Stop}[rng.IntN(2)], r.before(rng)
		}
	}
	return rounds
}

// ends shuffles how the rounds end. What follows a round supersedes it, so that the
// last one is promoted.
func ends(rng *rand.Rand, n int) []End {
	out := make([]End, n)
	for i := range out {
		out[i] = Promoted
	}
	some := rng.Perm(max(0, n-1))
	for i, at := range some {
		switch {
		case i < n/4 && i%2 == 0:
			out[at] = Aborted
		case i < n/4:
			out[at] = Condemned
		case i < n/4*2:
			out[at] = Superseded
		}
	}
	return out
}
