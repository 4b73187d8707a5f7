package localcluster

import (
	"context"
	"errors"
	"net/http"
	"time"
)

// AlertmanagerURL returns the URL of Alertmanager inside.
func (c *Cluster) AlertmanagerURL() string { return "http://" + c.addrs.alertmanager }

// ServingFiles returns the paths of a certificate for loopback addresses, its key, and
// the authority that issued it, for programs that serve TLS.
func (c *Cluster) ServingFiles() (cert, key, authority string) {
	return c.path("server.crt"), c.path("server.key"), c.path("ca.crt")
}

// StartAlertmanager starts Alertmanager with a configuration of its own format, and
// waits until it is ready. Prometheus sends it the alerts of SetRules. It keeps its
// address, and its silences, over StopAlertmanager.
func (c *Cluster) StartAlertmanager(ctx context.Context, config []byte) error {
	started := time.Now()
	c.mu.Lock()
	running := c.alertmanager
	c.mu.Unlock()
	switch {
	case running != nil:
		return errors.New("alertmanager is running")
	case c.binaries.Alertmanager == "":
		return errors.New("the cluster was started without Options.Alertmanager")
	}
	if err := writeFileAtomically(c.path("alertmanager.yaml"), config, 0o600); err != nil {
		return err
	}
	p, err := c.StartProcess(ctx, ToolAlertmanager, c.binaries.Alertmanager, []string{
		"--config.file=" + c.path("alertmanager.yaml"),
		"--storage.path=" + c.path("alertmanager"),
		"--web.listen-address=" + c.addrs.alertmanager,
		"--cluster.listen-address=", // one alone
		"--log.level=warn",
	}, nil)
	if err != nil {
		return err
	}
	c.mu.Lock()
	c.alertmanager = p
	c.mu.Unlock()
	if err := await(ctx, "wait for Alertmanager", p, httpReady(http.DefaultClient, c.AlertmanagerURL()+"/-/ready")); err != nil {
		return err
	}
	c.say("Alertmanager up", started)
	return nil
}

// StopAlertmanager stops Alertmanager: nobody is told of alerts until
// StartAlertmanager.
func (c *Cluster) StopAlertmanager() error {
	c.mu.Lock()
	p := c.alertmanager
	c.alertmanager = nil
	c.mu.Unlock()
	if p == nil {
		return errors.New("alertmanager is not running")
	}
	return p.Stop(10 * time.Second)
}

// SetRules gives Prometheus alerting rules, in the format of its rule files, instead
// of those it had.
func (c *Cluster) SetRules(ctx context.Context, rules []byte) error {
	if err := writeFileAtomically(c.path("rules.yaml"), rules, 0o600); err != nil {
		return err
	}
	return c.changeTargets(ctx, func(now []scrapeTarget) []scrapeTarget { return now })
}
