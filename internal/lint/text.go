package lint

import (
	"fmt"
	"go/ast"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// label matches a pitfall, a transition of a word (an edge), an invariant or a test
// scenario: P-K1, E-M5, INV-M2, T18.
var label = regexp.MustCompile(`\b(P-[A-Z]\d+|E-[A-Z]\d+|INV-[A-Z]\d+|T\d\d)\b`)

// row matches a row of a table, or a paragraph of a list, that defines an edge or an
// invariant: the label comes first and two blanks or more set it off. A citation
// goes on with one blank or a colon.
var row = regexp.MustCompile(`^(?://)?\s*((?:E|INV)-[A-Z]\d+)(?:\s{2,}|\t)`)

// The documents that define pitfalls and scenarios.
const (
	pitfalls  = "docs/pitfalls.md"
	scenarios = "docs/testing.md"
)

// defined collects the labels that mean something. Pitfalls and scenarios are
// defined where their document names them; edges and invariants in a table in the
// code, or anywhere in docs.
func defined(sources []*source, docs map[string]string) map[string]bool {
	known := map[string]bool{}
	for path, text := range docs {
		for _, l := range label.FindAllString(text, -1) {
			switch {
			case strings.HasPrefix(l, "P-"):
				known[l] = known[l] || path == pitfalls
			case strings.HasPrefix(l, "T"):
				known[l] = known[l] || path == scenarios
			case strings.HasPrefix(path, "docs/"):
				known[l] = true
			}
		}
	}
	for _, s := range sources {
		for _, line := range strings.Split(s.text, "\n") {
			if m := row.FindStringSubmatch(line); m != nil {
				known[m[1]] = true
			}
		}
	}
	return known
}

// checkLabels: a label that is cited exists; of what is not Go, pitfalls only are
// looked at. Of a document that is missing altogether nothing is said; see missingDocs.
func checkLabels(sources []*source, docs map[string]string) []finding {
	known := defined(sources, docs)
	var found []finding
	for _, s := range sources {
		for _, c := range citations(s) {
			for _, l := range label.FindAllString(c.what, -1) {
				if !known[l] && !slices.Contains(missingDocs(docs), documentOf(l)) {
					found = append(found, finding{c.path, c.line, l + " is cited and not defined"})
				}
			}
		}
	}
	if docs[pitfalls] == "" {
		return found
	}
	for _, path := range slices.Sorted(maps.Keys(docs)) {
		for i, line := range strings.Split(docs[path], "\n") {
			for _, l := range label.FindAllString(line, -1) {
				if strings.HasPrefix(l, "P-") && !known[l] {
					found = append(found, finding{path, i + 1, l + " is cited and not defined"})
				}
			}
		}
	}
	return found
}

// documentOf returns the document that defines a label, "" for the code's own.
func documentOf(l string) string {
	switch l[0] {
	case 'P':
		return pitfalls
	case 'T':
		return scenarios
	}
	return ""
}

func missingDocs(docs map[string]string) []string {
	var missing []string
	for _, path := range []string{pitfalls, scenarios} {
		if docs[path] == "" {
			missing = append(missing, path)
		}
	}
	return missing
}

// citations returns the places where labels are cited: comments, and the names of
// kill marks.
func citations(s *source) []finding {
	var texts []finding
	for _, group := range s.file.Comments {
		for _, c := range group.List {
			for i, text := range strings.Split(c.Text, "\n") {
				texts = append(texts, finding{s.path, s.line(c.Pos()) + i, text})
			}
		}
	}
	for name, line := range marks(s) {
		texts = append(texts, finding{s.path, line, name})
	}
	return texts
}

// marks returns the names of the kill marks in a file and their lines.
func marks(s *source) map[string]int {
	names := map[string]int{}
	ast.Inspect(s.file, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok || len(call.Args) != 1 {
			return true
		}
		fn, isSel := call.Fun.(*ast.SelectorExpr)
		lit, isLit := call.Args[0].(*ast.BasicLit)
		if isSel && isLit && fn.Sel.Name == "At" && isName(fn.X, "mark") {
			name, _ := strconv.Unquote(lit.Value)
			names[name] = s.line(call.Pos())
		}
		return true
	})
	return names
}

func isName(e ast.Expr, name string) bool {
	id, ok := e.(*ast.Ident)
	return ok && id.Name == name
}

// checkMarks: a mark's name tells one place, and can be written in a spec, where
// colons separate.
func checkMarks(sources []*source) []finding {
	var found []finding
	where := map[string]string{}
	for _, s := range sources {
		if s.isTest() {
			continue
		}
		for name, line := range marks(s) {
			if strings.Contains(name, ":") {
				found = append(found, finding{s.path, line, "a colon in the name of mark " + name})
			}
			if where[name] != "" {
				found = append(found, finding{s.path, line, fmt.Sprintf("mark %q is also at %s", name, where[name])})
			}
			where[name] = fmt.Sprintf("%s:%d", s.path, line)
		}
	}
	return found
}

// unfinished matches the notes of unfinished work. (Written so as not to match
// itself.)
var unfinished = regexp.MustCompile(`\b(TO` + `DO|FIX` + `ME|X` + `XX)\b`)

// workplace matches paths of the machine on which something was written; they mean
// nothing elsewhere.
var workplace = regexp.MustCompile(`\.\./sha` + `red\b|(^|[^\w.])/(wor` + `k|roo` + `t|hom` + `e/\w+)/`)

// checkText looks at every text file line by line.
func checkText(texts map[string]string) []finding {
	var found []finding
	for _, path := range slices.Sorted(maps.Keys(texts)) {
		for i, line := range strings.Split(texts[path], "\n") {
			if m := unfinished.FindString(line); m != "" {
				found = append(found, finding{path, i + 1, m + ": finish it, or write down what is left out and why"})
			}
			if m := workplace.FindString(line); m != "" {
				found = append(found, finding{path, i + 1, m + ": a path of one particular machine"})
			}
		}
	}
	return found
}
