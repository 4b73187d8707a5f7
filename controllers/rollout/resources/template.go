package resources

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"reflect"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/util/rand"

	"github.com/sluice-dev/sluice/api/v1alpha1"
)

// Template is a pod template, in the user's own words and as Kubernetes reads it.
type Template struct {
	// Raw is the template as the user wrote it, in canonical JSON.
	Raw []byte
	// Pod is the template with the fields that this program knows.
	Pod corev1.PodTemplateSpec
}

// ParseTemplate reads the pod template of a workload. The error is for the user.
func ParseTemplate(w v1alpha1.Workload) (Template, error) {
	if w.Template == nil || len(w.Template.Raw) == 0 {
		return Template{}, errors.New("workload.template is empty")
	}
	return parseTemplate(w.Template.Raw)
}

func parseTemplate(raw []byte) (Template, error) {
	var generic map[string]any
	if err := json.Unmarshal(raw, &generic); err != nil {
		return Template{}, fmt.Errorf("workload.template is not an object: %w", err)
	}
	if generic == nil {
		return Template{}, errors.New("workload.template is empty")
	}
	canonical, err := json.Marshal(generic)
	if err != nil {
		return Template{}, fmt.Errorf("writing workload.template: %w", err)
	}
	t := Template{Raw: canonical}
	if err := json.Unmarshal(canonical, &t.Pod); err != nil {
		return Template{}, fmt.Errorf("workload.template is not a pod template: %w", err)
	}
	return t, nil
}

// Same reports whether two templates mean the same: they are equal as JSON, or
// as Kubernetes reads them ("1" and "1000m" are one quantity) while neither has a
// field that this program does not know.
func (t Template) Same(other Template) bool {
	if bytes.Equal(t.Raw, other.Raw) {
		return true
	}
	return equality.Semantic.DeepEqual(t.Pod, other.Pod) && t.known() && other.known()
}

// known reports whether the typed form holds all that the raw form does.
func (t Template) known() bool {
	d := json.NewDecoder(bytes.NewReader(t.Raw))
	d.DisallowUnknownFields()
	var pod corev1.PodTemplateSpec
	return d.Decode(&pod) == nil && reflect.DeepEqual(pod, t.Pod)
}

// Revision names a template that no ReplicaSet has yet. taken tells whether a name
// is in use by another template; the next one is tried then.
func (t Template) Revision(taken func(string) bool) string {
	for salt := 0; ; salt++ {
		h := fnv.New32a()
		_, _ = h.Write(t.Raw)
		if salt > 0 {
			_, _ = h.Write([]byte(strconv.Itoa(salt)))
		}
		if name := rand.SafeEncodeString(strconv.FormatUint(uint64(h.Sum32()), 10)); !taken(name) {
			return name
		}
	}
}
