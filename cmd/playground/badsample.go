package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"time"
)

// askEvery is how often Prometheus is asked for the first bad sample, and with it
// how precisely its time is known.
const askEvery = 20 * time.Millisecond

// firstBadSample waits until Prometheus serves a failed request of a version, and
// returns when it was asked the time that it did. Without one before ctx ends it
// returns the zero time.
func firstBadSample(ctx context.Context, prometheus, version string) time.Time {
	query := fmt.Sprintf(`sum(istio_requests_total{reporter="source",destination_version=%q,grpc_response_status!="0"}) > 0`, version)
	ticker := time.NewTicker(askEvery)
	defer ticker.Stop()
	for {
		asked := time.Now()
		if answersSomething(ctx, prometheus, query) {
			return asked
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return time.Time{}
		}
	}
}

// answersSomething tells whether a query has a result. A query that fails has none.
func answersSomething(ctx context.Context, prometheus, query string) bool {
	address := prometheus + "/api/v1/query?query=" + url.QueryEscape(query)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, http.NoBody)
	if err != nil {
		return false
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return false
	}
	defer func() { _ = resp.Body.Close() }()
	var answer struct {
		Data struct {
			Result []json.RawMessage `json:"result"`
		} `json:"data"`
	}
	return json.NewDecoder(resp.Body).Decode(&answer) == nil && len(answer.Data.Result) > 0
}
