package alerts

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/onsi/gomega"
)

// issuer is a certificate authority.
type issuer struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  []byte
}

func newIssuer(t *testing.T) *issuer {
	t.Helper()
	i := &issuer{t: t}
	i.cert, i.key, i.pem = issue(t, &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign,
	}, nil)
	return i
}

func issue(t *testing.T, template *x509.Certificate, by *issuer) (*x509.Certificate, *ecdsa.PrivateKey, []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	parent, signer := template, key
	if by != nil {
		parent, signer = by.cert, by.key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert, key, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

// write issues a certificate for loopback and writes it and its key.
func (i *issuer) write(serial int64, certFile, keyFile string) {
	i.t.Helper()
	_, key, cert := issue(i.t, &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "sluice-alerts"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}, i)
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		i.t.Fatal(err)
	}
	for name, content := range map[string][]byte{keyFile: pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}), certFile: cert} {
		if err := os.WriteFile(name, content, 0o600); err != nil {
			i.t.Fatal(err)
		}
	}
}

// client trusts an issuer, and shows a certificate of another if there is one.
func (i *issuer) client(of *issuer, name string) *http.Client {
	config := &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: x509.NewCertPool()}
	config.RootCAs.AddCert(i.cert)
	if of != nil {
		cert, key, _ := issue(i.t, &x509.Certificate{
			SerialNumber: big.NewInt(9), Subject: pkix.Name{CommonName: name}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
		}, of)
		// Shown whether or not the server asks for its issuer.
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			return &tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: key}, nil
		}
	}
	return &http.Client{Transport: &http.Transport{TLSClientConfig: config, DisableKeepAlives: true}}
}

// serveTLS runs a server with a handler until the test ends, and returns its address.
func serveTLS(t *testing.T, s *Server) (address string, stop func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	at, ended := make(chan net.Addr, 1), make(chan error, 1)
	s.Address, s.listening = "127.0.0.1:0", func(a net.Addr) { at <- a }
	go func() { ended <- s.Start(ctx) }()
	stopped := false
	stop = func() error {
		cancel()
		if stopped {
			return nil
		}
		stopped = true
		return <-ended
	}
	t.Cleanup(func() { _ = stop() })
	select {
	case a := <-at:
		return a.String(), stop
	case err := <-ended:
		stopped = true
		t.Fatalf("the server ended: %v", err)
		return "", nil
	}
}

func get(c *http.Client, address string) (string, *tls.ConnectionState, error) {
	request, err := http.NewRequest(http.MethodGet, "https://"+address, http.NoBody)
	if err != nil {
		return "", nil, err
	}
	response, err := c.Do(request)
	if err != nil {
		return "", nil, err
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	return string(body), response.TLS, err
}

// caller says who sent a request, as far as TLS knows.
var caller = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	if len(r.TLS.VerifiedChains) > 0 {
		_, _ = io.WriteString(w, r.TLS.VerifiedChains[0][0].Subject.CommonName)
	}
})

// TestServerReadsItsCertificateAgain holds that a renewed certificate needs no restart.
func TestServerReadsItsCertificateAgain(t *testing.T) {
	g := gomega.NewWithT(t)
	dir, authority := t.TempDir(), newIssuer(t)
	cert, key := filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	authority.write(41, cert, key)
	address, _ := serveTLS(t, &Server{CertFile: cert, KeyFile: key, Handler: caller})
	serial := func() int64 {
		_, state, err := get(authority.client(nil, ""), address)
		g.Expect(err).NotTo(gomega.HaveOccurred())
		return state.PeerCertificates[0].SerialNumber.Int64()
	}
	g.Expect(serial()).To(gomega.Equal(int64(41)))
	authority.write(42, cert, key)
	g.Eventually(serial, 30*time.Second).Should(gomega.Equal(int64(42)))
}

// TestServerVerifiesClients holds that a client's certificate counts only if the
// authority for clients issued it, and that one is not needed.
func TestServerVerifiesClients(t *testing.T) {
	dir, authority, clients := t.TempDir(), newIssuer(t), newIssuer(t)
	cert, key, ca := filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key"), filepath.Join(dir, "ca.crt")
	authority.write(1, cert, key)
	if err := os.WriteFile(ca, clients.pem, 0o600); err != nil {
		t.Fatal(err)
	}
	address, _ := serveTLS(t, &Server{CertFile: cert, KeyFile: key, ClientCAFile: ca, Handler: caller})
	for _, tc := range []struct {
		name    string
		of      *issuer
		want    string
		refused bool
	}{
		{name: "nobody"},
		{name: "alertmanager", of: clients, want: "alertmanager"},
		{name: "of another authority", of: authority, refused: true},
	} {
		got, _, err := get(authority.client(tc.of, tc.name), address)
		if got != tc.want || (err != nil) != tc.refused {
			t.Errorf("%s: %q, %v", tc.name, got, err)
		}
	}
	if _, _, err := get(&http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{
		MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11, InsecureSkipVerify: true, //nolint:gosec // that is the test
	}}}, address); err == nil {
		t.Error("TLS 1.1 is taken")
	}
}

// TestServerFinishesWhatItBegan holds that a message that is being recorded when the
// operator stops is answered.
func TestServerFinishesWhatItBegan(t *testing.T) {
	dir, authority := t.TempDir(), newIssuer(t)
	cert, key := filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	authority.write(1, cert, key)
	begun, finish := make(chan struct{}), make(chan struct{})
	address, stop := serveTLS(t, &Server{CertFile: cert, KeyFile: key, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		close(begun)
		<-finish
		_, _ = io.WriteString(w, "recorded")
	})})
	answer := make(chan string, 1)
	go func() {
		got, _, err := get(authority.client(nil, ""), address)
		if err != nil {
			got = err.Error()
		}
		answer <- got
	}()
	<-begun
	stopped := make(chan error, 1)
	go func() { stopped <- stop() }()
	close(finish)
	if got := <-answer; got != "recorded" {
		t.Errorf("got %q", got)
	}
	if err := <-stopped; err != nil {
		t.Error(err)
	}
}

// TestServerSaysWhatIsMissing asks for the errors of files that cannot be used.
func TestServerSaysWhatIsMissing(t *testing.T) {
	dir, authority := t.TempDir(), newIssuer(t)
	cert, key, empty := filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key"), filepath.Join(dir, "empty")
	authority.write(1, cert, key)
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for want, s := range map[string]*Server{
		"reading the alert receiver's certificate": {CertFile: empty, KeyFile: key},
		"reading the authorities of alert senders": {CertFile: cert, KeyFile: key, ClientCAFile: filepath.Join(dir, "none")},
		"empty has no certificate":                 {CertFile: cert, KeyFile: key, ClientCAFile: empty},
		"listening for alerts":                     {CertFile: cert, KeyFile: key, Address: "127.0.0.1:none"},
	} {
		if err := s.Start(t.Context()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}
