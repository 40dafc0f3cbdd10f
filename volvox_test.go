package volvox_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"strings"
	"testing"

	"github.com/volvox-os/volvox"
)

func TestIDsAreUniqueAndOrdered(t *testing.T) {
	seen := map[volvox.ID]bool{}
	last := volvox.ID("")
	for range 10_000 {
		id := volvox.NewID()
		if seen[id] || len(id) != 26 {
			t.Fatalf("bad or repeated ID %q", id)
		}
		seen[id] = true
		if id[:9] < last[:min(9, len(last))] {
			t.Fatalf("%q comes before %q", id, last)
		}
		last = id
	}
}

func TestNames(t *testing.T) {
	for _, ok := range []string{"a", "shop", "shop-2", strings.Repeat("a", 32)} {
		if err := volvox.CheckName("cluster", ok); err != nil {
			t.Errorf("%q: %v", ok, err)
		}
	}
	for _, bad := range []string{"", "Shop", "2shop", "shop-", "-shop", "a b", "shöp", strings.Repeat("a", 33), "a/b", ".."} {
		err := volvox.CheckName("cluster", bad)
		if volvox.CodeOf(err) != volvox.BadName {
			t.Errorf("%q: %v", bad, err)
			continue
		}
		var suggestion string
		if _, scan := fmt.Sscanf(volvox.AsError(err).Try[0], "use a name such as %q", &suggestion); scan != nil || volvox.CheckName("cluster", suggestion) != nil {
			t.Errorf("%q: suggests %q, which is no name either", bad, suggestion)
		}
	}
}

func TestErrorSurvivesTheWire(t *testing.T) {
	err := volvox.Errorf(volvox.NoMemory, "no room for shop").From(io.EOF).WithTry("ask for less").
		WithOp("database.create").About(volvox.Ref{Kind: "cluster", Project: "main", Name: "shop"})
	b, _ := json.Marshal(err)
	var back volvox.Error
	if e := json.Unmarshal(b, &back); e != nil {
		t.Fatal(e)
	}
	if back.Code != err.Code || back.What != err.What || back.Cause() != "EOF" || back.Try[0] != "ask for less" || back.Ref != err.Ref || back.Op != err.Op {
		t.Errorf("%s came back as %+v", b, back)
	}
	if !errors.Is(fmt.Errorf("create: %w", err), &volvox.Error{Code: volvox.NoMemory}) || !errors.Is(err, io.EOF) {
		t.Error("errors.Is does not see through")
	}
	if !volvox.IsKind(err, volvox.KindCapacity) || !strings.Contains(string(b), `"retryable":true`) {
		t.Errorf("kind or retryable is wrong: %s", b)
	}
}

// TestCodesAreDocumented reads the constants from the source, so that a code
// without a row cannot be added.
func TestCodesAreDocumented(t *testing.T) {
	f, err := parser.ParseFile(token.NewFileSet(), "code.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	declared := 0
	ast.Inspect(f, func(n ast.Node) bool {
		v, ok := n.(*ast.ValueSpec)
		if !ok || v.Type == nil || len(v.Values) == 0 {
			return true
		}
		if id, ok := v.Type.(*ast.Ident); ok && id.Name == "Code" {
			declared++
			code := volvox.Code(strings.Trim(v.Values[0].(*ast.BasicLit).Value, `"`))
			if d, ok := code.Explain(); !ok || d.Meaning == "" || d.Try == "" || d.Kind == "" {
				t.Errorf("%s has no documentation", code)
			}
		}
		return true
	})
	if declared != len(volvox.Codes()) || declared == 0 {
		t.Errorf("%d codes declared, %d documented", declared, len(volvox.Codes()))
	}
}
