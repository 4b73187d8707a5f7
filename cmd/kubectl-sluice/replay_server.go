package main

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/sluice-dev/sluice/analysis"
	"github.com/sluice-dev/sluice/analysis/prometheus"
	"github.com/sluice-dev/sluice/analysis/replay"
	"github.com/sluice-dev/sluice/internal/egress"
)

// maxSecret is how large a file with a credential may be.
const maxSecret = 1 << 20

// prometheusFlags say which Prometheus to ask, and how to sign in there. Credentials
// come from files: a command line is for everybody to see.
type prometheusFlags struct {
	address      string
	bearerFile   string
	username     string
	passwordFile string
	caFile       string
	timeout      time.Duration
}

func (p *prometheusFlags) addFlags(f *pflag.FlagSet) {
	f.StringVar(&p.address, "prometheus", "", "URL of the Prometheus that has the data, up to what comes before /api/v1")
	f.StringVar(&p.bearerFile, "bearer-token-file", "", "file with a bearer token for it")
	f.StringVar(&p.username, "username", "", "user name for basic authentication there")
	f.StringVar(&p.passwordFile, "password-file", "", "file with the password of --username")
	f.StringVar(&p.caFile, "ca-file", "", "file with the certificates to trust there, instead of the system's")
	f.DurationVar(&p.timeout, "timeout", replay.DefaultTimeout, "how long a query may take")
}

func (p *prometheusFlags) check() error {
	switch {
	case p.address == "" && p.bearerFile+p.username+p.passwordFile+p.caFile != "":
		return errors.New("credentials and certificates are for --prometheus")
	case p.bearerFile != "" && p.username != "":
		return errors.New("--bearer-token-file and --username exclude each other")
	case (p.username == "") != (p.passwordFile == ""):
		return errors.New("--username and --password-file need each other")
	case p.timeout <= 0:
		return fmt.Errorf("--timeout is %s, and must be more than 0", p.timeout)
	}
	return nil
}

// open makes a client. It does not connect.
func (p *prometheusFlags) open() (*prometheus.Provider, error) {
	e := analysis.Endpoint{Address: p.address, Username: p.username}
	for _, f := range []struct {
		flag, path string
		set        func([]byte)
	}{
		{"--bearer-token-file", p.bearerFile, func(raw []byte) { e.Bearer = analysis.Secret(strings.TrimSpace(string(raw))) }},
		{"--password-file", p.passwordFile, func(raw []byte) { e.Password = analysis.Secret(strings.TrimRight(string(raw), "\r\n")) }},
		{"--ca-file", p.caFile, func(raw []byte) { e.CA = raw }},
	} {
		if f.path == "" {
			continue
		}
		raw, err := readBounded(f.path)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f.flag, err)
		}
		f.set(raw)
	}
	// Whoever runs the plugin may ask servers of their own machine.
	provider, err := prometheus.New(e, prometheus.Options{Options: egress.Options{AllowLoopback: true}})
	if err != nil {
		return nil, fmt.Errorf("--prometheus must be an http or https URL without credentials, query or fragment, and --ca-file, where it is set, have a certificate: %w", err)
	}
	return provider, nil
}

// readBounded reads a small file that is not empty.
func readBounded(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.Size() > maxSecret {
		return nil, fmt.Errorf("%s is larger than %d bytes", path, maxSecret)
	}
	raw, err := os.ReadFile(path)
	if err == nil && strings.TrimSpace(string(raw)) == "" {
		err = fmt.Errorf("%s is empty", path)
	}
	return raw, err
}
