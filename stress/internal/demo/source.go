package demo

import (
	"embed"
	"io/fs"
	"strings"
)

//go:embed *.go
var sources embed.FS

// function is the source of a function of this package, as it was compiled.
func function(name string) (lines []string) {
	files, _ := fs.Glob(sources, "*.go")
	for _, file := range files {
		text, _ := sources.ReadFile(file)
		inside := false
		for _, line := range strings.Split(string(text), "\n") {
			if strings.HasPrefix(line, "func "+name+"(") {
				inside = true
			}
			if inside {
				lines = append(lines, strings.ReplaceAll(line, "\t", "    "))
				if strings.HasPrefix(line, "}") || strings.HasSuffix(line, " }") && len(lines) == 1 {
					return lines
				}
			}
		}
	}
	return nil
}

// code is the source of the functions of a version.
func (v Version) code() (lines []string) {
	return listing(v.Shows)
}

func listing(names []string) (lines []string) {
	for i, name := range names {
		if i > 0 {
			lines = append(lines, "")
		}
		lines = append(lines, function(name)...)
	}
	return lines
}

// change is what turns one version into another: lines with a minus go, lines with a
// plus come, the others stay. That the functions have other names is no change. Where one
// function changes, its body is shown; where more do, each with its first line. nil: they
// are not the same number of functions.
func change(from, to Version) (lines []string) {
	if len(from.Shows) != len(to.Shows) {
		return nil
	}
	var changed []int
	for i := range from.Shows {
		if from.Shows[i] != to.Shows[i] {
			changed = append(changed, i)
		}
	}
	for _, i := range changed {
		a, b := function(from.Shows[i]), function(to.Shows[i])
		if len(changed) == 1 {
			return changedLines(body(a), body(b))
		}
		if lines != nil {
			lines = append(lines, "")
		}
		lines = append(lines, "  "+a[0])
		lines = append(lines, changedLines(a[1:], b[1:])...)
	}
	return lines
}

func changedLines(a, b []string) (lines []string) {
	same := common(a, b)
	for len(a) > 0 || len(b) > 0 {
		switch {
		case len(same) > 0 && len(a) > 0 && len(b) > 0 && a[0] == same[0] && b[0] == same[0]:
			lines = append(lines, "  "+a[0])
			a, b, same = a[1:], b[1:], same[1:]
		case len(a) > 0 && (len(same) == 0 || a[0] != same[0]):
			lines = append(lines, "- "+a[0])
			a = a[1:]
		default:
			lines = append(lines, "+ "+b[0])
			b = b[1:]
		}
	}
	return lines
}

// fix is how a version is shown beside the broken one: as a change, or, where hardly
// a line stays, by itself.
func fix(from, to Version) []string {
	lines := change(from, to)
	stay, frame := 0, 0 // the frame is what a function has around its body
	for _, line := range lines {
		switch {
		case line == "":
			frame++
		case strings.HasPrefix(line, "  func "):
			frame += 2
		case line[0] == ' ':
			stay++
		}
	}
	stay -= (frame + 1) / 3 // the braces
	if 3*stay < len(lines)-frame || lines == nil {
		return to.code()
	}
	return lines
}

// body is a function without its first line and its last.
func body(function []string) (lines []string) {
	if len(function) < 2 {
		return function
	}
	for _, line := range function[1 : len(function)-1] {
		lines = append(lines, strings.TrimPrefix(line, "    "))
	}
	return lines
}

// common is the longest common subsequence of two texts.
func common(a, b []string) []string {
	length := make([][]int, len(a)+1)
	for i := range length {
		length[i] = make([]int, len(b)+1)
	}
	for i := len(a) - 1; i >= 0; i-- {
		for j := len(b) - 1; j >= 0; j-- {
			if a[i] == b[j] {
				length[i][j] = 1 + length[i+1][j+1]
			} else {
				length[i][j] = max(length[i+1][j], length[i][j+1])
			}
		}
	}
	var same []string
	for i, j := 0, 0; i < len(a) && j < len(b); {
		switch {
		case a[i] == b[j]:
			same, i, j = append(same, a[i]), i+1, j+1
		case length[i+1][j] >= length[i][j+1]:
			i++
		default:
			j++
		}
	}
	return same
}
