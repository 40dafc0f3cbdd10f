package addon

import (
	"fmt"
	"strconv"
	"strings"
	"sync"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/ext"

	"github.com/volvox-os/volvox/document"
)

// The variables of expressions, all whole numbers.
const (
	varCPU      = "cpu_millis"
	varMemory   = "memory_bytes"
	varStorage  = "storage_bytes"
	varReplicas = "replicas"
)

var expressions = sync.OnceValues(func() (*cel.Env, error) {
	return cel.NewEnv(
		cel.Variable(varCPU, cel.IntType), cel.Variable(varMemory, cel.IntType),
		cel.Variable(varStorage, cel.IntType), cel.Variable(varReplicas, cel.IntType),
		ext.Math(), ext.Strings(),
	)
})

// expression is a compiled CEL expression with a result of a known type.
type expression struct {
	text    string
	program cel.Program
}

// compileExpression checks the text and that its result is of the type of a
// parameter; the error says what is wrong in words.
func compileExpression(text, parameterType string) (*expression, error) {
	env, err := expressions()
	if err != nil {
		return nil, fmt.Errorf("set up expressions: %w", err)
	}
	parsed, issues := env.Compile(text)
	if issues.Err() != nil {
		var all []string
		for _, e := range issues.Errors() {
			message, _, _ := strings.Cut(e.Message, " expecting {") // a list of tokens helps nobody
			all = append(all, message)
		}
		return nil, fmt.Errorf("%s; its variables are %s, %s, %s and %s", strings.Join(all, "; "), varCPU, varMemory, varStorage, varReplicas)
	}
	if got := parsed.OutputType().String(); !resultFits(got, parameterType) {
		return nil, fmt.Errorf("its result is of type %s, must be %s", got, document.TypeInWords(parameterType))
	}
	program, err := env.Program(parsed, cel.CostLimit(10_000))
	if err != nil {
		return nil, fmt.Errorf("prepare it: %w", err)
	}
	return &expression{text: text, program: program}, nil
}

// resultFits says whether a CEL type may be the value of a parameter. The
// type dyn is what functions over numbers of any type return; its value is
// looked at when it is there.
func resultFits(celType, parameterType string) bool {
	switch parameterType {
	case "integer":
		return celType == "int" || celType == "dyn"
	case "number":
		return celType == "int" || celType == "double" || celType == "dyn"
	case "boolean":
		return celType == "bool"
	default:
		return celType == "string"
	}
}

// value computes the expression as the text of a parameter.
func (x *expression) value(v Values) (string, error) {
	out, _, err := x.program.Eval(map[string]any{
		varCPU: v.CPUMillis, varMemory: v.MemoryBytes, varStorage: v.StorageBytes, varReplicas: int64(v.Replicas),
	})
	if err != nil {
		return "", fmt.Errorf("compute %s: %w", x.text, err)
	}
	return celText(out)
}

func celText(out ref.Val) (string, error) {
	switch r := out.(type) {
	case types.Int:
		return strconv.FormatInt(int64(r), 10), nil
	case types.Double:
		return strconv.FormatFloat(float64(r), 'g', -1, 64), nil
	case types.Bool:
		return strconv.FormatBool(bool(r)), nil
	case types.String:
		return string(r), nil
	default:
		return "", fmt.Errorf("the result is of type %s", out.Type().TypeName())
	}
}
