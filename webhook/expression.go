package webhook

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/ext"
)

const (
	// maxExpressionCost bounds one evaluation; the API server allows its match conditions 2.5
	// million in all.
	maxExpressionCost = 1_000_000
	// interruptEvery is how many steps of a comprehension pass between two looks at the deadline.
	interruptEvery = 100
)

// expressionEnvironment is what an expression can see.
func expressionEnvironment() (*cel.Env, error) {
	return cel.NewEnv(
		cel.Variable("user", cel.StringType),
		cel.Variable("groups", cel.ListType(cel.StringType)),
		cel.Variable("operation", cel.StringType),
		cel.Variable("resource", cel.StringType),
		cel.Variable("namespaceName", cel.StringType),
		cel.Variable("namespaceLabels", cel.MapType(cel.StringType, cel.StringType)),
		cel.Variable("object", cel.DynType),
		cel.OptionalTypes(),
		ext.Strings(),
	)
}

// compileExpression parses and type-checks an expression. The error has its line and column.
func compileExpression(text string) (cel.Program, error) {
	env, err := expressionEnvironment()
	if err != nil {
		return nil, fmt.Errorf("prepare CEL: %w", err)
	}
	ast, issues := env.Compile(text)
	if issues.Err() != nil {
		return nil, issues.Err()
	}
	if ast.OutputType() != cel.BoolType && ast.OutputType() != cel.DynType {
		return nil, fmt.Errorf("is a %s: write a condition, which is true or false",
			ast.OutputType())
	}
	program, err := env.Program(ast, cel.CostLimit(maxExpressionCost),
		cel.InterruptCheckFrequency(interruptEvery))
	if err != nil {
		return nil, fmt.Errorf("plan: %w", err)
	}
	return program, nil
}

// evaluate judges the deletion. Whatever goes wrong is an error, never an answer.
func evaluate(ctx context.Context, program cel.Program, d deletion,
	labels map[string]string) (bool, error) {
	var object map[string]any
	raw, err := d.raw()
	if err == nil {
		err = json.Unmarshal(raw, &object)
	}
	if err != nil {
		return false, fmt.Errorf("read the object: %w", err)
	}
	if labels == nil {
		labels = map[string]string{}
	}
	value, _, err := program.ContextEval(ctx, map[string]any{
		"user": d.user, "groups": d.groups, "operation": string(d.operation),
		"resource":      d.resource(),
		"namespaceName": d.namespace, "namespaceLabels": labels, "object": object,
	})
	if err != nil {
		return false, fmt.Errorf("evaluate the expression: %w", err)
	}
	answer, ok := value.Value().(bool)
	if !ok {
		return false, errors.New("evaluate the expression: it is neither true nor false")
	}
	return answer, nil
}
