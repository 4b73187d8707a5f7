package alerts

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/certwatcher"
)

// Server serves the receiver over TLS, on every replica.
type Server struct {
	// Address to listen on.
	Address string
	// CertFile and KeyFile are read again when they change.
	CertFile, KeyFile string
	// ClientCAFile, if set, holds the authorities of client certificates.
	ClientCAFile string
	// Handler is the receiver.
	Handler http.Handler

	// listening, if set, is told where.
	listening func(net.Addr)
}

// NeedLeaderElection implements manager.LeaderElectionRunnable.
func (s *Server) NeedLeaderElection() bool { return false }

// Start implements manager.Runnable: it serves until ctx ends.
func (s *Server) Start(ctx context.Context) error {
	watcher, err := certwatcher.New(s.CertFile, s.KeyFile)
	if err != nil {
		return fmt.Errorf("reading the alert receiver's certificate: %w", err)
	}
	config, err := s.tlsConfig(watcher)
	if err != nil {
		return err
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", s.Address)
	if err != nil {
		return fmt.Errorf("listening for alerts: %w", err)
	}
	if s.listening != nil {
		s.listening(listener.Addr())
	}
	server := &http.Server{
		Handler: s.Handler, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 15 * time.Second,
		WriteTimeout: 30 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 32 << 10, TLSConfig: config,
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	watched := make(chan error, 1)
	go func() { watched <- watcher.Start(ctx) }()
	ended := make(chan error, 1)
	go func() { ended <- server.ServeTLS(listener, "", "") }()
	select {
	case err = <-ended:
		return fmt.Errorf("serving the alert receiver: %w", err)
	case err = <-watched:
		if ctx.Err() == nil {
			return errors.Join(fmt.Errorf("watching the alert receiver's certificate: %w", err), server.Close())
		}
	case <-ctx.Done():
	}
	// What is being recorded is finished; nothing new is taken.
	grace, stop := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer stop()
	if err := server.Shutdown(grace); err != nil {
		return errors.Join(fmt.Errorf("stopping the alert receiver: %w", err), server.Close())
	}
	return nil
}

func (s *Server) tlsConfig(watcher *certwatcher.CertWatcher) (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: watcher.GetCertificate}
	if s.ClientCAFile == "" {
		return config, nil
	}
	pem, err := os.ReadFile(s.ClientCAFile)
	if err != nil {
		return nil, fmt.Errorf("reading the authorities of alert senders: %w", err)
	}
	config.ClientCAs, config.ClientAuth = x509.NewCertPool(), tls.VerifyClientCertIfGiven
	if !config.ClientCAs.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s has no certificate", s.ClientCAFile)
	}
	return config, nil
}
