package main

import (
	"context"
	_ "embed" // for the page
	"errors"
	"fmt"
	"net/http"
	"net/http/httputil"
	"net/url"
	"time"

	"github.com/sluice-dev/sluice/internal/localcluster"
)

// pageHTML draws queries. Prometheus has a page of its own only where its web
// assets were built in, which takes more than a Go toolchain.
//
//go:embed page.html
var pageHTML []byte

// servePage serves the page, and Prometheus's HTTP API at the same address, on a
// listener of the host until ctx is done.
func servePage(ctx context.Context, listener int, prometheus string) error {
	target, err := url.Parse(prometheus)
	if err != nil {
		return fmt.Errorf("serving Prometheus's page: %w", err)
	}
	l, err := localcluster.HostListener(listener)
	if err != nil {
		return fmt.Errorf("serving Prometheus's page: %w", err)
	}
	server := &http.Server{Handler: pageHandler(target), ReadHeaderTimeout: 10 * time.Second}
	context.AfterFunc(ctx, func() { _ = server.Close() })
	go func() {
		if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			_ = l.Close()
		}
	}()
	return nil
}

// pageHandler answers with the page, and passes everything else on to Prometheus.
func pageHandler(prometheus *url.URL) http.Handler {
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(prometheus) }}
	mux := http.NewServeMux()
	mux.Handle("/", proxy)
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = w.Write(pageHTML) // a browser that went away needs no answer
	})
	return mux
}
