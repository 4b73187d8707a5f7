package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// createCommand creates the objects of a script's file; NAME is replaced.
func (w *world) createCommand(ts *testscript.TestScript, neg bool, args []string) {
	arguments(ts, neg, args, 2, "create FILE NAME")
	ts.Check(w.create(context.Background(), ts.MkAbs(args[0]), ts.Getenv("NAMESPACE"), "NAME", args[1]))
}

// prometheusCommand serves a Prometheus on loopback at $PROMETHEUS, of a kind.
func prometheusCommand(ts *testscript.TestScript, neg bool, args []string) {
	arguments(ts, neg, args, 1, "prometheus KIND")
	server := httptest.NewServer(&scraped{kind: args[0]})
	ts.Defer(server.Close)
	ts.Setenv("PROMETHEUS", server.URL)
}

// scraped is a Prometheus that has scraped a mesh forever: requests of whatever two
// revisions are asked for, every fifteen seconds.
type scraped struct {
	// kind is bad: the canary fails five times as often as stable; good: as often;
	// other: there are other revisions; forgetful: it has nothing before this hour;
	// empty: it has nothing; locked: it wants the token "sesame".
	kind string
}

var (
	rangeOf     = regexp.MustCompile(`\[(\d+)ms\]$`)
	revisionsOf = regexp.MustCompile(`destination_canonical_revision=~"([^"|]+)\|([^"|]+)"`)
)

// ServeHTTP answers queries of the kinds that a replay asks.
func (s *scraped) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if s.kind == "locked" && r.Header.Get("Authorization") != "Bearer sesame" {
		http.Error(w, "who are you?", http.StatusUnauthorized)
		return
	}
	if r.URL.Path != "/api/v1/query" {
		http.NotFound(w, r)
		return
	}
	query := r.FormValue("query")
	seconds, err := strconv.ParseFloat(r.FormValue("time"), 64)
	if err != nil {
		http.Error(w, "no time", http.StatusBadRequest)
		return
	}
	at := time.UnixMilli(int64(seconds * 1000)).UTC()
	var answer map[string]any
	switch {
	case strings.HasPrefix(query, "count(last_over_time(up"):
		answer = vector(s.kind != "empty" && (s.kind != "forgetful" || !at.Before(time.Now().Add(-time.Hour))), nil)
	case strings.HasPrefix(query, "count by (destination_canonical_revision)"):
		answer = vector(s.kind == "other", map[string]string{"destination_canonical_revision": "other"})
	case strings.HasPrefix(query, "latency"):
		answer = vector(s.kind != "empty", nil)
	default:
		answer = s.matrix(query, at)
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{"status": "success", "data": answer})
}

func vector(found bool, labels map[string]string) map[string]any {
	result := []any{}
	if found {
		result = append(result, map[string]any{"metric": labels, "value": []any{0, "0.25"}})
	}
	return map[string]any{"resultType": "vector", "result": result}
}

// matrix has the counters of both revisions in the range of a query.
func (s *scraped) matrix(query string, at time.Time) map[string]any {
	length, revisions, result := rangeOf.FindStringSubmatch(query), revisionsOf.FindStringSubmatch(query), []any{}
	if (s.kind == "bad" || s.kind == "good" || s.kind == "locked") && length != nil && revisions != nil {
		canaryBad := 1
		if s.kind == "bad" {
			canaryBad = 5
		}
		millis, err := strconv.ParseInt(length[1], 10, 64)
		if err != nil {
			return nil
		}
		for _, c := range []struct {
			revision, code string
			each           int
		}{{revisions[1], "200", 396}, {revisions[1], "503", 4}, {revisions[2], "200", 100 - canaryBad}, {revisions[2], "503", canaryBad}} {
			values := []any{}
			for t := at.Add(-time.Duration(millis) * time.Millisecond).Truncate(15 * time.Second); !t.After(at); t = t.Add(15 * time.Second) {
				if at.Sub(t).Milliseconds() < millis {
					values = append(values, []any{t.Unix(), fmt.Sprint(t.Unix() / 15 % 1e6 * int64(c.each))})
				}
			}
			result = append(result, map[string]any{"values": values, "metric": map[string]string{
				"instance": "10.0.0.1:15020", "destination_canonical_revision": c.revision, "response_code": c.code,
			}})
		}
	}
	return map[string]any{"resultType": "matrix", "result": result}
}
