package volvox_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/volvox-os/volvox"

// row is one line of the table in ARCHITECTURE.md.
type row struct {
	tables []string
	may    []string
}

// tree is what the architecture tests look at: parsed Go files by package
// directory, and the table. Files are parsed here and not by a subprocess,
// so that go test's cache sees them.
type tree struct {
	fset  *token.FileSet
	rows  map[string]row
	files map[string][]source // by directory
}

type source struct {
	path string
	text string
	ast  *ast.File
}

func (s source) test() bool { return strings.HasSuffix(s.path, "_test.go") }

func (s source) generated() bool { return ast.IsGenerated(s.ast) }

func readRows(text string) map[string]row {
	rows := map[string]row{}
	for line := range strings.Lines(text) {
		cells := strings.Split(line, "|")
		if len(cells) != 5 || strings.Contains(line, "---") || strings.TrimSpace(cells[1]) == "package" {
			continue
		}
		r := row{may: strings.Fields(cells[3])}
		if _, tables, ok := strings.Cut(cells[2], "tables:"); ok {
			r.tables = strings.Fields(tables)
		}
		rows[strings.TrimSpace(cells[1])] = r
	}
	return rows
}

func readTree(t *testing.T, root string) *tree {
	t.Helper()
	text, err := os.ReadFile("ARCHITECTURE.md")
	if err != nil {
		t.Fatal(err)
	}
	tr := &tree{fset: token.NewFileSet(), rows: readRows(string(text)), files: map[string][]source{}}
	err = filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(root, p)
		if d.IsDir() && (d.Name() == "testdata" || d.Name() == "bin" || (strings.HasPrefix(d.Name(), ".") && rel != ".")) {
			return fs.SkipDir
		}
		if d.IsDir() || filepath.Ext(p) != ".go" {
			return nil
		}
		b, err := os.ReadFile(p)
		if err != nil {
			return err
		}
		f, err := parser.ParseFile(tr.fset, p, b, parser.ParseComments)
		if err != nil {
			return err
		}
		dir := filepath.ToSlash(filepath.Dir(rel))
		tr.files[dir] = append(tr.files[dir], source{path: filepath.ToSlash(rel), text: string(b), ast: f})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return tr
}

// imports returns what is wrong with the packages and their imports.
func (tr *tree) imports() (wrong []string) {
	for dir, files := range tr.files {
		r, ok := tr.rows[dir]
		if !ok && slices.ContainsFunc(files, func(s source) bool { return !s.test() }) {
			wrong = append(wrong, fmt.Sprintf("%s: no row in ARCHITECTURE.md", dir))
			continue
		}
		if strings.Count(dir, "/") > 1 {
			wrong = append(wrong, fmt.Sprintf("%s: deeper than two directories", dir))
		}
		for _, s := range files {
			if s.test() {
				continue
			}
			for _, spec := range s.ast.Imports {
				p, _ := strconv.Unquote(spec.Path.Value)
				rel, ours := strings.CutPrefix(p, module+"/")
				if ours && !slices.Contains(r.may, rel) && !slices.Contains(r.may, "*") {
					wrong = append(wrong, fmt.Sprintf("%s: %q may not import %q", s.path, dir, rel))
				}
			}
		}
	}
	for dir := range tr.rows {
		if len(tr.files[dir]) == 0 {
			wrong = append(wrong, fmt.Sprintf("ARCHITECTURE.md: %q has no files", dir))
		}
	}
	return wrong
}

// docs returns the packages without a package comment.
func (tr *tree) docs() (wrong []string) {
	for dir, files := range tr.files {
		has := slices.ContainsFunc(files, func(s source) bool { return !s.test() && s.ast.Doc != nil })
		code := slices.ContainsFunc(files, func(s source) bool { return !s.test() })
		if code && !has {
			wrong = append(wrong, dir+": no package comment")
		}
	}
	return wrong
}

var sqlTable = regexp.MustCompile(`\b(?:FROM|JOIN|INTO|UPDATE|TABLE|TABLE IF NOT EXISTS)\s+([a-z][a-z_]+)\b`)

var sqlStart = regexp.MustCompile(`^\s*(?:SELECT|INSERT|UPDATE|DELETE|WITH|CREATE|ALTER)\s`)

