package edit

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Operation is one operation of a JSON patch (RFC 6902).
type Operation struct {
	Op    string `json:"op"`
	Path  string `json:"path"`
	Value any    `json:"value,omitempty"`
}

// Test holds the patch to there being value at path.
func Test(path string, value any) Operation { return Operation{"test", path, value} }

// set writes a member of an object, whether or not it is there already: so does
// "add" by RFC 6902, while "replace" fails where a zero was left out.
func set(path string, value any) Operation { return Operation{"add", path, value} }

func remove(path string) Operation { return Operation{"remove", path, nil} }

var pointerEscaper = strings.NewReplacer("~", "~0", "/", "~1")

// Pointer makes a JSON pointer (RFC 6901) of strings and ints.
func Pointer(tokens ...any) string {
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

// Change is what is to be done to one object.
type Change struct {
	Object client.Object
	Ops    []Operation
}

// Encode makes the patch that carries out c, provided that the object is still as
// it was read.
func (c Change) Encode() ([]byte, error) {
	guarded := make([]Operation, 0, len(c.Ops)+1)
	guarded = append(guarded, Test(Pointer("metadata", "resourceVersion"), c.Object.GetResourceVersion()))
	data, err := json.Marshal(append(guarded, c.Ops...))
	if err != nil {
		return nil, fmt.Errorf("encode patch: %w", err)
	}
	return data, nil
}

// perObject makes one change of those to the same object, in order, and leaves out
// the empty ones.
func perObject(changes ...Change) []Change {
	var merged []Change
	for _, c := range changes {
		if len(c.Ops) == 0 {
			continue
		}
		i := slices.IndexFunc(merged, func(m Change) bool { return m.Object == c.Object })
		if i < 0 {
			merged = append(merged, c)
			continue
		}
		merged[i].Ops = append(merged[i].Ops, c.Ops...)
	}
	return merged
}
