package lint

import (
	"fmt"
	"go/ast"
	"go/token"
	"regexp"
	"slices"
	"strings"
)

// A rule looks at one file.
type rule struct {
	name  string
	check func(s *source) []finding
}

var rules = []rule{
	{"levels", checkLevels},
	{"dependencies", checkDependencies},
	{"cgo", checkCgo},
	{"futex calls", checkFutexCalls},
	{"private futexes", checkPrivate},
	{"unsafe", checkUnsafe},
	{"raw atomics", checkRawAtomics},
	{"function length", checkFunctionLength},
	{"file length", checkFileLength},
	{"sleep", checkSleep},
}

const (
	longestFunction = 70  // lines: what one screen shows
	longestFile     = 400 // lines: what one sitting reads
)

// futexDirs name futex calls: the package that makes them, those that recognise
// sleepers in /proc, the simulated kernel, and the one that shows how not to.
var futexDirs = []string{
	"futex", "internal/proctest", "stress/internal/procfs", "stress/internal/demo/wrongfutex",
	"stress/internal/schedule/sim", "stress/internal/schedule/sim/unix",
}

// futexNumbers are the system call numbers of futex_waitv (P-K13) and of futex2's
// wake, wait and requeue, the same on every architecture.
var futexNumbers = []string{"449", "454", "455", "456"}

// checkFutexCalls keeps waiting in one package, where the argument against lost
// wake-ups is made once. Tests may be as hostile as they like.
func checkFutexCalls(s *source) []finding {
	if s.isTest() || slices.Contains(futexDirs, s.dir()) {
		return nil
	}
	var found []finding
	ast.Inspect(s.file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.Ident:
			if strings.HasPrefix(n.Name, "SYS_FUTEX") {
				found = append(found, s.found(n.Pos(), "%s outside package futex", n.Name))
			}
		case *ast.BasicLit:
			if n.Kind == token.INT && slices.Contains(futexNumbers, n.Value) {
				found = append(found, s.found(n.Pos(), "%s is the number of a futex call", n.Value))
			}
		}
		return true
	})
	return found
}

// notShared matches names for FUTEX_PRIVATE_FLAG; MAP_PRIVATE and IPC_PRIVATE are
// other things.
var notShared = regexp.MustCompile(`(?i)(^op|futex|flag).*private|private.*flag`)

// checkPrivate: a private futex never wakes another process (P-G5). Who declares the
// flag need not say why, who uses it must.
func checkPrivate(s *source) []finding {
	var found []finding
	mayUse := slices.Contains(futexDirs, s.dir())
	declared := map[*ast.Ident]bool{}
	ast.Inspect(s.file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.ValueSpec:
			for _, id := range n.Names {
				declared[id] = mayUse
			}
		case *ast.Ident:
			explained := mayUse && strings.Contains(s.reason(n.Pos()), "// private:")
			if notShared.MatchString(n.Name) && !declared[n] && !explained {
				found = append(found, s.found(n.Pos(), "%s: only in package futex, with its reason there: // private: ...", n.Name))
			}
		}
		return true
	})
	return found
}

// checkUnsafe: the name of a file tells whether it can break memory.
func checkUnsafe(s *source) []finding {
	at, ok := s.imports()["unsafe"]
	if ok && !s.isUnsafe() {
		return []finding{s.found(at, "unsafe in a file that is not named *_unsafe.go or *_unsafe_test.go")}
	}
	return nil
}

var rawAtomic = regexp.MustCompile(`^(Add|And|CompareAndSwap|Load|Or|Store|Swap)(Int32|Int64|Uint32|Uint64|Uintptr|Pointer)$`)

// checkRawAtomics: a word that is accessed atomically has an atomic type, so that
// no access can forget it, and is aligned (P-G8).
func checkRawAtomics(s *source) []finding {
	if s.isUnsafe() {
		return nil
	}
	var found []finding
	for _, sel := range s.uses("sync/atomic") {
		if rawAtomic.MatchString(sel.Sel.Name) {
			found = append(found, s.found(sel.Pos(), "atomic.%s: use a typed atomic", sel.Sel.Name))
		}
	}
	return found
}

// checkSleep: to wait for an event one is woken by it. Where there is none, the
// code says so.
func checkSleep(s *source) []finding {
	if !s.isLibrary() {
		return nil
	}
	var found []finding
	for _, sel := range s.uses("time") {
		if sel.Sel.Name == "Sleep" && s.reason(sel.Pos()) == "" {
			found = append(found, s.found(sel.Pos(), "time.Sleep without a comment that gives its reason"))
		}
	}
	return found
}

// uses returns the selections pkg.Name of an imported package.
func (s *source) uses(imp string) []*ast.SelectorExpr {
	local := imp[strings.LastIndexByte(imp, '/')+1:]
	for _, spec := range s.file.Imports {
		if spec.Path.Value == `"`+imp+`"` && spec.Name != nil {
			local = spec.Name.Name
		}
	}
	if _, ok := s.imports()[imp]; !ok {
		return nil
	}
	var found []*ast.SelectorExpr
	ast.Inspect(s.file, func(n ast.Node) bool {
		if sel, ok := n.(*ast.SelectorExpr); ok {
			if id, ok := sel.X.(*ast.Ident); ok && id.Name == local {
				found = append(found, sel)
			}
		}
		return true
	})
	return found
}

// checkFunctionLength: longer functions are read in pieces, and misread.
func checkFunctionLength(s *source) []finding {
	if s.isTest() {
		return nil
	}
	var found []finding
	for _, d := range s.file.Decls {
		fn, ok := d.(*ast.FuncDecl)
		if !ok {
			continue
		}
		if n := s.line(fn.End()) - s.line(fn.Pos()) + 1; n > longestFunction {
			found = append(found, s.found(fn.Pos(), "%s has %d lines, more than %d", fn.Name.Name, n, longestFunction))
		}
	}
	return found
}

func checkFileLength(s *source) []finding {
	if n := strings.Count(s.text, "\n"); n > longestFile {
		return []finding{{s.path, n, fmt.Sprintf("the file has %d lines, more than %d", n, longestFile)}}
	}
	return nil
}
