package prometheus

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"path"
	"strings"

	"github.com/prometheus/client_golang/api"

	"github.com/sluice-dev/sluice/analysis"
)

// client sends requests to one server and reads at most so much of an answer. Every
// status but 2xx is an error here, so that no body goes further.
type client struct {
	base     *url.URL
	endpoint analysis.Endpoint
	maxBody  int64
	http     *http.Client
}

var _ api.Client = (*client)(nil)

// URL of an endpoint of the API.
func (c *client) URL(endpoint string, args map[string]string) *url.URL {
	u := *c.base
	p := path.Join(u.Path, endpoint)
	for name, value := range args {
		p = strings.ReplaceAll(p, ":"+name, value)
	}
	u.Path = p
	return &u
}

// Do sends one request. The response's body is closed and must not be used.
func (c *client) Do(ctx context.Context, req *http.Request) (*http.Response, []byte, error) {
	req = req.WithContext(ctx)
	switch e := c.endpoint; {
	case e.Bearer != "":
		req.Header.Set("Authorization", "Bearer "+e.Bearer.Reveal())
	case e.Username != "":
		req.SetBasicAuth(e.Username, e.Password.Reveal())
	}
	req.Header.Set("User-Agent", "sluice")
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, c.maxBody+1))
	if err == nil && int64(len(body)) > c.maxBody {
		err = &analysis.Error{Reason: analysis.ReasonTooLarge}
	}
	if resp.StatusCode/100 != 2 {
		err = &analysis.Error{Reason: reasonFor(resp.StatusCode, body), Status: resp.StatusCode}
	}
	return resp, body, err
}

func reasonFor(status int, body []byte) analysis.Reason {
	switch {
	case status == http.StatusUnauthorized, status == http.StatusForbidden:
		return analysis.ReasonUnauthorized
	case status == http.StatusRequestTimeout, status == http.StatusGatewayTimeout, timedOut(body):
		return analysis.ReasonTimeout
	case status/100 == 3:
		return analysis.ReasonRedirected
	case status/100 == 4:
		return analysis.ReasonRefused
	default:
		return analysis.ReasonUnavailable
	}
}

// timedOut tells whether the server says that its own limit ended the query.
func timedOut(body []byte) bool {
	var answer struct {
		ErrorType string `json:"errorType"`
	}
	return json.Unmarshal(body, &answer) == nil && answer.ErrorType == "timeout"
}
