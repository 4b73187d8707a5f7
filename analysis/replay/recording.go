package replay

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"time"

	"github.com/sluice-dev/sluice/analysis"
)

const (
	// maxRecording is how large a recording may be, in bytes.
	maxRecording = 256 << 20
	// maxShown is how much of a query an error shows.
	maxShown = 160
)

// Recording is what was asked and answered once, and answers the same questions again.
type Recording struct {
	// Input that was replayed when it was made.
	Input *Input

	answers map[key]*line
}

var (
	_ analysis.Provider  = (*Recording)(nil)
	_ analysis.RawReader = (*Recording)(nil)
)

// key tells questions apart.
type key struct {
	kind         kind
	query        string
	at, lookback int64
}

func (l *line) key() key { return key{l.Kind, l.Query, l.At, l.Lookback} }

// MissingError says that a question was not asked when a recording was made.
type MissingError struct {
	// Query and the time for which it was asked.
	Query string
	At    time.Time
}

// Error implements error.
func (e *MissingError) Error() string {
	query := e.Query
	if len(query) > maxShown {
		query = query[:maxShown] + "…"
	}
	return fmt.Sprintf("the recording has no answer to %s for %s: it was made with other metrics, other intervals, other revisions or another range of time",
		query, e.At.Format(time.RFC3339Nano))
}

// Load reads a recording.
func Load(in io.Reader) (*Recording, error) {
	limited := &io.LimitedReader{R: in, N: maxRecording}
	decoder := json.NewDecoder(limited)
	var h header
	if err := decoder.Decode(&h); err != nil {
		return nil, fmt.Errorf("this is no recording of a replay: %w", err)
	}
	if h.Version != version || h.Input == nil {
		return nil, fmt.Errorf("this is no recording of a replay that can be read here: it has version %d, and must have %d", h.Version, version)
	}
	r := &Recording{Input: h.Input, answers: map[key]*line{}}
	for {
		l := &line{}
		err := decoder.Decode(l)
		if errors.Is(err, io.EOF) && limited.N > 0 {
			return r, nil
		}
		if limited.N <= 0 {
			return nil, fmt.Errorf("the recording is larger than %d MiB", maxRecording>>20)
		}
		if err == nil {
			err = l.check()
		}
		if err != nil {
			return nil, fmt.Errorf("answer %d of the recording: %w", len(r.answers)+1, err)
		}
		if r.answers[l.key()] != nil {
			return nil, fmt.Errorf("answer %d of the recording: the same was answered before", len(r.answers)+1)
		}
		r.answers[l.key()] = l
	}
}

// check says what is wrong with a line.
func (l *line) check() error {
	if l.Kind != kindSample && l.Kind != kindRaw {
		return fmt.Errorf("kind %q is unknown", l.Kind)
	}
	if l.Error != "" && !slices.Contains(analysis.Reasons(), l.Error) {
		return fmt.Errorf("error %q is unknown", l.Error)
	}
	for _, s := range l.Series {
		if _, err := strconv.ParseFloat(s.Value, 64); l.Kind == kindSample && err != nil {
			return fmt.Errorf("value %q is no number", s.Value)
		}
	}
	return nil
}

// Query implements analysis.Provider.
func (r *Recording) Query(_ context.Context, q analysis.Query) (analysis.Sample, error) {
	l, err := r.find(kindSample, q)
	if err != nil {
		return analysis.Sample{}, err
	}
	sample := analysis.Sample{Series: make([]analysis.Series, 0, len(l.Series)), Warnings: l.warnings()}
	for _, s := range l.Series {
		value, err := strconv.ParseFloat(s.Value, 64)
		if err != nil {
			return analysis.Sample{}, fmt.Errorf("read the recording: %w", err)
		}
		sample.Series = append(sample.Series, analysis.Series{Labels: s.Labels, Value: value})
	}
	return sample, nil
}

// ReadRaw implements analysis.RawReader.
func (r *Recording) ReadRaw(_ context.Context, q analysis.Query) (analysis.Matrix, error) {
	l, err := r.find(kindRaw, q)
	if err != nil {
		return analysis.Matrix{}, err
	}
	m := analysis.Matrix{Series: make([]analysis.RawSeries, 0, len(l.Series)), Warnings: l.warnings()}
	for _, s := range l.Series {
		points := make([]analysis.Point, 0, len(s.Points))
		for _, p := range s.Points {
			points = append(points, analysis.Point(p))
		}
		m.Series = append(m.Series, analysis.RawSeries{Labels: s.Labels, Points: points})
	}
	return m, nil
}

// find returns the answer to a question; the error may be the answer.
func (r *Recording) find(k kind, q analysis.Query) (*line, error) {
	asked := question(k, q)
	l := r.answers[asked.key()]
	switch {
	case l == nil:
		return nil, &MissingError{Query: q.Expr, At: q.At}
	case l.Error != "":
		return nil, &analysis.Error{Reason: l.Error, Status: l.Status}
	}
	return l, nil
}

func (l *line) warnings() []string {
	if l.Warnings <= 0 {
		return nil
	}
	return make([]string, min(l.Warnings, 1000))
}
