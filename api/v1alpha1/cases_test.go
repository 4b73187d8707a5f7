package v1alpha1_test

import (
	"fmt"
	"strings"
	"time"
)

// fieldCase says which values of a field the API server takes, and with which
// message it refuses others. Every value is tried on its own, in an object that
// has all other fields.
type fieldCase struct {
	kind   string
	path   string
	given  []change // made first, where another branch of a union is needed
	accept []any
	refuse []refusal
}

type refusal struct {
	value   any
	message string
}

const requiredMessage = "Required value"

// with makes other changes first.
func (c fieldCase) with(given ...change) fieldCase {
	c.given = append(c.given, given...)
	return c
}

// refusing adds a refusal.
func (c fieldCase) refusing(value any, message string) fieldCase {
	c.refuse = append(c.refuse, refusal{value, message})
	return c
}

// accepting adds accepted values.
func (c fieldCase) accepting(values ...any) fieldCase {
	c.accept = append(c.accept, values...)
	return c
}

// required adds that the field cannot be left out.
func (c fieldCase) required() fieldCase { return c.refusing(nil, requiredMessage) }

// optional adds that the field can be left out.
func (c fieldCase) optional() fieldCase { return c.accepting(nil) }

func atLeast(n int64) string { return fmt.Sprintf("should be greater than or equal to %d", n) }
func atMost(n int64) string  { return fmt.Sprintf("should be less than or equal to %d", n) }
func tooShort(n int) string  { return fmt.Sprintf("should be at least %d chars long", n) }
func tooLong(n int) string   { return fmt.Sprintf("may not be more than %d bytes", n) }
func tooMany(n int) string   { return fmt.Sprintf("must have at most %d items", n) }
func tooFew(n int) string    { return fmt.Sprintf("should have at least %d items", n) }

// number is a whole number within bounds.
func number(kind, path string, low, high int64) fieldCase {
	return fieldCase{kind: kind, path: path, accept: []any{low, high}}.
		refusing(low-1, atLeast(low)).refusing(high+1, atMost(high))
}

// counter is a number that is never negative.
func counter(kind, path string) fieldCase {
	return fieldCase{kind: kind, path: path, accept: []any{int64(0), int64(1 << 30)}}.refusing(int64(-1), atLeast(0))
}

// text is a string of bounded length; low 0 stands for no lower bound.
func text(kind, path string, low, high int) fieldCase {
	c := fieldCase{kind: kind, path: path, accept: []any{strings.Repeat("a", high)}}.
		refusing(strings.Repeat("a", high+1), tooLong(high))
	if low == 0 {
		return c.accepting("")
	}
	return c.accepting(strings.Repeat("a", low)).refusing(strings.Repeat("a", low-1), tooShort(low))
}

// word is an enum.
func word(kind, path string, values ...any) fieldCase {
	return fieldCase{kind: kind, path: path, accept: values}.
		refusing("Other", `supported values: `+quoted(values)).
		refusing(strings.ToLower(fmt.Sprint(values[0])), "Unsupported value")
}

func quoted(values []any) string {
	all := make([]string, 0, len(values))
	for _, v := range values {
		all = append(all, fmt.Sprintf("%q", v))
	}
	return strings.Join(all, ", ")
}

// span is a duration within bounds, with the message that states them.
func span(kind, path string, low, high time.Duration, message string) fieldCase {
	return fieldCase{kind: kind, path: path, accept: []any{low.String(), high.String(), nil}}.
		refusing((low-time.Millisecond).String(), message).
		refusing((high+time.Millisecond).String(), message).
		refusing("soon", message).
		refusing("", message)
}

// moment is a time with microseconds.
func moment(kind, path string) fieldCase {
	const pattern = `should match 'T[0-9:]{8}\.[0-9]{6}(Z|[+-][0-9:]{5})$'`
	return fieldCase{kind: kind, path: path,
		accept: []any{"2026-01-02T15:04:05.000000Z", "2026-01-02T15:04:05.123456+01:00"}}.
		refusing("2026-01-02T15:04:05Z", pattern).
		refusing("2026-01-02T15:04:05.123Z", pattern).
		refusing("T15:04:05.000000Z", "must be of type date-time")
}

// list is a list of bounded length; item makes the i-th entry. low 0 stands for
// no lower bound.
func list(kind, path string, low, high int, item func(i int) any) fieldCase {
	c := fieldCase{kind: kind, path: path, accept: []any{items(high, item)}}.
		refusing(items(high+1, item), tooMany(high))
	if low == 0 {
		return c.accepting(items(0, item))
	}
	return c.accepting(items(low, item)).refusing(items(low-1, item), tooFew(low))
}

// keyed is a list whose items must not repeat.
func keyed(kind, path string, low, high int, item func(i int) any) fieldCase {
	return list(kind, path, low, high, item).refusing([]any{item(0), item(0)}, "Duplicate value")
}

func items(n int, item func(i int) any) []any {
	all := make([]any, 0, n)
	for i := range n {
		all = append(all, item(i))
	}
	return all
}

// object is a required object without bounds of its own.
func object(kind, path string) fieldCase { return fieldCase{kind: kind, path: path}.required() }

func named(i int) any { return map[string]any{"name": fmt.Sprintf("n%d", i)} }

func condition(i int) any {
	return map[string]any{
		"type": fmt.Sprintf("C%d", i), "status": "True", "reason": "R", "message": "m",
		"lastTransitionTime": "2026-01-02T15:04:05Z",
	}
}
