package demo

import (
	"fmt"
	"strings"
)

// Page is the page of the book on a demo: docs/learn/NAME.md. A test holds the two
// together, so that the page shows the code that runs.
func Page(d *Demo) string {
	l := lessons[d.Name]
	b := &strings.Builder{}
	put := func(format string, args ...any) { fmt.Fprintf(b, format+"\n", args...) }
	put("# %s: %s\n", d.Name, d.Title)
	put("%s\n", joined(d.Story))
	if d.Live != "" {
		put("(%s)\n", joined(d.Live))
	}
	put("## Predict\n\n%s\n", d.Quiz.Question)
	for i, c := range d.Quiz.Choices {
		put("- %c) %s", 'a'+i, c)
	}
	put("\n<details><summary>Answer</summary>\n\n%c) %s\n\n</details>\n", 'a'+d.Quiz.Right, d.Quiz.Because)
	put("The code of the processes:\n\n```go\n%s\n```\n", strings.Join(listing(append(append([]string{}, d.Broken.Shows...), d.Broken.Parts...)), "\n"))
	put("## Run\n\n```\ngo run ./stress demo %s\n```\n", d.Name)
	if d.Live == "" && !d.TwoCPUs {
		put("On one CPU (`taskset -c 0 go run ./stress demo %s`) the processes yield it in the window now and then, and it breaks all the same.\n", d.Name)
	}
	put("## See\n\n%s\n", l.see)
	put("The shortest way to get there:\n")
	put("%s", markdown(d.Schedule))
	for i, v := range d.Fixes {
		put("## %s\n\n%s\n", []string{"Fix", "Another way: " + v.Name}[min(i, 1)], v.About)
		put("```%s\n%s\n```\n", language(d.Broken, v), strings.Join(fix(d.Broken, v), "\n"))
	}
	put("The same run shows that it holds%s.\n", []string{"", ", and what each version costs"}[min(len(d.Op), 1)])
	put("## Why\n\n%s\n", joined(d.Why))
	put("## What to use\n\n%s\n", joined(d.Use))
	put("## Questions\n")
	for _, q := range l.questions {
		put("%s\n\n<details><summary>Answer</summary>\n\n%s\n\n</details>\n", q.question, q.answer)
	}
	put("## To read on\n")
	for _, r := range l.reading {
		put("- %s", r)
	}
	return b.String()
}

// language is how the lines of a fix are to be coloured.
func language(from, to Version) string {
	if strings.HasPrefix(fix(from, to)[0], "func ") {
		return "go"
	}
	return "diff"
}

// joined has each paragraph on a line of its own.
func joined(text string) string {
	paragraphs := strings.Split(strings.TrimSpace(text), "\n\n")
	for i, p := range paragraphs {
		paragraphs[i] = strings.Join(strings.Fields(p), " ")
	}
	return strings.Join(paragraphs, "\n\n")
}

// markdown is a schedule as a table.
func markdown(s Schedule) string {
	b := &strings.Builder{}
	fmt.Fprintf(b, "| %s |\n|%s\n", strings.Join(s.Columns, " | "), strings.Repeat("---|", len(s.Columns)))
	for _, row := range s.Rows {
		fmt.Fprintf(b, "| %s |\n", strings.ReplaceAll(strings.Join(row, " | "), "*", `\*`))
	}
	return b.String()
}
