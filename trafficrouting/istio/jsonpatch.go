package istio

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"sigs.k8s.io/controller-runtime/pkg/client"
)

// operation is one operation of a JSON patch (RFC 6902).
type operation struct {
	Op    string `json:"op"`
	Path  string `json:"path"`
	Value any    `json:"value,omitempty"`
}

func test(path string, value any) operation { return operation{"test", path, value} }

// set writes a member of an object, whether or not it is there already: so does
// "add" by RFC 6902, while "replace" fails where a zero was left out.
func set(path string, value any) operation { return operation{"add", path, value} }

func remove(path string) operation { return operation{"remove", path, nil} }

var pointerEscaper = strings.NewReplacer("~", "~0", "/", "~1")

// pointer makes a JSON pointer (RFC 6901) of strings and ints.
func pointer(tokens ...any) string {
	var b strings.Builder
	for _, token := range tokens {
		b.WriteByte('/')
		switch v := token.(type) {
		case int:
			b.WriteString(strconv.Itoa(v))
		default:
			b.WriteString(pointerEscaper.Replace(fmt.Sprint(v)))
		}
	}
	return b.String()
}

// encodePatch makes the patch of obj that carries out ops, provided that obj is
// still as it was read.
func encodePatch(obj client.Object, ops []operation) ([]byte, error) {
	guarded := make([]operation, 0, len(ops)+1)
	guarded = append(guarded, test(pointer("metadata", "resourceVersion"), obj.GetResourceVersion()))
	data, err := json.Marshal(append(guarded, ops...))
	if err != nil {
		return nil, fmt.Errorf("encode patch: %w", err)
	}
	return data, nil
}