// tables returns the SQL statements that name a table of another package.
func (tr *tree) tables() (wrong []string) {
	owner := map[string]string{}
	for dir, r := range tr.rows {
		for _, table := range r.tables {
			owner[table] = dir
		}
	}
	for dir, files := range tr.files {
		for _, s := range files {
			if s.test() || strings.HasPrefix(dir, "store") {
				continue
			}
			ast.Inspect(s.ast, func(n ast.Node) bool {
				lit, ok := n.(*ast.BasicLit)
				if !ok || lit.Kind != token.STRING {
					return true
				}
				text, _ := strconv.Unquote(lit.Value)
				if !sqlStart.MatchString(text) {
					return true
				}
				for _, m := range sqlTable.FindAllStringSubmatch(text, -1) {
					if o, known := owner[m[1]]; known && o != dir {
						wrong = append(wrong, fmt.Sprintf("%s: SQL names the table %s of %q", tr.fset.Position(lit.Pos()), m[1], o))
					}
				}
				return true
			})
		}
	}
	return wrong
}

var createTable = regexp.MustCompile(`(?i)\bCREATE (?:TABLE|VIEW) ([a-z_]+)`)

// migrations returns the tables that are made elsewhere than their row says.
func (tr *tree) migrations(t *testing.T) (wrong []string) {
	made := map[string]string{}
	files, err := filepath.Glob("*/migrations/*.sql")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		dir := path.Dir(path.Dir(filepath.ToSlash(f)))
		for _, m := range createTable.FindAllStringSubmatch(string(b), -1) {
			made[m[1]] = dir
			if !slices.Contains(tr.rows[dir].tables, m[1]) {
				wrong = append(wrong, fmt.Sprintf("%s makes %s, which ARCHITECTURE.md does not list for %q", f, m[1], dir))
			}
		}
	}
	for dir, r := range tr.rows {
		for _, table := range r.tables {
			if dir != "store" && made[table] != dir {
				wrong = append(wrong, fmt.Sprintf("ARCHITECTURE.md: no migration of %q makes %s", dir, table))
			}
		}
	}
	return wrong
}

// budgets of the code: see TestBudgets.
const (
	maxPackageLines = 3000
	maxFileLines    = 600
	maxFuncLines    = 70
	maxMethods      = 8
	maxDirectDeps   = 30
)

// codeLines counts lines of a node that hold code: not blank, not comment.
func (tr *tree) codeLines(s source, from, to token.Pos) int {
	lines := map[int]bool{}
	base := tr.fset.File(s.ast.Pos())
	comment := map[int]bool{}
	for _, g := range s.ast.Comments {
		for l := base.Line(g.Pos()); l <= base.Line(g.End()-1); l++ {
			comment[l] = true
		}
	}
	text := strings.Split(s.text, "\n")
	for l := base.Line(from); l <= base.Line(to-1); l++ {
		trimmed := strings.TrimSpace(text[l-1])
		if trimmed == "" || (comment[l] && (strings.HasPrefix(trimmed, "//") || strings.HasPrefix(trimmed, "/*"))) {
			continue
		}
		lines[l] = true
	}
	return len(lines)
}

// budgets returns what is larger than it may be.
func (tr *tree) budgets() (wrong []string) {
	for dir, files := range tr.files {
		total := 0
		for _, s := range files {
			if s.generated() {
				continue
			}
			if n := strings.Count(s.text, "\n"); n > maxFileLines {
				wrong = append(wrong, fmt.Sprintf("%s: %d lines, %d allowed", s.path, n, maxFileLines))
			}
			if s.test() {
				continue
			}
			total += tr.codeLines(s, s.ast.Pos(), s.ast.End())
			ast.Inspect(s.ast, func(n ast.Node) bool {
				switch n := n.(type) {
				case *ast.FuncDecl:
					if l := tr.codeLines(s, n.Pos(), n.End()); l > maxFuncLines {
						wrong = append(wrong, fmt.Sprintf("%s: func %s has %d lines, %d allowed", tr.fset.Position(n.Pos()), n.Name.Name, l, maxFuncLines))
					}
				case *ast.InterfaceType:
					if m := n.Methods.NumFields(); m > maxMethods {
						wrong = append(wrong, fmt.Sprintf("%s: interface of %d methods, %d allowed", tr.fset.Position(n.Pos()), m, maxMethods))
					}
				}
				return true
			})
		}
		if total > maxPackageLines {
			wrong = append(wrong, fmt.Sprintf("%s: %d lines of code, %d allowed", dir, total, maxPackageLines))
		}
	}
	return wrong
}

