package notifier

import (
	"testing"
	"time"

	"github.com/onsi/gomega"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	clocktesting "k8s.io/utils/clock/testing"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-dev/sluice/api/v1alpha1"
)

// reconciler makes one that reads Secrets with a client.
func (w *world) reconciler(secrets client.Reader) *readiness {
	return &readiness{
		client:    w.client,
		directory: &directory{objects: w.client, secrets: secrets},
		clock:     clocktesting.NewFakePassiveClock(time.Now()),
	}
}

// ready reconciles a Notifier and returns its condition, and when it is looked at again.
func (w *world) ready(r *readiness, name string) (*metav1.Condition, time.Duration) {
	w.t.Helper()
	result, err := r.Reconcile(w.ctx, ctrl.Request{NamespacedName: w.key(name)})
	w.Expect(err).NotTo(gomega.HaveOccurred())
	var n v1alpha1.Notifier
	w.Expect(w.client.Get(w.ctx, w.key(name), &n)).To(gomega.Succeed())
	w.Expect(n.Status.ObservedGeneration).To(gomega.Equal(n.Generation))
	c := meta.FindStatusCondition(n.Status.Conditions, v1alpha1.ConditionReady)
	w.Expect(c).NotTo(gomega.BeNil())
	w.Expect(c.Message).NotTo(gomega.ContainSubstring(secretValue))
	return c, result.RequeueAfter
}

func TestConditions(t *testing.T) {
	slack := func(name, key string) v1alpha1.NotifierSpec {
		return v1alpha1.NotifierSpec{Slack: &v1alpha1.ChatWebhook{AddressFrom: *ref(name, key)}}
	}
	webhook := func(edit func(*v1alpha1.NotificationEndpoint)) v1alpha1.NotifierSpec {
		e := &v1alpha1.NotificationEndpoint{Address: "https://hooks.example.com"}
		edit(e)
		return v1alpha1.NotifierSpec{Webhook: e}
	}
	templated := webhook(func(*v1alpha1.NotificationEndpoint) {})
	templated.Triggers = []v1alpha1.NotificationTrigger{{Type: "Promoted"}, {Type: "Aborted", Template: "{{.Rolout}} is gone"}}
	looping := webhook(func(*v1alpha1.NotificationEndpoint) {})
	looping.Triggers = []v1alpha1.NotificationTrigger{{Type: "Aborted", Template: "{{range .Labels}}x{{end}}"}}
	selecting := webhook(func(*v1alpha1.NotificationEndpoint) {})
	selecting.Selector = &metav1.LabelSelector{MatchLabels: map[string]string{"a": "not a value"}}

	w := newWorld(t)
	w.secret("good", map[string]string{"address": "https://hooks.example.com/" + secretValue, "token": secretValue})
	w.secret("bad", map[string]string{"address": "ftp://" + secretValue, "ca": secretValue})
	for name, tc := range map[string]struct {
		spec            v1alpha1.NotifierSpec
		reason, message string
	}{
		"slack":     {slack("good", "address"), "Usable", "can be told"},
		"webhook":   {webhook(func(e *v1alpha1.NotificationEndpoint) { e.Bearer = ref("good", "token") }), "Usable", "can be told"},
		"nosecret":  {slack("other", "address"), "SecretMissing", "there is no Secret other"},
		"nokey":     {slack("good", "url"), "SecretMissing", "Secret good has no key url"},
		"address":   {slack("bad", "address"), "AddressInvalid", "the address is not an http or https URL"},
		"bearer":    {webhook(func(e *v1alpha1.NotificationEndpoint) { e.Bearer = ref("gone", "token") }), "SecretMissing", "there is no Secret gone"},
		"authority": {webhook(func(e *v1alpha1.NotificationEndpoint) { e.TLS = &v1alpha1.ProviderTLS{CA: *ref("bad", "ca")} }), "AuthorityInvalid", "the bundle of authorities has no certificate"},
		"template":  {templated, "TemplateInvalid", "the template of Aborted: "},
		"loop":      {looping, "TemplateInvalid", "the template of Aborted: "},
		"selector":  {selecting, "SelectorInvalid", "not a value"},
	} {
		w.create(name, tc.spec)
		c, again := w.ready(w.reconciler(w.client), name)
		w.Expect(c.Reason).To(gomega.Equal(tc.reason), name)
		w.Expect(c.Message).To(gomega.ContainSubstring(tc.message), name)
		w.Expect(c.Status == metav1.ConditionTrue).To(gomega.Equal(tc.reason == v1alpha1.ReasonNotifierUsable), name)
		w.Expect(again > 0).To(gomega.Equal(c.Status != metav1.ConditionTrue), "%s: what is not watched is looked at again", name)
	}
}

