package replay

import (
	"context"
	"errors"
	"net/http"
	"slices"

	"github.com/sluice-dev/sluice/analysis"
)

// AccessError says that the data could not be read now, which tells nothing of what
// the analysis would have seen.
type AccessError struct {
	// Reason is one of analysis' reasons.
	Reason analysis.Reason
	// Status is the HTTP status, or 0.
	Status int
}

// Error implements error.
func (e *AccessError) Error() string {
	return (&analysis.Error{Reason: e.Reason, Status: e.Status}).Error()
}

// today are the reasons that speak of today's server, network and credentials.
var today = []analysis.Reason{
	analysis.ReasonTimeout, analysis.ReasonUnauthorized, analysis.ReasonRedirected, analysis.ReasonUnavailable,
	analysis.ReasonAddressRefused, analysis.ReasonProviderInvalid,
}

// Past asks a server for the past: that it cannot be reached today is no measurement.
type Past struct{ Server analysis.Provider }

var (
	_ analysis.Provider  = Past{}
	_ analysis.RawReader = Past{}
)

// Query implements analysis.Provider.
func (p Past) Query(ctx context.Context, q analysis.Query) (analysis.Sample, error) {
	sample, err := p.Server.Query(ctx, q)
	return sample, accessError(err)
}

// ReadRaw implements analysis.RawReader.
func (p Past) ReadRaw(ctx context.Context, q analysis.Query) (analysis.Matrix, error) {
	reader, ok := p.Server.(analysis.RawReader)
	if !ok {
		return analysis.Matrix{}, &analysis.Error{Reason: analysis.ReasonRawUnsupported}
	}
	m, err := reader.ReadRaw(ctx, q)
	return m, accessError(err)
}

func accessError(err error) error {
	var known *analysis.Error
	if errors.As(err, &known) && (slices.Contains(today, known.Reason) || known.Reason == analysis.ReasonRefused && !aboutQuery(known.Status)) {
		return &AccessError{Reason: known.Reason, Status: known.Status}
	}
	return err
}

// aboutQuery tells whether a status says that a query is wrong, and would have been: the
// server does not exist where a path does not, and what limits requests is today's.
func aboutQuery(status int) bool {
	return status == http.StatusBadRequest || status == http.StatusUnprocessableEntity
}
