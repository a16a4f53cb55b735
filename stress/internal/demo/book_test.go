package demo

import (
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the pages of docs/learn")

const learn = "../../../docs/learn/"

// Each demo has its page, and the page shows the code that runs.
func TestTheBookIsUpToDate(t *testing.T) {
	for _, d := range All() {
		l := lessons[d.Name]
		if l.see == "" || len(l.questions) < 2 || len(l.reading) == 0 {
			t.Errorf("%s: its lesson is not complete", d.Name)
		}
		file, page := learn+d.Name+".md", Page(d)
		if *update {
			if err := os.WriteFile(file, []byte(page), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if text, err := os.ReadFile(file); err != nil || string(text) != page {
			t.Errorf("%s is not what Page makes of the demo (%v); write it: go test ./stress/internal/demo -run Book -update", file, err)
		}
	}
}

var (
	linked  = regexp.MustCompile(`\]\(([^)#]+)\)`)
	fenced  = regexp.MustCompile("(?s)```.*?```")
	command = regexp.MustCompile(`stress demo ([a-z-]+)`)
)

// What the book names exists, and the list of its pages is that of the demos, in order.
func TestTheBookNamesWhatExists(t *testing.T) {
	files, err := filepath.Glob(learn + "*.md")
	const others = 3 // README.md; lab.md: by hand; puzzles.md
	if err != nil || len(files) != len(All())+others {
		t.Errorf("%d files, %d demos: %v", len(files), len(All()), err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range linked.FindAllStringSubmatch(fenced.ReplaceAllString(string(text), ""), -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			if _, err := os.Stat(learn + m[1]); err != nil {
				t.Errorf("%s: %v", file, err)
			}
		}
		for _, m := range command.FindAllStringSubmatch(string(text), -1) {
			if Find(m[1]) == nil {
				t.Errorf("%s: no demo %s", file, m[1])
			}
		}
	}
	text, err := os.ReadFile(learn + "README.md")
	if err != nil {
		t.Fatal(err)
	}
	rest := string(text)
	for _, d := range All() {
		_, after, ok := strings.Cut(rest, "["+d.Name+"]("+d.Name+".md)")
		if !ok {
			t.Errorf("README.md: no %s, or not in this order", d.Name)
			continue
		}
		rest = after
	}
}
