package lint

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// module is the tree that this package belongs to.
func module(t *testing.T) *tree {
	t.Helper()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	tr, err := load(root)
	if err != nil {
		t.Fatal(err)
	}
	return tr
}

func report(t *testing.T, found []finding) {
	t.Helper()
	for _, f := range found {
		t.Error(f)
	}
}

func TestHouseRules(t *testing.T) {
	tr := module(t)
	if len(tr.sources) < 50 {
		t.Fatalf("only %d Go files found: the rules would pass on nothing", len(tr.sources))
	}
	for _, r := range rules {
		t.Run(r.name, func(t *testing.T) {
			for _, s := range tr.sources {
				report(t, r.check(s))
			}
		})
	}
	t.Run("assembly", func(t *testing.T) { report(t, checkAssembly(slices.Sorted(maps.Keys(tr.texts)))) })
	t.Run("marks", func(t *testing.T) { report(t, checkMarks(tr.sources)) })
	t.Run("text", func(t *testing.T) { report(t, checkText(tr.all())) })
}

func TestLabelsAreDefined(t *testing.T) {
	tr := module(t)
	report(t, checkLabels(tr.sources, tr.texts))
	if missing := missingDocs(tr.texts); missing != nil {
		t.Skipf("no %s: its labels were not checked", strings.Join(missing, ", no "))
	}
}

// all returns the texts of all files, Go code included.
func (t *tree) all() map[string]string {
	texts := maps.Clone(t.texts)
	for _, s := range t.sources {
		texts[s.path] = s.text
	}
	return texts
}

func TestLoadLeavesOutWhatIsNotOurs(t *testing.T) {
	root := t.TempDir()
	for name, text := range map[string]string{
		"a/a.go":          "package a",
		"a/testdata/b.go": "not Go at all",
		"other/go.mod":    "module other",
		"other/sub/c.go":  "package c",
		".git/d.go":       "package d",
		"binary":          "\x00",
	} {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	tr, err := load(root)
	if err != nil {
		t.Fatal(err)
	}
	if len(tr.sources) != 1 || tr.sources[0].path != "a/a.go" {
		t.Errorf("%d sources", len(tr.sources))
	}
	want := []string{"a/testdata/b.go", "other/go.mod", "other/sub/c.go"}
	if got := slices.Sorted(maps.Keys(tr.texts)); !slices.Equal(got, want) {
		t.Errorf("texts %q", got)
	}
}
