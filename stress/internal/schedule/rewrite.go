package schedule

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path"
	"slices"
	"strconv"
	"strings"
)

const (
	ours = "interlock/stress/internal/schedule"
	sims = ours + "/sim"
)

// copied are the packages of which each process has its own copy: theirs are the
// tables, queues and identities of one process.
var copied = []string{
	"futex", "internal/inherit", "internal/park", "internal/proc", "internal/region",
	"mutex", "semaphore", "condvar", "seqlock",
	"stress/internal/schedule/play",
}

// standIns replace what these packages do by what the simulation does.
var standIns = map[string]string{
	"context": sims + "/context", "os": sims + "/os", "runtime": sims + "/runtime",
	"sync": sims + "/sync", "sync/atomic": sims + "/atomic", "syscall": sims + "/syscall",
	"time": sims + "/time", "golang.org/x/sys/unix": sims + "/unix",
	"interlock/internal/fence": sims + "/fence", "interlock/internal/mark": sims + "/mark",
	"interlock/internal/sigbus": sims + "/sigbus", "interlock/internal/spin": sims + "/spin",
}

// A splice replaces the text between two places of a file.
type splice struct {
	from, to int
	text     string
}

// rewriter turns one file of the library into the file that is compiled for a
// process. It only splices, so every line keeps its number.
type rewriter struct {
	text    string
	file    *ast.File
	splices []splice
	process int
	sim     bool              // the file needs the package sim
	done    map[ast.Node]bool // lie in a text that is replaced as a whole
}

// rewrite returns the text for a process, and the package variables that are declared.
func rewrite(dir, name, text string, process int) (string, []string, error) {
	f, err := parser.ParseFile(token.NewFileSet(), name, text, parser.ParseComments)
	if err != nil {
		return "", nil, err
	}
	r := &rewriter{text: text, file: f, process: process, done: map[ast.Node]bool{}}
	r.imports()
	ast.Inspect(f, func(n ast.Node) bool {
		if n == nil || r.done[n] {
			return false
		}
		r.node(n, dir == "seqlock")
		return true
	})
	if r.sim {
		end := r.at(f.Name.End())
		r.splices = append(r.splices, splice{end, end, `; import "` + sims + `"`})
	}
	return r.apply(), variables(f), nil
}

func (r *rewriter) at(p token.Pos) int { return int(p - r.file.FileStart) }

func (r *rewriter) source(n ast.Node) string { return r.text[r.at(n.Pos()):r.at(n.End())] }

func (r *rewriter) replace(from, to token.Pos, format string, args ...any) {
	r.splices = append(r.splices, splice{r.at(from), r.at(to), fmt.Sprintf(format, args...)})
}

// use is replace by something that names the package sim.
func (r *rewriter) use(from, to token.Pos, format string, args ...any) {
	r.sim = true
	r.replace(from, to, format, args...)
}

func (r *rewriter) apply() string {
	slices.SortFunc(r.splices, func(a, b splice) int { return b.from - a.from })
	text := r.text
	for _, s := range r.splices {
		text = text[:s.from] + s.text + text[s.to:]
	}
	return text
}

func (r *rewriter) imports() {
	for _, spec := range r.file.Imports {
		name, _ := strconv.Unquote(spec.Path.Value)
		to := standIns[name]
		if dir, ok := strings.CutPrefix(name, "interlock/"); ok && slices.Contains(copied, dir) {
			to = copyPath(r.process, dir)
		}
		if to != "" {
			r.replace(spec.Path.Pos(), spec.Path.End(), "%q", to)
		}
	}
}

