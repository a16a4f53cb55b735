package lint

import (
	"path"
	"slices"
	"strings"
)

// A level is a package's height: a package imports packages of lower levels, and
// of its own level only where that is listed in peers.
type level int

const (
	words      level = iota // layouts, stubs, tables: nothing of ours below
	kernel                  // the futex calls
	engine                  // who owns, who waits
	primitives              // what users import
	composed                // primitives on a mutex
	commands                // programs
	tests                   // what only tests import
)

// programs are the folders of commands, with all that is below them.
var programs = []string{"stress", "examples"}

// levels has every package but those of programs.
var levels = map[string]level{
	"include":          words,
	"internal/fence":   words,
	"internal/inherit": words,
	"internal/layout":  words,
	"internal/mark":    words,
	"internal/names":   words,
	"internal/race":    words,
	"internal/region":  words,
	"internal/robust":  words,
	"internal/sigbus":  words,
	"internal/spin":    words,

	"futex": kernel,

	"internal/park": engine,
	"internal/proc": engine,

	"mutex":     primitives,
	"semaphore": primitives,
	"shm":       primitives,

	"condvar": composed,
	"seqlock": composed,

	"internal/vandal": commands,

	"internal/lint":          tests,
	"internal/proctest":      tests,
	"internal/race/racetest": tests,
	"internal/strange":       tests,
}

// peers are the levels whose packages may import one another. Elsewhere
// independence is the point: each primitive can be read, and used, alone.
var peers = []level{words, engine, commands, tests}

// strangers never import one another, whatever their levels: a primitive takes an
// address and does not ask who mapped it; shm maps and does not ask what for.
var strangers = map[string][]string{
	"shm":       {"mutex", "semaphore", "condvar", "seqlock"},
	"mutex":     {"shm"},
	"semaphore": {"shm"},
	"condvar":   {"shm"},
	"seqlock":   {"shm"},
}

// levelOf returns a package's level.
func levelOf(dir string) (level, bool) {
	for _, root := range programs {
		if within(dir, root) {
			return commands, true
		}
	}
	l, ok := levels[dir]
	return l, ok
}

// checkLevels holds the import graph: a package that imports only
// downwards can be understood without what is above it. Tests may import any.
func checkLevels(s *source) []finding {
	if s.isTest() {
		return nil
	}
	mine, ok := levelOf(s.dir())
	if !ok {
		return []finding{s.found(s.file.Package, "package %s has no level: add it to levels, in internal/lint", s.dir())}
	}
	var found []finding
	for imp, at := range s.imports() {
		theirs, ok := strings.CutPrefix(imp, modulePath+"/")
		if !ok {
			continue
		}
		if why := forbidden(s.dir(), mine, theirs); why != "" {
			found = append(found, s.found(at, "%s imports %s: %s", s.dir(), theirs, why))
		}
	}
	return found
}

// forbidden returns why package dir must not import package imp, or "".
func forbidden(dir string, mine level, imp string) string {
	theirs, ok := levelOf(imp)
	switch {
	case slices.Contains(strangers[dir], imp):
		return "shm and the primitives do not know each other"
	case ok && theirs > mine:
		return "it is on a higher level"
	case ok && theirs == mine && !slices.Contains(peers, mine):
		return "they stand side by side"
	}
	return "" // an unknown one is reported where it is declared
}

// checkDependencies keeps the library to the standard library and one module.
func checkDependencies(s *source) []finding {
	if !s.isLibrary() {
		return nil
	}
	var found []finding
	for imp, at := range s.imports() {
		first, _, _ := strings.Cut(imp, "/")
		foreign := strings.Contains(first, ".") && imp != "golang.org/x/sys/unix"
		if foreign {
			found = append(found, s.found(at, "a library package imports %s; only std and golang.org/x/sys/unix are allowed", imp))
		}
	}
	return found
}

// checkCgo keeps CGO_ENABLED=0 the way everything is built.
func checkCgo(s *source) []finding {
	if at, ok := s.imports()["C"]; ok {
		return []finding{s.found(at, "cgo: this module is pure Go")}
	}
	return nil
}

// assemblyDirs have the only assembly: one instruction per stub, and a signal handler.
var assemblyDirs = []string{"internal/spin", "internal/fence", "internal/sigbus"}

// checkAssembly looks at the names of all files.
func checkAssembly(paths []string) []finding {
	var found []finding
	for _, p := range paths {
		if path.Ext(p) == ".s" && !slices.Contains(assemblyDirs, path.Dir(p)) {
			found = append(found, finding{p, 1, "assembly outside " + strings.Join(assemblyDirs, ", ")})
		}
	}
	return found
}
