package localcluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"sigs.k8s.io/yaml"
)

// scrapeTarget is one address whose /metrics Prometheus reads.
type scrapeTarget struct{ job, addr string }

// PrometheusURL returns the URL of Prometheus inside.
func (c *Cluster) PrometheusURL() string { return "http://" + c.addrs.prometheus }

// PrometheusAddr returns the address of Prometheus inside, for ProxyHost.
func (c *Cluster) PrometheusAddr() string { return c.addrs.prometheus }

// StartPrometheus starts Prometheus and waits until it is ready; it keeps its
// address, its targets and its data over StopPrometheus. Start has called it
// already when Options.Prometheus is set.
func (c *Cluster) StartPrometheus(ctx context.Context) error {
	started := time.Now()
	c.mu.Lock()
	running, targets := c.prometheus, slices.Clone(c.scrapes)
	c.mu.Unlock()
	if running != nil {
		return errors.New("prometheus is running")
	}
	if c.binaries.Prometheus == "" {
		return errors.New("the cluster was started without Options.Prometheus")
	}
	if err := c.writePrometheusConfig(targets); err != nil {
		return err
	}
	p, err := c.StartProcess(ctx, ToolPrometheus, c.binaries.Prometheus, []string{
		"--config.file=" + c.path("prometheus.yaml"),
		"--storage.tsdb.path=" + c.path("prometheus"),
		"--storage.tsdb.retention.time=2d",
		"--web.listen-address=" + c.addrs.prometheus,
		"--web.enable-lifecycle",
		"--log.level=warn",
	}, nil)
	if err != nil {
		return err
	}
	c.mu.Lock()
	c.prometheus = p
	c.mu.Unlock()
	if err := await(ctx, "wait for Prometheus", p, httpReady(http.DefaultClient, c.PrometheusURL()+"/-/ready")); err != nil {
		return err
	}
	c.say("Prometheus up", started)
	return nil
}

// StopPrometheus stops Prometheus: queries fail until StartPrometheus.
func (c *Cluster) StopPrometheus() error {
	c.mu.Lock()
	p := c.prometheus
	c.prometheus = nil
	c.mu.Unlock()
	if p == nil {
		return errors.New("prometheus is not running")
	}
	return p.Stop(10 * time.Second)
}

// AddScrapeTarget has Prometheus read http://ADDR/metrics at every scrape
// interval, under the given job name. Targets may be added at any time, also
// while Prometheus is stopped.
func (c *Cluster) AddScrapeTarget(ctx context.Context, job, addr string) error {
	return c.changeTargets(ctx, func(now []scrapeTarget) []scrapeTarget {
		return append(now, scrapeTarget{job, addr})
	})
}

// RemoveScrapeTarget undoes AddScrapeTarget.
func (c *Cluster) RemoveScrapeTarget(ctx context.Context, job, addr string) error {
	return c.changeTargets(ctx, func(now []scrapeTarget) []scrapeTarget {
		return slices.DeleteFunc(now, func(t scrapeTarget) bool { return t == scrapeTarget{job, addr} })
	})
}

func (c *Cluster) changeTargets(ctx context.Context, change func([]scrapeTarget) []scrapeTarget) error {
	c.mu.Lock()
	defer c.mu.Unlock() // held over the reload, so that the last change is what runs
	c.scrapes = change(slices.Clone(c.scrapes))
	if c.prometheus == nil {
		return nil
	}
	if err := c.writePrometheusConfig(c.scrapes); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, c.PrometheusURL()+"/-/reload", http.NoBody)
	if err != nil {
		return fmt.Errorf("reload Prometheus: %w", err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return fmt.Errorf("reload Prometheus: %w", err)
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("reload Prometheus: it answers %s", response.Status)
	}
	return nil
}

func (c *Cluster) writePrometheusConfig(targets []scrapeTarget) error {
	alertmanager := ""
	if c.options.Alertmanager {
		alertmanager = c.addrs.alertmanager
	}
	content, err := prometheusConfig(c.options.ScrapeInterval, targets, alertmanager)
	if err != nil {
		return err
	}
	return writeFileAtomically(c.path("prometheus.yaml"), content, 0o600)
}

// prometheusConfig groups targets by job, in the order in which jobs came. With an
// Alertmanager, alerts of the file rules.yaml beside it are sent there.
func prometheusConfig(interval time.Duration, targets []scrapeTarget, alertmanager string) ([]byte, error) {
	type staticConfig struct {
		Targets []string `json:"targets"`
	}
	type job struct {
		Name    string         `json:"job_name"`
		Configs []staticConfig `json:"static_configs"`
	}
	jobs := []*job{}
	for _, t := range targets {
		i := slices.IndexFunc(jobs, func(j *job) bool { return j.Name == t.job })
		if i < 0 {
			i = len(jobs)
			jobs = append(jobs, &job{Name: t.job, Configs: []staticConfig{{}}})
		}
		jobs[i].Configs[0].Targets = append(jobs[i].Configs[0].Targets, t.addr)
	}
	every := fmt.Sprintf("%dms", interval.Milliseconds())
	config := map[string]any{
		"global": map[string]string{
			"scrape_interval": every, "scrape_timeout": every, "evaluation_interval": every,
		},
		"scrape_configs": jobs,
	}
	if alertmanager != "" {
		config["rule_files"] = []string{"rules.yaml"}
		config["alerting"] = map[string]any{"alertmanagers": []any{
			map[string]any{"static_configs": []staticConfig{{Targets: []string{alertmanager}}}},
		}}
	}
	content, err := yaml.Marshal(config)
	if err != nil {
		return nil, fmt.Errorf("encode Prometheus's configuration: %w", err)
	}
	return bytes.TrimSpace(content), nil
}
