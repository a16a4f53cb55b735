package report

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// files says what is in the folder of a run that failed.
var files = map[string]string{
	"README.txt":   "this",
	"result.json":  "the report, as -json writes it",
	"schedule.txt": "what was done to whom and when; \"due\" is when the seed had it",
	"words.txt":    "the state words of the scenario's primitives, spelt out",
	"arena.bin":    "the memory that all workers share",
	"delays.txt":   "the last delays at the library's marks",
	"history.html": "what all did and saw in the round that no order explains, to look at in a browser",
	"threads.txt":  "where the kernel had each worker's threads",
}

// about says what a file is.
func about(name string) string {
	switch {
	case files[name] != "":
		return files[name]
	case strings.HasSuffix(name, "-died.txt"):
		return "what a worker wrote that died unasked"
	}
	return "every goroutine of a worker, and what it wrote"
}

// Leave writes down in dir what there is about a run that failed. again is what replays
// it.
func (r *Result) Leave(dir, again string, doc *Document) error {
	r.Folder = dir
	if err := doc.Write(filepath.Join(dir, "result.json"), nil); err != nil {
		return err
	}
	text := fmt.Sprintf("%s\n%s\n\nseed   %#x\nagain  %s\n\n", Line(r), strings.Join(slices.Concat(r.Problems, r.Missed), "\n"), r.Seed, again)
	names := append(slices.Collect(maps.Keys(r.Evidence)), "README.txt", "result.json")
	for _, name := range slices.Sorted(slices.Values(names)) {
		text += fmt.Sprintf("%-14s %s\n", name, about(name))
	}
	if err := os.WriteFile(filepath.Join(dir, "README.txt"), []byte(text), 0o600); err != nil {
		return err
	}
	for name, data := range r.Evidence {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			return err
		}
	}
	return nil
}