// habits returns uses of what we do not use.
func (tr *tree) habits() (wrong []string) {
	for _, files := range tr.files {
		for _, s := range files {
			ast.Inspect(s.ast, func(n ast.Node) bool {
				if sel, ok := n.(*ast.SelectorExpr); ok && s.test() && sel.Sel.Name == "Sleep" {
					if id, ok := sel.X.(*ast.Ident); ok && id.Name == "time" {
						wrong = append(wrong, fmt.Sprintf("%s: a test waits for events, it does not sleep", tr.fset.Position(n.Pos())))
					}
				}
				if f, ok := n.(*ast.FuncDecl); ok && f.Name.Name == "init" && f.Recv == nil {
					wrong = append(wrong, fmt.Sprintf("%s: wiring by init", tr.fset.Position(n.Pos())))
				}
				return true
			})
		}
	}
	return wrong
}

func report(t *testing.T, wrong []string) {
	t.Helper()
	slices.Sort(wrong)
	for _, w := range wrong {
		t.Error(w)
	}
}

// TestArchitecture holds the code to the table in ARCHITECTURE.md.
func TestArchitecture(t *testing.T) {
	tr := readTree(t, ".")
	report(t, tr.imports())
	report(t, tr.docs())
	report(t, tr.tables())
	report(t, tr.migrations(t))
	report(t, tr.habits())
}

// TestBudgets keeps packages, files, functions and interfaces small.
func TestBudgets(t *testing.T) {
	report(t, readTree(t, ".").budgets())
	mod, err := os.ReadFile("go.mod")
	if err != nil {
		t.Fatal(err)
	}
	direct := 0
	for line := range strings.Lines(string(mod)) {
		if strings.HasPrefix(line, "\t") && !strings.Contains(line, "// indirect") {
			direct++
		}
	}
	if direct > maxDirectDeps {
		t.Errorf("go.mod: %d direct dependencies, %d allowed", direct, maxDirectDeps)
	}
}

// TestArchitectureFindsFaults plants one fault for each rule.
func TestArchitectureFindsFaults(t *testing.T) {
	long := "package workflow\n\nfunc long() {\n" + strings.Repeat("\t_ = 1\n", maxFuncLines) + "}\n"
	wide := "package workflow\n\ntype wide interface {\n"
	for i := range maxMethods + 1 {
		wide += fmt.Sprintf("\tM%d()\n", i)
	}
	wide += "}\n"
	faults := map[string]struct {
		file, text, want string
		check            func(*tree) []string
	}{
		"import":    {"workflow/x.go", "package workflow\n\nimport _ \"" + module + "/api\"\n", "may not import", (*tree).imports},
		"unlisted":  {"mystery/x.go", "package mystery\n", "no row", (*tree).imports},
		"deep":      {"a/b/c/x.go", "package c\n", "no row", (*tree).imports},
		"no doc":    {"workflow/x.go", "package workflow\n", "no package comment", (*tree).docs},
		"table":     {"api/x.go", "package api\n\nconst q = `SELECT * FROM clusters`\n", "of \"database\"", (*tree).tables},
		"long func": {"workflow/x.go", long, "lines", (*tree).budgets},
		"interface": {"workflow/x.go", wide, "interface of 9", (*tree).budgets},
		"long file": {"workflow/x.go", "package workflow\n" + strings.Repeat("\n", maxFileLines), "601 lines", (*tree).budgets},
		"sleep":     {"workflow/x_test.go", "package workflow\n\nimport \"time\"\n\nfunc f() { time.Sleep(1) }\n", "does not sleep", (*tree).habits},
		"init":      {"workflow/x.go", "package workflow\n\nfunc init() {}\n", "wiring by init", (*tree).habits},
	}
	for name, f := range faults {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			if err := os.MkdirAll(filepath.Join(root, filepath.Dir(f.file)), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(root, f.file), []byte(f.text), 0o644); err != nil {
				t.Fatal(err)
			}
			if got := strings.Join(f.check(readTree(t, root)), "\n"); !strings.Contains(got, f.want) {
				t.Errorf("not found: want %q in %q", f.want, got)
			}
		})
	}
}
