package main

// Exit codes. They are an interface: scripts and CI jobs rest on them.
const (
	exitOK          = 0
	exitFailed      = 1 // the command could not do what it was asked to
	exitDegraded    = 2 // a release was aborted, or the Rollout is stalled
	exitTimeout     = 3 // not there yet, and the time is over
	exitPaused      = 4 // waits for a person
	exitInterrupted = 130
)

// exitError ends the program with a code of its own. Without an error inside,
// everything was said already.
type exitError struct {
	code int
	error
}

// Error implements error.
func (e *exitError) Error() string {
	if e.error == nil {
		return "said above"
	}
	return e.error.Error()
}

// Unwrap gives what went wrong.
func (e *exitError) Unwrap() error { return e.error }
