package demo

import (
	"fmt"
	"io"
	"strings"
)

// width is that of a terminal that nobody has made wider.
const width = 80

// printer writes what a person reads. It uses no colour: nothing depends on it.
type printer struct{ out io.Writer }

func (p *printer) line(format string, args ...any) { fmt.Fprintf(p.out, format+"\n", args...) }

func (p *printer) heading(text string) { p.line("\n%s\n%s", text, strings.Repeat("-", len(text))) }

// prose writes paragraphs, broken at the last blank that fits.
func (p *printer) prose(text string) {
	for i, paragraph := range strings.Split(strings.TrimSpace(text), "\n\n") {
		if i > 0 {
			p.line("")
		}
		for _, line := range wrap(paragraph, width) {
			p.line("%s", line)
		}
	}
}

func wrap(text string, most int) (lines []string) {
	line := ""
	for _, word := range strings.Fields(text) {
		if line != "" && len(line)+1+len(word) > most {
			lines, line = append(lines, line), ""
		}
		if line != "" {
			line += " "
		}
		line += word
	}
	return append(lines, line)
}

// code writes lines of source.
func (p *printer) code(lines []string) {
	for _, line := range lines {
		p.line("%s", strings.TrimRight("    "+line, " "))
	}
}

// result writes what came of a run.
func (p *printer) result(r *Result) {
	if len(r.PIDs) > 0 {
		var who []string
		for i, pid := range r.PIDs {
			who = append(who, fmt.Sprintf("%c = pid %d", 'A'+i, pid))
		}
		p.line("    %s", strings.Join(who, ", "))
	}
	label, value := 0, 0
	for _, f := range r.Facts {
		label = max(label, len(f.Label))
		if numeric(f.Value) {
			value = max(value, len(f.Value))
		}
	}
	for _, f := range r.Facts {
		if numeric(f.Value) {
			p.line("    %-*s  %*s", label, f.Label, value, f.Value)
		} else {
			p.line("    %-*s  %s", label, f.Label, f.Value)
		}
	}
	for _, n := range r.Notes {
		for _, line := range wrap(n, width-4) {
			p.line("    %s", line)
		}
	}
}

func numeric(text string) bool {
	return strings.Trim(text, "-0123456789,") == ""
}

// schedule writes the table of who does what.
func (p *printer) schedule(s Schedule) {
	widths := make([]int, len(s.Columns))
	for _, row := range append([][]string{s.Columns}, s.Rows...) {
		for i, cell := range row {
			widths[i] = max(widths[i], len(cell))
		}
	}
	write := func(row []string, fill string) {
		var cells []string
		for i, w := range widths {
			cell := ""
			if i < len(row) {
				cell = row[i]
			}
			cells = append(cells, cell+strings.Repeat(fill, w-len(cell)))
		}
		sep := " | "
		if fill == "-" {
			sep = "-+-"
		}
		p.line("    %s", strings.TrimRight(strings.Join(cells, sep), " "))
	}
	write(s.Columns, " ")
	write(nil, "-")
	for _, row := range s.Rows {
		write(row, " ")
	}
}
