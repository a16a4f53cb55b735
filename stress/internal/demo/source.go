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
// plus come, the others stay. That the functions have other names is no change.
func change(from, to Version) (lines []string) {
	a, b := body(from), body(to)
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
	lines, stay := change(from, to), 0
	for _, line := range lines {
		if line[0] == ' ' {
			stay++
		}
	}
	if 3*stay < len(lines) {
		return to.code()
	}
	return lines
}

func body(v Version) (lines []string) {
	for _, line := range v.code() {
		if !strings.HasPrefix(line, "func ") && line != "}" && line != "" {
			lines = append(lines, strings.TrimPrefix(line, "    "))
		}
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
