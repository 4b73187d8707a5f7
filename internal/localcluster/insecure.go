package localcluster

import (
	"crypto/tls"
	"net/http"
)

// insecureTransport serves health checks of a program on loopback that makes
// its own certificate.
func insecureTransport() *http.Transport {
	return &http.Transport{
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
	}
}
