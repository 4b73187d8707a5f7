package main

import (
	"fmt"
	"math"
	"strings"
)

// measure is what a plot shows of a judge in a cell; false when there is nothing.
type measure struct {
	title string
	ticks []float64
	at    func(v float64) float64 // from 0 to 1
	value func(t *tally, r *result) (float64, bool)
}

var detectionTimes = measure{
	title: "Median minutes until a bad canary is rolled back, where at least half are",
	ticks: []float64{0, 10, 20, 30, 40, 50},
	at:    func(v float64) float64 { return v / 50 },
	value: func(t *tally, r *result) (float64, bool) { return t.median(), 2*t.detected >= r.repetitions },
}

var harm = measure{
	title: "Requests harmed per release (logarithmic)",
	ticks: []float64{1, 10, 100, 1000, 10_000, 100_000},
	at:    func(v float64) float64 { return math.Log10(max(1, v)) / 5 },
	value: func(t *tally, _ *result) (float64, bool) { return t.harmed, true },
}

// colours of the rivals, and last of the engine.
var colours = []string{"#e69f00", "#d55e00", "#cc79a7", "#56b4e9", "#0072b2", "#999999", "#b0b000", "#009e73"}

const (
	plotLeft, plotTop, plotWidth, rowHeight = 210, 70, 640, 18
)

// plot draws a row for each regression, and a dot for each judge.
func (b *bench) plot(m measure) string {
	var rows []*result
	for i := range b.grid {
		if b.grid[i].kind == regression {
			rows = append(rows, &b.grid[i])
		}
	}
	height := plotTop + rowHeight*len(rows) + 30
	var s strings.Builder
	fmt.Fprintf(&s, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" font-family="sans-serif" font-size="11">`+"\n", plotLeft+plotWidth+40, height)
	fmt.Fprintf(&s, `<rect width="100%%" height="100%%" fill="white"/><text x="10" y="20" font-size="14">%s</text>`+"\n", m.title)
	for j := range len(rivals) + 1 {
		name := "engine"
		if j < len(rivals) {
			name = rivals[j].name
		}
		x := 20 + 104*j
		fmt.Fprintf(&s, `<circle cx="%d" cy="40" r="5" fill="%s"/><text x="%d" y="44">%s</text>`+"\n", x, colours[j], x+9, name)
	}
	x := func(v float64) float64 { return plotLeft + plotWidth*min(1, m.at(v)) }
	for _, v := range m.ticks {
		fmt.Fprintf(&s, `<line x1="%.1f" x2="%.1f" y1="%d" y2="%d" stroke="#ddd"/><text x="%.1f" y="%d" text-anchor="middle">%v</text>`+"\n",
			x(v), x(v), plotTop-8, height-25, x(v), height-10, v)
	}
	for i, r := range rows {
		y := plotTop + rowHeight*i
		fmt.Fprintf(&s, `<text x="%d" y="%d" text-anchor="end">%s</text><line x1="%d" x2="%d" y1="%d" y2="%d" stroke="#eee"/>`+"\n",
			plotLeft-10, y+4, r.String(), plotLeft, plotLeft+plotWidth, y, y)
		for j, t := range append(pointers(r.rivals), &r.engine) {
			if v, ok := m.value(t, r); ok {
				fmt.Fprintf(&s, `<circle cx="%.1f" cy="%d" r="%d" fill="%s" fill-opacity="0.8"/>`+"\n", x(v), y, 4+j/len(rivals)*2, colours[j])
			}
		}
	}
	s.WriteString("</svg>\n")
	return s.String()
}
