package schedule

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"interlock/stress/internal/selftest"
)

// left are files that are not copied: what they do is not simulated.
var left = []string{
	"semaphore/named.go", "semaphore/named_unsafe.go", // files, not the protocol
}

// replaced are files for which the simulation has others.
var replaced = map[string]string{
	"internal/proc/procfs.go": `package proc

import "` + sims + `"

func readFile(path string) ([]byte, error) { return sim.ReadFile(path) }

func threadsOf(dir string) ([]string, error) { return sim.Threads(dir) }

func procIsOurs() bool { return true }
`,
}

// smaller makes the searches shorter, and changes no step: fewer hash buckets, in
// which then different words meet; fewer tries before a reader goes to sleep; and a
// scenario may ask that all sleep in a pool.
var smaller = selftest.Mutant{
	Name: "smaller",
	Edits: []selftest.Edit{
		{File: "internal/park/table.go", Old: "bucketBits = 10", New: "bucketBits = 1"},
		{File: "seqlock/seqlock.go", Old: "spinTries  = 100", New: "spinTries  = 2"},
		{File: "internal/park/sleep.go", Old: "int32(mostDirect)", New: "int32(runtime.MayHaveThreads(mostDirect))"},
	},
}

// generator writes the program that runs the library's source in the simulation, as
// an overlay: files that exist for the compiler only.
type generator struct {
	root    string // of the module
	dir     string // where the texts are written
	overlay map[string]string
}

// generate writes it all for some processes, of a mutant or, with no edits, of the
// source as it is. It returns the path of what go build -overlay wants to read.
func generate(m selftest.Mutant, root, dir string, processes int) (string, error) {
	g := &generator{root, dir, map[string]string{}}
	texts, err := g.sources(m)
	if err != nil {
		return "", err
	}
	for p := range processes {
		if err := g.copyFor(p, texts); err != nil {
			return "", err
		}
	}
	if err := g.write("gen/main.go", mainFile(processes)); err != nil {
		return "", err
	}
	text, err := json.Marshal(struct{ Replace map[string]string }{g.overlay})
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "overlay.json")
	return path, os.WriteFile(path, text, 0o600)
}

// sources reads the files of the packages that are copied, by directory and name, with
// the mutant's edits in them.
func (g *generator) sources(m selftest.Mutant) (map[string]map[string]string, error) {
	changed, err := g.changed(m)
	if err != nil {
		return nil, err
	}
	texts := map[string]map[string]string{}
	for _, dir := range copied {
		texts[dir] = map[string]string{}
		names, err := filepath.Glob(filepath.Join(g.root, filepath.FromSlash(dir), "*.go"))
		if err != nil || len(names) == 0 {
			return nil, fmt.Errorf("no package in %s: %v", dir, err)
		}
		for _, path := range names {
			name := filepath.Base(path)
			file := dir + "/" + name
			if strings.HasSuffix(name, "_test.go") || slices.Contains(left, file) {
				continue
			}
			text, ok := changed[file]
			if !ok {
				text = replaced[file]
			}
			if text == "" {
				b, err := os.ReadFile(path)
				if err != nil {
					return nil, err
				}
				text = string(b)
			}
			texts[dir][name] = text
		}
	}
	return texts, nil
}

// changed applies a mutant and what makes searches shorter. The mutant goes first: its
// edits are made for the source.
func (g *generator) changed(m selftest.Mutant) (map[string]string, error) {
	read := func(file string) (string, error) {
		b, err := os.ReadFile(filepath.Join(g.root, filepath.FromSlash(file)))
		return string(b), err
	}
	mutated, err := selftest.Apply(m, read)
	if err != nil {
		return nil, err
	}
	changed, err := selftest.Apply(smaller, func(file string) (string, error) {
		if text, ok := mutated[file]; ok {
			return text, nil
		}
		return read(file)
	})
	if err != nil {
		return nil, err
	}
	for file, text := range mutated {
		if _, ok := changed[file]; !ok {
			changed[file] = text
		}
	}
	return changed, nil
}

// copyFor writes a process's copy of all packages.
func (g *generator) copyFor(process int, texts map[string]map[string]string) error {
	for dir, files := range texts {
		var vars []string
		pkg := filepath.Base(dir)
		for name, text := range files {
			text, names, err := rewrite(dir, name, text, process)
			if err != nil {
				return err
			}
			vars = append(vars, names...)
			if err := g.write(fmt.Sprintf("gen/p%d/%s/%s", process, pkg, name), text); err != nil {
				return err
			}
		}
		if err := g.write(fmt.Sprintf("gen/p%d/%s/globals.go", process, pkg), globalsFile(pkg, vars)); err != nil {
			return err
		}
	}
	return nil
}

// write puts a text where the compiler finds it as a file of this folder.
func (g *generator) write(file, text string) error {
	path := filepath.Join(g.dir, filepath.FromSlash(file))
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	g.overlay[filepath.Join(g.root, "stress/internal/schedule", filepath.FromSlash(file))] = path
	return os.WriteFile(path, []byte(text), 0o600)
}

// globalsFile registers a package's variables: each process starts anew with each
// execution.
func globalsFile(pkg string, vars []string) string {
	var b bytes.Buffer
	fmt.Fprintf(&b, "package %s\n\n", pkg)
	if len(vars) == 0 {
		return b.String()
	}
	fmt.Fprintf(&b, "import %q\n\nfunc init() {\n", sims)
	for _, v := range vars {
		fmt.Fprintf(&b, "\tsim.Global(&%s)\n", v)
	}
	fmt.Fprintf(&b, "}\n")
	return b.String()
}

func mainFile(processes int) string {
	var b bytes.Buffer
	fmt.Fprintf(&b, "package main\n\nimport (\n\t\"os\"\n\n\t%q\n\t%q\n", ours+"/explore", sims)
	for p := range processes {
		fmt.Fprintf(&b, "\tp%d %q\n", p, copyPath(p, "stress/internal/schedule/play"))
	}
	fmt.Fprintf(&b, ")\n\nfunc main() {\n\tp0.Describe()\n")
	for p := range processes {
		fmt.Fprintf(&b, "\tsim.AddProgram(p%d.Play)\n", p)
	}
	fmt.Fprintf(&b, "\tos.Exit(explore.Main(os.Args[1:], os.Stdout, os.Stderr))\n}\n")
	return b.String()
}