// node rewrites what is not a call of a package: channels, goroutines, and copies of a
// value that others may write meanwhile.
func (r *rewriter) node(n ast.Node, copies bool) {
	switch n := n.(type) {
	case *ast.ChanType:
		r.use(n.Pos(), n.End(), "*sim.Chan")
	case *ast.CallExpr:
		r.call(n)
	case *ast.UnaryExpr:
		if n.Op == token.ARROW {
			r.use(n.Pos(), n.End(), "%s.Recv()", r.source(n.X))
		}
	case *ast.GoStmt:
		r.use(n.Pos(), n.Call.Pos(), "sim.Go(func() { ")
		r.replace(n.End(), n.End(), " })")
	case *ast.RangeStmt:
		if sel, ok := n.X.(*ast.SelectorExpr); ok && n.Key == nil && sel.Sel.Name == "C" {
			r.replace(n.For, n.X.End(), "for %s.Recv()", r.source(n.X))
		}
	case *ast.SelectStmt:
		r.choice(n)
	case *ast.AssignStmt:
		if copies && n.Tok == token.ASSIGN && len(n.Lhs) == 1 && (isValue(n.Lhs[0]) && isValue(n.Rhs[0])) {
			r.use(n.Pos(), n.End(), "sim.Copy(&%s, &%s)", r.source(n.Lhs[0]), r.source(n.Rhs[0]))
		}
	}
}

// isValue reports whether e is the value of a seqlock, or a copy of it: *p, s.v, s.v[i].
func isValue(e ast.Expr) bool {
	switch e := e.(type) {
	case *ast.StarExpr:
		return true
	case *ast.SelectorExpr:
		return e.Sel.Name == "v"
	case *ast.IndexExpr:
		return isValue(e.X)
	}
	return false
}

func (r *rewriter) call(n *ast.CallExpr) {
	fn, ok := n.Fun.(*ast.Ident)
	if !ok {
		return
	}
	switch fn.Name {
	case "close":
		r.replace(n.Pos(), n.End(), "%s.Close()", r.source(n.Args[0]))
	case "make":
		if _, ok := n.Args[0].(*ast.ChanType); ok {
			size := "0"
			if len(n.Args) == 2 {
				size = r.source(n.Args[1])
			}
			r.use(n.Pos(), n.End(), "sim.NewChan(%s)", size)
			r.done[n.Args[0]] = true
		}
	}
}

// choice makes a select a switch over what sim.Select returns. One without a default
// gets one, the last case: so the compiler knows that none is left.
func (r *rewriter) choice(n *ast.SelectStmt) {
	cases, i := "", 0
	for _, s := range n.Body.List {
		c := s.(*ast.CommClause)
		switch comm := c.Comm.(type) {
		case nil:
			continue
		case *ast.ExprStmt:
			cases += ", sim.Receive(" + r.source(comm.X.(*ast.UnaryExpr).X) + ")"
		case *ast.SendStmt:
			cases += ", sim.Send(" + r.source(comm.Chan) + ")"
		}
		if !hasDefault(n) && s == n.Body.List[len(n.Body.List)-1] {
			r.replace(c.Case, c.Comm.End(), "default")
		} else {
			r.replace(c.Comm.Pos(), c.Comm.End(), "%d", i)
		}
		r.done[c.Comm] = true
		i++
	}
	r.use(n.Select, n.Select+token.Pos(len("select")), "switch sim.Select(%v%s)", hasDefault(n), cases)
}

func hasDefault(n *ast.SelectStmt) bool {
	return slices.ContainsFunc(n.Body.List, func(s ast.Stmt) bool { return s.(*ast.CommClause).Comm == nil })
}

// variables lists the package variables that a file declares.
func variables(f *ast.File) (names []string) {
	for _, d := range f.Decls {
		g, ok := d.(*ast.GenDecl)
		if !ok || g.Tok != token.VAR {
			continue
		}
		for _, spec := range g.Specs {
			for _, name := range spec.(*ast.ValueSpec).Names {
				if name.Name != "_" {
					names = append(names, name.Name)
				}
			}
		}
	}
	return names
}

// copyPath is the import path of a process's copy of a package.
func copyPath(process int, dir string) string {
	return fmt.Sprintf("%s/gen/p%d/%s", ours, process, path.Base(dir))
}
