package selftest

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Apply makes the edits in the text of files, which read provides.
func Apply(m Mutant, read func(file string) (string, error)) (map[string]string, error) {
	changed := map[string]string{}
	for _, e := range m.Edits {
		text, ok := changed[e.File]
		if !ok {
			var err error
			if text, err = read(e.File); err != nil {
				return nil, fmt.Errorf("mutant %s no longer applies: %w", m.Name, err)
			}
		}
		if n := strings.Count(text, e.Old); n != 1 {
			return nil, fmt.Errorf("mutant %s no longer applies: %s has %d times, not once:\n%s", m.Name, e.File, n, e.Old)
		}
		changed[e.File] = strings.Replace(text, e.Old, e.New, 1)
	}
	return changed, nil
}

// writeOverlay writes the changed files of a mutant below dir, and what go
// build -overlay wants to read. It returns the latter's path.
func writeOverlay(m Mutant, root, dir string) (string, error) {
	changed, err := Apply(m, func(file string) (string, error) {
		text, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(file)))
		return string(text), err
	})
	if err != nil {
		return "", err
	}
	return writeFiles(changed, m.Name, root, dir)
}

// writeFiles is writeOverlay for files that are changed already. One that is empty is
// left out of the build.
func writeFiles(changed map[string]string, name, root, dir string) (string, error) {
	overlay := struct{ Replace map[string]string }{map[string]string{}}
	for file, text := range changed {
		if text == "" {
			overlay.Replace[filepath.Join(root, filepath.FromSlash(file))] = ""
			continue
		}
		copied := filepath.Join(dir, name, filepath.FromSlash(file))
		if err := os.MkdirAll(filepath.Dir(copied), 0o700); err != nil {
			return "", err
		}
		if err := os.WriteFile(copied, []byte(text), 0o600); err != nil {
			return "", err
		}
		overlay.Replace[filepath.Join(root, filepath.FromSlash(file))] = copied
	}
	text, err := json.Marshal(overlay)
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(filepath.Join(dir, name), 0o700); err != nil {
		return "", err
	}
	path := filepath.Join(dir, name, "overlay.json")
	return path, os.WriteFile(path, text, 0o600)
}
