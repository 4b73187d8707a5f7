package localcluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
)

// httpCaller is a client outside of the mesh that comes in through the gateway. It
// keeps its connections.
type httpCaller struct {
	client  *http.Client
	url     string
	host    string
	headers map[string]string
}

func newHTTPCaller(o *TrafficOptions) (*httpCaller, error) {
	if o.Host == "" {
		return nil, errors.New("requests through a gateway need TrafficOptions.Host")
	}
	var protocols http.Protocols
	protocols.SetHTTP1(!o.HTTP2)
	protocols.SetUnencryptedHTTP2(o.HTTP2)
	return &httpCaller{
		url: "http://" + o.Gateway.Addr() + "/", host: o.Host, headers: o.Headers,
		client: &http.Client{Transport: &http.Transport{
			Protocols:   &protocols,
			DialContext: (&net.Dialer{Timeout: callTimeout}).DialContext,
			// As many as there are workers, so that none is closed and made anew.
			MaxIdleConns: o.Workers, MaxIdleConnsPerHost: o.Workers,
			DisableCompression: true,
		}},
	}, nil
}

// call makes one request. It is a POST whose body cannot be had twice: one that the
// client must not send a second time by itself, when a connection breaks under it.
func (c *httpCaller) call(ctx context.Context) outcome {
	began := time.Now()
	o := c.try(ctx)
	o.http, o.at = true, time.Now()
	o.took = o.at.Sub(began)
	return o
}

func (c *httpCaller) try(ctx context.Context) outcome {
	body := io.NopCloser(strings.NewReader("{}"))
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url, body)
	if err != nil {
		return failedCall(err)
	}
	request.Host, request.ContentLength = c.host, 2
	for key, value := range c.headers {
		request.Header.Set(key, value)
	}
	response, err := c.client.Do(request)
	if err != nil {
		return failedCall(err)
	}
	defer func() { _ = response.Body.Close() }()
	content, err := io.ReadAll(io.LimitReader(response.Body, 64<<10))
	if err != nil {
		return failedCall(fmt.Errorf("%s, and then: %w", response.Status, err))
	}
	o := outcome{status: response.StatusCode, code: codeOf(response.StatusCode)}
	if o.code != codes.OK {
		o.message = response.Status + ": " + strings.TrimSpace(string(content))
	}
	o.identify(response.Header.Get)
	return o
}

// failedCall is a request without a whole answer.
func failedCall(err error) outcome {
	o := outcome{code: codes.Unavailable, message: err.Error()}
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded) {
		o.code = codes.DeadlineExceeded
	}
	o.identify(func(string) string { return "" })
	return o
}

// codeOf is the gRPC code that says about the same as an HTTP status.
func codeOf(status int) codes.Code {
	switch {
	case status >= 200 && status < 300:
		return codes.OK
	case status == http.StatusInternalServerError:
		return codes.Internal
	case status == http.StatusBadGateway, status == http.StatusServiceUnavailable:
		return codes.Unavailable
	case status == http.StatusGatewayTimeout:
		return codes.DeadlineExceeded
	case status == http.StatusNotFound:
		return codes.Unimplemented
	}
	return codes.Unknown
}

func (c *httpCaller) close() { c.client.CloseIdleConnections() }
