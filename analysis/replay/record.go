package replay

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"sync"

	"github.com/sluice-dev/sluice/analysis"
)

// version is the layout of a recording. Its first line is a header; every other line
// is one question and its answer.
const version = 1

// header is the first line of a recording.
type header struct {
	Version int    `json:"sluiceReplay"`
	Input   *Input `json:"input"`
}

// line is one question and its answer. Floats are texts, so that they survive to the
// last bit, NaN and infinite ones too.
type line struct {
	Kind     kind     `json:"kind"`
	Query    string   `json:"query"`
	At       int64    `json:"at"`                 // in milliseconds
	Lookback int64    `json:"lookback,omitempty"` // in milliseconds
	Series   []series `json:"series,omitempty"`
	// Warnings is how many there were: what they say is never judged.
	Warnings int             `json:"warnings,omitempty"`
	Error    analysis.Reason `json:"error,omitempty"`
	Status   int             `json:"status,omitempty"`
}

// kind is what was asked for.
type kind string

const (
	kindSample kind = "sample" // one value for each series
	kindRaw    kind = "raw"    // the samples of a range
)

type series struct {
	Labels map[string]string `json:"labels,omitempty"`
	Value  string            `json:"value,omitempty"`
	Points []point           `json:"points,omitempty"`
}

// point is written as [milliseconds, "value"].
type point analysis.Point

// MarshalJSON implements json.Marshaler.
func (p point) MarshalJSON() ([]byte, error) {
	return json.Marshal([2]any{p.At, formatFloat(p.Value)})
}

// UnmarshalJSON implements json.Unmarshaler.
func (p *point) UnmarshalJSON(raw []byte) error {
	var text string
	pair := []any{&p.At, &text}
	if err := json.Unmarshal(raw, &pair); err != nil {
		return err
	}
	if len(pair) != 2 {
		return errors.New("a point is a time and a value")
	}
	var err error
	p.Value, err = strconv.ParseFloat(text, 64)
	return err
}

func formatFloat(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) }

// Recorder asks another provider, and writes what was asked and answered. It is safe
// for concurrent use.
type Recorder struct {
	provider analysis.Provider

	mu      sync.Mutex
	encoder *json.Encoder
}

var (
	_ analysis.Provider  = (*Recorder)(nil)
	_ analysis.RawReader = (*Recorder)(nil)
)

// NewRecorder writes the beginning of a recording of an input.
func NewRecorder(p analysis.Provider, out io.Writer, in *Input) (*Recorder, error) {
	r := &Recorder{provider: p, encoder: json.NewEncoder(out)}
	r.encoder.SetEscapeHTML(false)
	if err := r.encoder.Encode(header{Version: version, Input: in}); err != nil {
		return nil, fmt.Errorf("write the recording: %w", err)
	}
	return r, nil
}

// Query implements analysis.Provider.
func (r *Recorder) Query(ctx context.Context, q analysis.Query) (analysis.Sample, error) {
	sample, err := r.provider.Query(ctx, q)
	l := question(kindSample, q)
	for _, s := range sample.Series {
		l.Series = append(l.Series, series{Labels: s.Labels, Value: formatFloat(s.Value)})
	}
	l.Warnings = len(sample.Warnings)
	return sample, r.write(&l, err)
}

// ReadRaw implements analysis.RawReader.
func (r *Recorder) ReadRaw(ctx context.Context, q analysis.Query) (analysis.Matrix, error) {
	reader, ok := r.provider.(analysis.RawReader)
	if !ok {
		return analysis.Matrix{}, &analysis.Error{Reason: analysis.ReasonRawUnsupported}
	}
	m, err := reader.ReadRaw(ctx, q)
	l := question(kindRaw, q)
	for _, s := range m.Series {
		points := make([]point, 0, len(s.Points))
		for _, p := range s.Points {
			points = append(points, point(p))
		}
		l.Series = append(l.Series, series{Labels: s.Labels, Points: points})
	}
	l.Warnings = len(m.Warnings)
	return m, r.write(&l, err)
}

// write writes an answer, unless it is an error that says nothing of what was
// recorded. It returns the provider's error, or that of writing.
func (r *Recorder) write(l *line, answer error) error {
	var known *analysis.Error
	switch {
	case answer == nil:
	case errors.As(answer, &known):
		l.Series, l.Warnings, l.Error, l.Status = nil, 0, known.Reason, known.Status
	default:
		return answer
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.encoder.Encode(l); err != nil {
		return fmt.Errorf("write the recording: %w", err)
	}
	return answer
}

func question(k kind, q analysis.Query) line {
	return line{Kind: k, Query: q.Expr, At: q.At.UnixMilli(), Lookback: q.Lookback.Milliseconds()}
}
