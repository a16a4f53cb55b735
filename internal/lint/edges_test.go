// What the models in docs/models and the code must agree on:
//   - every edge that a table in the code defines is a step of a model, and every
//     edge of a model is defined in the code, and cited there where it happens;
//   - every variant that docs/models/check asks of a model is one that it has, and
//     every one that it has is asked for: with a misspelt flag a model would hold, and
//     show nothing.
package lint

import (
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const models = "docs/models"

var (
	edge = regexp.MustCompile(`\bE-[A-Z]\d+\b`)

	// step matches a line of a model that does something and has a comment behind it.
	step = regexp.MustCompile(`^\s*[^\s/*].*?/\*(.*)\*/`)

	// condition matches what decides about a part of a model; a name with a default has
	// a #define right behind its #ifndef, and decides nothing.
	condition = regexp.MustCompile(`(?m)^\s*#(?:ifdef|ifndef|if|elif)\b(.*)$`)
	ownName   = regexp.MustCompile(`(?m)^\s*#define\s+(\w+)`)
	name      = regexp.MustCompile(`\b[A-Z]\w*\b`)
	include   = regexp.MustCompile(`(?m)^\s*#include "(\w+\.pml)"`)

	// asked matches a flag in docs/models/check, and modelOf a model's name.
	asked   = regexp.MustCompile(`-D([A-Z]\w*)`)
	modelOf = regexp.MustCompile(`\b(\w+\.pml)\b`)
)

// edgesOfModels returns the edges that are steps of a model, and where.
func edgesOfModels(texts map[string]string) map[string]string {
	found := map[string]string{}
	for p, text := range texts {
		if path.Dir(p) != models || path.Ext(p) != ".pml" {
			continue
		}
		for i, line := range strings.Split(text, "\n") {
			if m := step.FindStringSubmatch(line); m != nil {
				for _, e := range edge.FindAllString(m[1], -1) {
					found[e] = fmt.Sprintf("%s:%d", p, i+1)
				}
			}
		}
	}
	return found
}

// edgesOfCode returns the edges that a table defines, and those cited elsewhere in
// the library's comments and marks.
func edgesOfCode(sources []*source) (defined, cited map[string]string) {
	defined, cited = map[string]string{}, map[string]string{}
	for _, s := range sources {
		if !s.isLibrary() {
			continue
		}
		for _, c := range citations(s) {
			at := fmt.Sprintf("%s:%d", c.path, c.line)
			if m := row.FindStringSubmatch(c.what); m != nil && edge.MatchString(m[1]) {
				defined[m[1]] = at
				continue
			}
			for _, e := range edge.FindAllString(c.what, -1) {
				cited[e] = at
			}
		}
	}
	return defined, cited
}

func edgeFaults(sources []*source, texts map[string]string) (faults []string) {
	inModels := edgesOfModels(texts)
	defined, cited := edgesOfCode(sources)
	for e, at := range defined {
		if inModels[e] == "" {
			faults = append(faults, fmt.Sprintf("%s: %s is no step of any model", at, e))
		}
		if cited[e] == "" {
			faults = append(faults, fmt.Sprintf("%s: %s is not cited where it happens", at, e))
		}
	}
	for e, at := range inModels {
		if defined[e] == "" {
			faults = append(faults, fmt.Sprintf("%s: no table in the code defines %s", at, e))
		}
	}
	slices.Sort(faults)
	return faults
}

// variantsOf returns the names that a model, with all it includes, decides by.
func variantsOf(texts map[string]string, p string) map[string]bool {
	text := texts[p]
	for _, m := range include.FindAllStringSubmatch(text, -1) {
		text += texts[path.Join(models, m[1])]
	}
	has := map[string]bool{}
	for _, m := range condition.FindAllStringSubmatch(text, -1) {
		for _, n := range name.FindAllString(m[1], -1) {
			has[n] = true
		}
	}
	return has
}

// flagsOf returns the flags that the script gives to each model. A function that stands
// for a model, and a variable that stands for flags, are found by their names.
func flagsOf(script string) map[string]map[string]bool {
	flags, model, variable := map[string]map[string]bool{}, map[string]string{}, map[string]string{}
	var in string // the function that the line is in
	for _, line := range strings.Split(script, "\n") {
		line, _, _ = strings.Cut(line, " # ")
		if n, after, ok := strings.Cut(line, "() {"); ok {
			in, line = n, after
		}
		word, _, _ := strings.Cut(strings.TrimSpace(line), " ")
		if v, value, ok := strings.Cut(word, "="); ok && strings.HasPrefix(value, `"-D`) {
			variable["$"+v] = line
		}
		for v, value := range variable {
			line = strings.ReplaceAll(line, v+" ", value+" ")
		}
		to := model[word]
		if m := modelOf.FindString(line); m != "" && strings.Contains(line, "search ") {
			to = m
			if in != "" {
				model[in] = m
			}
		}
		if to != "" {
			if flags[to] == nil {
				flags[to] = map[string]bool{}
			}
			for _, m := range asked.FindAllStringSubmatch(line, -1) {
				flags[to][m[1]] = true
			}
		}
		if strings.HasPrefix(line, "}") || strings.HasSuffix(line, "}") {
			in = ""
		}
	}
	return flags
}

func variantFaults(texts map[string]string) (faults []string) {
	flags := flagsOf(texts[models+"/check"])
	included := map[string]bool{}
	for p, text := range texts {
		if path.Dir(p) == models {
			for _, m := range include.FindAllStringSubmatch(text, -1) {
				included[m[1]] = true
			}
		}
	}
	for p, text := range texts {
		m := path.Base(p)
		if path.Dir(p) != models || path.Ext(p) != ".pml" || included[m] {
			continue
		}
		if flags[m] == nil {
			faults = append(faults, m+" is not searched")
			continue
		}
		has, own := variantsOf(texts, p), map[string]bool{}
		for _, d := range ownName.FindAllStringSubmatch(text, -1) {
			own[d[1]] = true
		}
		for f := range flags[m] {
			if !has[f] {
				faults = append(faults, fmt.Sprintf("%s is asked for -D%s, and does not know it", m, f))
			}
		}
		for v := range has {
			if !flags[m][v] && !own[v] {
				faults = append(faults, fmt.Sprintf("nobody asks %s for -D%s", m, v))
			}
		}
	}
	slices.Sort(faults)
	return faults
}

func TestModelsAndCodeHaveTheSameEdges(t *testing.T) {
	tr := module(t)
	if n := len(edgesOfModels(tr.texts)); n < 20 {
		t.Fatalf("only %d edges found in the models: the test would pass on nothing", n)
	}
	for _, fault := range edgeFaults(tr.sources, tr.texts) {
		t.Error(fault)
	}
}

func TestModelsHaveTheVariantsThatAreSearched(t *testing.T) {
	tr := module(t)
	for m, flags := range flagsOf(tr.texts[models+"/check"]) {
		t.Log(m, slices.Sorted(maps.Keys(flags)))
	}
	for _, fault := range variantFaults(tr.texts) {
		t.Error(fault)
	}
}

func TestDifferentEdgesAreFound(t *testing.T) {
	code := mustParse(t, "mutex/x.go", `package mutex

//	E-M1   free -> held
//	E-M2   held -> contended
//	E-M3   free -> contended
func f() {
	a() // E-M1 E-M2
}
`)
	texts := map[string]string{models + "/x.pml": "/* E-M8: a header */\n * E-M9 goes on\n\tword = 1  /* E-M1 */\n\tword = 2  /* E-M3 E-M4 */\n\t/* E-M2 alone */\n"}
	got := strings.Join(edgeFaults([]*source{code}, texts), "; ")
	want := "docs/models/x.pml:4: no table in the code defines E-M4; mutex/x.go:4: E-M2 is no step of any model; mutex/x.go:5: E-M3 is not cited where it happens"
	if got != want {
		t.Errorf("faults %q, want %q", got, want)
	}
}

func TestUnknownVariantsAreFound(t *testing.T) {
	texts := map[string]string{
		models + "/check":    "some=\"-DGOOD -DN=2\"\na() {\n\tsearch \"$1\" a.pml \"$@\"\n}\na \"one\" holds $some -DTYPO\nsearch \"b\" b.pml -DOTHER\n",
		models + "/a.pml":    "#include \"part.pml\"\n#ifndef N\n#define N 3\n#endif\n#if N > 2 || defined(GOOD)\n#endif\n#ifdef FORGOTTEN\n#endif\n",
		models + "/b.pml":    "#ifdef OTHER\n#define MACRO(p) p\n#endif\n",
		models + "/c.pml":    "",
		models + "/part.pml": "#ifdef PART\n#endif\n",
	}
	got := strings.Join(variantFaults(texts), "; ")
	want := "a.pml is asked for -DTYPO, and does not know it; c.pml is not searched; nobody asks a.pml for -DFORGOTTEN; nobody asks a.pml for -DPART"
	if got != want {
		t.Errorf("faults %q, want %q", got, want)
	}
}