// TestReadyFollows has a Secret come, be wrong and be mended. At rest nothing is
// written.
func TestReadyFollows(t *testing.T) {
	w := newWorld(t)
	n := w.create("channel", v1alpha1.NotifierSpec{Teams: &v1alpha1.ChatWebhook{AddressFrom: *ref("hook", "address")}})
	r := w.reconciler(w.client)
	reason := func() string {
		c, _ := w.ready(r, "channel")
		return c.Reason
	}
	w.Expect(reason()).To(gomega.Equal("SecretMissing"))
	w.secret("hook", map[string]string{"address": "nonsense"})
	w.Expect(reason()).To(gomega.Equal("AddressInvalid"))
	w.secret("hook", map[string]string{"address": "https://hooks.example.com\n"})
	w.Expect(reason()).To(gomega.Equal("Usable"), "the end of a line is none of an address")
	w.Expect(w.client.Get(w.ctx, w.key("channel"), n)).To(gomega.Succeed())
	before := n.ResourceVersion
	w.Expect(reason()).To(gomega.Equal("Usable"))
	w.Expect(w.client.Get(w.ctx, w.key("channel"), n)).To(gomega.Succeed())
	w.Expect(n.ResourceVersion).To(gomega.Equal(before))

	_, err := r.Reconcile(w.ctx, ctrl.Request{NamespacedName: w.key("gone")})
	w.Expect(err).NotTo(gomega.HaveOccurred())
}

// TestSecretsAreReadByName holds that a Role that names one Secret is enough, and that
// without it the condition says what to do.
func TestSecretsAreReadByName(t *testing.T) {
	w := newWorld(t)
	w.secret("hook", map[string]string{"address": "https://hooks.example.com"})
	w.secret("other", map[string]string{"address": "https://hooks.example.com"})
	config := rest.CopyConfig(server.Config(t))
	config.Impersonate = rest.ImpersonationConfig{UserName: "operator-of-" + w.namespace}
	operator, err := client.New(config, client.Options{Scheme: w.scheme()})
	w.Expect(err).NotTo(gomega.HaveOccurred())
	r := w.reconciler(operator)
	w.create("channel", v1alpha1.NotifierSpec{Slack: &v1alpha1.ChatWebhook{AddressFrom: *ref("hook", "address")}})
	w.create("elsewhere", v1alpha1.NotifierSpec{Slack: &v1alpha1.ChatWebhook{AddressFrom: *ref("other", "address")}})

	c, again := w.ready(r, "channel")
	w.Expect(c.Reason).To(gomega.Equal("SecretForbidden"))
	w.Expect(c.Message).To(gomega.Equal("the operator may not read Secret hook: a Role in this namespace must let it get it"))
	w.Expect(again).To(gomega.Equal(time.Minute))

	w.Expect(w.client.Create(w.ctx, &rbacv1.Role{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "hook"},
		Rules:      []rbacv1.PolicyRule{{APIGroups: []string{""}, Resources: []string{"secrets"}, ResourceNames: []string{"hook"}, Verbs: []string{"get"}}},
	})).To(gomega.Succeed())
	w.Expect(w.client.Create(w.ctx, &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "hook"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: "hook"},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: "User", Name: config.Impersonate.UserName}},
	})).To(gomega.Succeed())
	w.Eventually(func() string {
		c, _ := w.ready(r, "channel")
		return c.Reason
	}).Should(gomega.Equal("Usable"), "the authorizer sees the Role a moment later")
	c, _ = w.ready(r, "elsewhere")
	w.Expect(c.Reason).To(gomega.Equal("SecretForbidden"))
}
