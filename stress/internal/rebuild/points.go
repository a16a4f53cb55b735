package rebuild

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// notLibrary are the folders below the root without marks of the library's.
var notLibrary = []string{"stress", "examples", "docs", "testdata"}

// Points are the names of all marks in the library's source, in order. Taken from there,
// the list has also those that no run comes by.
func Points(root string) ([]string, error) {
	var names []string
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && path != root && (d.Name()[0] == '.' || slices.Contains(notLibrary, d.Name())):
			return fs.SkipDir
		case d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go"):
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil || !strings.Contains(string(text), "mark.At(") {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, text, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		names = append(names, marks(file)...)
		return nil
	})
	slices.Sort(names)
	return names, err
}

// marks are the names in the calls of mark.At.
func marks(file *ast.File) (names []string) {
	ast.Inspect(file, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok || len(call.Args) != 1 {
			return true
		}
		fn, isSelector := call.Fun.(*ast.SelectorExpr)
		name, isText := call.Args[0].(*ast.BasicLit)
		if !isSelector || !isText || fn.Sel.Name != "At" {
			return true
		}
		if pkg, ok := fn.X.(*ast.Ident); ok && pkg.Name == "mark" {
			text, _ := strconv.Unquote(name.Value)
			names = append(names, text)
		}
		return true
	})
	return names
}
