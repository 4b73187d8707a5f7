package localcluster

import (
	"context"
	"net/http"
	"time"
)

// etcdQuota is 8 GiB: without compaction the store only grows.
const etcdQuota = "8589934592"

// EtcdEndpoint returns the URL of etcd's client port. Nothing ever compacts
// the store, so a watch from revision 1 sees the cluster's whole history.
func (c *Cluster) EtcdEndpoint() string { return "http://" + c.addrs.etcd }

func (c *Cluster) startEtcd(ctx context.Context) error {
	started := time.Now()
	peer := "http://" + c.addrs.etcdPeer
	p, err := c.StartProcess(ctx, ToolEtcd, c.binaries.Etcd, []string{
		"--name=localcluster",
		"--data-dir=" + c.path("etcd"),
		"--listen-client-urls=" + c.EtcdEndpoint(),
		"--advertise-client-urls=" + c.EtcdEndpoint(),
		"--listen-peer-urls=" + peer,
		"--initial-advertise-peer-urls=" + peer,
		"--initial-cluster=localcluster=" + peer,
		"--quota-backend-bytes=" + etcdQuota,
		"--auto-compaction-retention=0",
		"--unsafe-no-fsync",
		"--log-level=warn",
	}, nil)
	if err != nil {
		return err
	}
	if err := await(ctx, "wait for etcd", p, httpReady(http.DefaultClient, c.EtcdEndpoint()+"/health")); err != nil {
		return err
	}
	c.say("etcd up", started)
	return nil
}
