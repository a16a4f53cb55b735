package lint

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
)

// modulePath is what our own import paths start with.
const modulePath = "interlock"

// A source is one parsed Go file.
type source struct {
	path string // from the module's root, with slashes
	text string
	set  *token.FileSet
	file *ast.File
}

// A finding is one breach of a rule.
type finding struct {
	path string
	line int
	what string
}

func (f finding) String() string { return fmt.Sprintf("%s:%d: %s", f.path, f.line, f.what) }

func parse(path, text string) (*source, error) {
	set := token.NewFileSet()
	file, err := parser.ParseFile(set, path, text, parser.ParseComments)
	return &source{path, text, set, file}, err
}

// dir is the package's directory, "." for the root.
func (s *source) dir() string { return path.Dir(s.path) }

func (s *source) isTest() bool { return strings.HasSuffix(s.path, "_test.go") }

// isUnsafe reports whether the file's name announces danger.
func (s *source) isUnsafe() bool {
	return strings.HasSuffix(strings.TrimSuffix(s.path, "_test.go"), "_unsafe.go") ||
		strings.HasSuffix(s.path, "_unsafe_test.go")
}

// isLibrary reports whether the file ends up in programs that use the module.
func (s *source) isLibrary() bool {
	l, _ := levelOf(s.dir())
	return !s.isTest() && l < commands
}

func (s *source) line(at token.Pos) int { return s.set.Position(at).Line }

func (s *source) found(at token.Pos, format string, args ...any) finding {
	return finding{s.path, s.line(at), fmt.Sprintf(format, args...)}
}

// imports returns the import paths and where they stand.
func (s *source) imports() map[string]token.Pos {
	m := map[string]token.Pos{}
	for _, spec := range s.file.Imports {
		p, _ := strconv.Unquote(spec.Path.Value)
		m[p] = spec.Pos()
	}
	return m
}

// reason returns the comments on the line of a position and on the line above.
func (s *source) reason(at token.Pos) string {
	var text string
	for _, group := range s.file.Comments {
		for _, c := range group.List {
			if below := s.line(at) - s.line(c.Pos()); below == 0 || below == 1 {
				text += c.Text
			}
		}
	}
	return text
}

// within reports whether dir is root or below it.
func within(dir, root string) bool { return dir == root || strings.HasPrefix(dir, root+"/") }

// tree is the module as it lies on disk.
type tree struct {
	sources []*source
	texts   map[string]string // every other text file, by path
}

// load reads the module whose go.mod is in root. Modules nested in it and folders
// named testdata are not Go code of ours; as texts they count.
func load(root string) (*tree, error) {
	t := &tree{texts: map[string]string{}}
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		if d.IsDir() && d.Name() == ".git" {
			return fs.SkipDir
		}
		if !d.Type().IsRegular() {
			return nil
		}
		return t.add(root, filepath.ToSlash(rel))
	})
	return t, err
}

// add reads one file, if it is a text.
func (t *tree) add(root, rel string) error {
	b, err := os.ReadFile(filepath.Join(root, rel))
	if err != nil {
		return err
	}
	text := string(b)
	if strings.Contains(text, "\x00") {
		return nil // a program or a picture
	}
	if !strings.HasSuffix(rel, ".go") || isForeign(root, path.Dir(rel)) {
		t.texts[rel] = text
		return nil
	}
	s, err := parse(rel, text)
	if err != nil {
		return err
	}
	t.sources = append(t.sources, s)
	return nil
}

// isForeign reports whether a folder holds no package of this module.
func isForeign(root, dir string) bool {
	for ; dir != "."; dir = path.Dir(dir) {
		if path.Base(dir) == "testdata" {
			return true
		}
		if _, err := os.Stat(filepath.Join(root, dir, "go.mod")); err == nil {
			return true
		}
	}
	return false
}
