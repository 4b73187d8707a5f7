package analysis

import (
	"context"
	"fmt"
	"io"
	"time"
)

// Provider answers queries. Implementations make one attempt for each call, give
// no verdict, and are safe for concurrent use. One that holds connections
// implements io.Closer too.
type Provider interface {
	// Query reads one sample. An error that tells why there is none is an *Error;
	// the error of ctx is returned as it is when ctx was cancelled. No error
	// carries anything that the server sent.
	Query(ctx context.Context, q Query) (Sample, error)
}

// RawReader is the ability of a Provider to read samples as they were scraped. A
// comparison needs it: functions such as increase() give no whole numbers, and take
// the first sample of a new series for no requests at all.
type RawReader interface {
	// ReadRaw reads all samples that a query for a range of series gives. Errors are
	// as those of Query.
	ReadRaw(ctx context.Context, q Query) (Matrix, error)
}

// Matrix is what was scraped.
type Matrix struct {
	// Series holds the samples of each series. Empty when there is no data.
	Series []RawSeries
	// Warnings that the server attached to the result, such as that it is
	// partial. Only their number is ever shown.
	Warnings []string
}

// RawSeries is one series and its samples, oldest first.
type RawSeries struct {
	Labels map[string]string
	Points []Point
}

// Point is one sample.
type Point struct {
	// At is when it was scraped, in milliseconds since 1970.
	At int64
	// Value, which may be NaN or infinite.
	Value float64
}

// Query is one read.
type Query struct {
	// Expr in the provider's language, with placeholders filled in.
	Expr string
	// At is the time for which it is evaluated, in whole milliseconds.
	At time.Time
	// Lookback is how far back an instant selector may look for a series' latest
	// sample: whole seconds, or whole milliseconds below one second. Zero leaves
	// it to the server.
	Lookback time.Duration
	// Timeout is how long the server may take. Zero means no limit but ctx's.
	Timeout time.Duration
}

// Sample is what a query gave.
type Sample struct {
	// Series holds one value for each series; a scalar is one series without
	// labels. Empty when there is no data.
	Series []Series
	// Warnings that the server attached to the result, such as that it is
	// partial. Only their number is ever shown.
	Warnings []string
}

// Series is one value and what it belongs to.
type Series struct {
	// Labels of the series; nil for a scalar.
	Labels map[string]string
	// Value, which may be NaN or infinite.
	Value float64
}

// Values makes a sample of series without labels.
func Values(values ...float64) Sample {
	s := Sample{Series: make([]Series, 0, len(values))}
	for _, v := range values {
		s.Series = append(s.Series, Series{Value: v})
	}
	return s
}

// Endpoint says where a provider's server is and how to sign in there.
type Endpoint struct {
	// Address is an http or https URL without credentials, query or fragment.
	Address string
	// Username and Password for basic authentication; nothing when Username is
	// empty.
	Username string
	Password Secret
	// Bearer is a bearer token; nothing when it is empty.
	Bearer Secret
	// CA is a bundle of PEM certificates to trust instead of the system's.
	CA []byte
}

// Opener makes a provider for an endpoint. Its error is an *Error.
type Opener func(Endpoint) (Provider, error)

// Secret is a string that prints as a fixed word.
type Secret string

const hidden = "[hidden]"

var (
	_ fmt.Formatter = Secret("")
	_ io.Closer     = nopCloser{}
)

// Format prints a fixed word, whatever the verb.
func (Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, hidden) }

// MarshalText gives a fixed word, for JSON and structured logs.
func (Secret) MarshalText() ([]byte, error) { return []byte(hidden), nil }

// Reveal returns the string itself.
func (s Secret) Reveal() string { return string(s) }

type nopCloser struct{}

func (nopCloser) Close() error { return nil }

// Closer returns what closes p: p itself when it is an io.Closer, and otherwise
// something that does nothing.
func Closer(p Provider) io.Closer {
	if c, ok := p.(io.Closer); ok {
		return c
	}
	return nopCloser{}
}
