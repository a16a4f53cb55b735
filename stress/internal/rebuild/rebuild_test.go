package rebuild

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func module(t *testing.T) string {
	t.Helper()
	root, err := FindModule(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return root
}

// The tree that was found is this one.
func TestFindModule(t *testing.T) {
	root := module(t)
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	if rel, err := filepath.Rel(root, here); err != nil || filepath.ToSlash(rel) != "stress/internal/rebuild" {
		t.Errorf("module %s, test in %s", root, here)
	}
}

// Without a go command it says so.
func TestWithoutGo(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	if _, err := FindModule(context.Background()); err == nil || !strings.Contains(err.Error(), "no go command") {
		t.Errorf("%v", err)
	}
}

// The marks of the library are found, each once, and no others.
func TestPoints(t *testing.T) {
	names, err := Points(module(t))
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(names, "E-M5 released not woken") || !slices.Contains(names, "E-Q1 odd") || slices.Contains(names, "test.a") {
		t.Errorf("%q", names)
	}
	if len(slices.Compact(slices.Clone(names))) != len(names) {
		t.Errorf("twice: %q", names)
	}
}

func TestPointsOfASource(t *testing.T) {
	root := t.TempDir()
	for name, text := range map[string]string{
		"a/a.go":      "package a\n// mark.At(\"in a comment\")\nfunc f() { mark.At(`one`); mark.Arm(\"x\"); at(\"y\") }",
		"a/a_test.go": "package a\nfunc g() { mark.At(`in a test`) }",
		"stress/b.go": "package b\nfunc h() { mark.At(`in stress`) }",
		"c/d/c.go":    "package c\nfunc i() { mark.At(\"another\") }",
	} {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if names, err := Points(root); err != nil || !slices.Equal(names, []string{"another", "one"}) {
		t.Errorf("%q %v", names, err)
	}
}
