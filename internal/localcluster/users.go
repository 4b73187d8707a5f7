package localcluster

import (
	"bytes"
	"crypto/rand"
	"encoding/csv"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// User is somebody the API server knows. Authorization is RBAC for everybody,
// so a user may do what its bindings say and no more.
type User struct {
	Name   string
	Groups []string
}

// Users that every cluster knows.
const (
	// AdminUser may do everything.
	AdminUser = "admin"
	// OperatorUser is the service account that the operator runs as.
	OperatorUser = "system:serviceaccount:sluice-system:sluice"
)

const mastersGroup = "system:masters"

// withImpliedGroups adds the groups that the API server gives to service
// accounts whose tokens it issued itself.
func (u User) withImpliedGroups() User {
	rest, ok := strings.CutPrefix(u.Name, "system:serviceaccount:")
	if !ok {
		return u
	}
	namespace, _, _ := strings.Cut(rest, ":")
	groups := slices.Clone(u.Groups)
	for _, g := range []string{"system:serviceaccounts", "system:serviceaccounts:" + namespace} {
		if !slices.Contains(groups, g) {
			groups = append(groups, g)
		}
	}
	return User{Name: u.Name, Groups: groups}
}

// tokens maps the users that were known at the start to their static tokens.
type tokens map[string]tokenUser

type tokenUser struct {
	User
	token string
}

func newTokens(extra []User) tokens {
	all := append([]User{
		{Name: AdminUser, Groups: []string{mastersGroup}},
		{Name: OperatorUser},
	}, extra...)
	t := tokens{}
	for _, u := range all {
		t[u.Name] = tokenUser{User: u.withImpliedGroups(), token: rand.Text()}
	}
	return t
}

// csv renders the file that --token-auth-file reads.
func (t tokens) csv() ([]byte, error) {
	names := make([]string, 0, len(t))
	for name := range t {
		names = append(names, name)
	}
	slices.Sort(names)
	var out bytes.Buffer
	w := csv.NewWriter(&out)
	for i, name := range names {
		u := t[name]
		if err := w.Write([]string{u.token, u.Name, strconv.Itoa(i + 1), strings.Join(u.Groups, ",")}); err != nil {
			return nil, fmt.Errorf("write tokens: %w", err)
		}
	}
	w.Flush()
	return out.Bytes(), w.Error()
}

// AdminConfig returns a configuration that may do everything and that no
// client-side limit slows down.
func (c *Cluster) AdminConfig() *rest.Config {
	return &rest.Config{
		Host: c.APIServerURL(), BearerToken: c.tokens[AdminUser].token, QPS: -1,
		TLSClientConfig: rest.TLSClientConfig{CAData: slices.Clone(c.ca.pem)},
	}
}

// ConfigFor returns a configuration that authenticates as the named user. The
// users known at the start (admin, the operator and Options.Users) have static
// tokens; anybody else, and anybody with other groups than at the start, gets
// a client certificate. Client-side limits are client-go's own defaults.
func (c *Cluster) ConfigFor(user string, groups ...string) (*rest.Config, error) {
	u := User{Name: user, Groups: groups}.withImpliedGroups()
	config := &rest.Config{
		Host:            c.APIServerURL(),
		TLSClientConfig: rest.TLSClientConfig{CAData: slices.Clone(c.ca.pem)},
	}
	if known, ok := c.tokens[user]; ok && (len(groups) == 0 || slices.Equal(u.Groups, known.Groups)) {
		config.BearerToken = known.token
		return config, nil
	}
	cert, key, err := c.ca.client(u)
	if err != nil {
		return nil, err
	}
	config.CertData, config.KeyData = cert, key
	return config, nil
}

// Kubeconfig returns the path of a kubeconfig that may do everything. It holds
// the address inside; see WriteKubeconfig for one that the host can use.
func (c *Cluster) Kubeconfig() string { return c.path("admin.kubeconfig") }

// WriteKubeconfig writes a kubeconfig for a user. server overrides the address
// ("https://127.0.0.1:41234" for a host listener that is proxied to
// APIServerAddr); empty means the address inside.
func (c *Cluster) WriteKubeconfig(user, path, server string) error {
	config, err := c.ConfigFor(user)
	if err != nil {
		return err
	}
	if server != "" {
		config.Host = server
	}
	content, err := kubeconfig(config, user)
	if err != nil {
		return err
	}
	if err := writeFileAtomically(path, content, 0o600); err != nil {
		return fmt.Errorf("write kubeconfig: %w", err)
	}
	return nil
}

func kubeconfig(config *rest.Config, user string) ([]byte, error) {
	const name = "localcluster"
	out := clientcmdapi.NewConfig()
	out.Clusters[name] = &clientcmdapi.Cluster{
		Server: config.Host, CertificateAuthorityData: config.CAData,
	}
	out.AuthInfos[user] = &clientcmdapi.AuthInfo{
		Token: config.BearerToken, ClientCertificateData: config.CertData, ClientKeyData: config.KeyData,
	}
	out.Contexts[name] = &clientcmdapi.Context{Cluster: name, AuthInfo: user, Namespace: "default"}
	out.CurrentContext = name
	content, err := clientcmd.Write(*out)
	if err != nil {
		return nil, fmt.Errorf("encode kubeconfig: %w", err)
	}
	return content, nil
}

func (c *Cluster) writeTokens() error {
	content, err := c.tokens.csv()
	if err != nil {
		return err
	}
	if err := os.WriteFile(c.path("tokens.csv"), content, 0o600); err != nil {
		return fmt.Errorf("write tokens: %w", err)
	}
	return nil
}
