package analysis

import (
	"errors"
	"fmt"
	"strings"
	"sync"

	"cel.dev/cel-go/cel"
	"k8s.io/utils/lru"
)

const (
	// conditionCost is the most that evaluating one condition may cost, in CEL's
	// own units: about one for each operation.
	conditionCost = 10_000
	// conditionCacheSize is how many compiled conditions are kept.
	conditionCacheSize = 1024
	// maxConditionLength is how long a condition may be, in bytes.
	maxConditionLength = 4 * 1024
)

// Condition is a compiled condition over value. It is safe for concurrent use.
type Condition struct {
	program cel.Program
}

var (
	conditionEnv = sync.OnceValues(func() (*cel.Env, error) {
		return cel.NewEnv(
			cel.Variable("value", cel.DoubleType),
			cel.CrossTypeNumericComparisons(true),
		)
	})
	conditions = lru.New(conditionCacheSize)
)

// Compile compiles a condition in CEL over value, a double, that gives a bool. The
// latest conditions are kept compiled.
func Compile(expr string) (*Condition, error) {
	if c, ok := conditions.Get(expr); ok {
		return c.(*Condition), nil
	}
	c, err := compile(expr)
	if err != nil {
		return nil, err
	}
	conditions.Add(expr, c)
	return c, nil
}

func compile(expr string) (*Condition, error) {
	if len(expr) > maxConditionLength {
		return nil, fmt.Errorf("longer than %d bytes", maxConditionLength)
	}
	env, err := conditionEnv()
	if err != nil {
		return nil, fmt.Errorf("set up CEL: %w", err)
	}
	ast, issues := env.Compile(expr)
	if err := issues.Err(); err != nil {
		return nil, explain(err)
	}
	if !ast.OutputType().IsExactType(cel.BoolType) {
		return nil, fmt.Errorf("gives a %s where a bool is needed", ast.OutputType())
	}
	program, err := env.Program(ast, cel.CostLimit(conditionCost))
	if err != nil {
		return nil, fmt.Errorf("plan: %w", err)
	}
	return &Condition{program: program}, nil
}

// explain adds what most often helps: CEL computes and tests for equality only
// among values of one type.
func explain(err error) error {
	first, _, _ := strings.Cut(err.Error(), "\n")
	first = strings.TrimPrefix(first, "ERROR: <input>:")
	if strings.Contains(first, "int)") {
		return fmt.Errorf("%s: value is a double, so write 1.0, not 1", first)
	}
	return errors.New(first)
}

// Holds evaluates the condition for one value.
func (c *Condition) Holds(value float64) (bool, error) {
	out, _, err := c.program.Eval(map[string]any{"value": value})
	if err != nil {
		return false, fmt.Errorf("evaluate: %w", err)
	}
	holds, ok := out.Value().(bool)
	if !ok {
		return false, errors.New("evaluate: the result is not a bool")
	}
	return holds, nil
}
