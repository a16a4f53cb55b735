package selftest

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// A patch is a unified diff, as diff -u and git diff write it, taken apart.
type patch []fileDiff

// fileDiff is what is to be changed in one file.
type fileDiff struct {
	file   string // from the module's root, with slashes
	made   bool   // it is new
	gone   bool
	chunks []chunk
}

// chunk is one change with the lines around it. Each line has its line end.
type chunk struct {
	at       int // the first line's number in the old file, from 1; 0: the file is empty
	old, new []string
}

var chunkHead = regexp.MustCompile(`^@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@`)

// parsePatch takes a unified diff apart.
func parsePatch(text string) (patch, error) {
	var p patch
	lines := slices.Collect(strings.Lines(text))
	for i := 0; i < len(lines); {
		switch line := lines[i]; {
		case strings.HasPrefix(line, "rename ") || strings.HasPrefix(line, "copy ") || strings.HasPrefix(line, "GIT binary patch"):
			return nil, fmt.Errorf("line %d: renamed, copied and binary files cannot be tried", i+1)
		case strings.HasPrefix(line, "--- ") && i+1 < len(lines) && strings.HasPrefix(lines[i+1], "+++ "):
			d, err := heads(line, lines[i+1])
			if err != nil {
				return nil, fmt.Errorf("line %d: %w", i+1, err)
			}
			p, i = append(p, d), i+2
		case strings.HasPrefix(line, "@@ ") && len(p) > 0:
			c, n, err := parseChunk(lines[i:])
			if err != nil {
				return nil, fmt.Errorf("line %d: %w", i+1, err)
			}
			last := &p[len(p)-1]
			last.chunks, i = append(last.chunks, c), i+n
		default:
			i++ // what stands between files is for people
		}
	}
	if len(p) == 0 {
		return nil, errors.New("no unified diff: there are no lines that begin with --- and +++")
	}
	return p, nil
}

// heads reads the two lines that name a file.
func heads(from, to string) (d fileDiff, err error) {
	name := func(line string) string {
		text, _, _ := strings.Cut(strings.TrimRight(line[len("--- "):], "\r\n"), "\t") // behind it is the time
		return text
	}
	old, now := name(from), name(to)
	d.made, d.gone = old == "/dev/null", now == "/dev/null"
	d.file = now
	if d.gone {
		d.file = old
	}
	if strings.HasPrefix(d.file, "a/") || strings.HasPrefix(d.file, "b/") {
		d.file = d.file[2:]
	}
	switch {
	case !fs.ValidPath(d.file) || d.file == ".":
		return d, fmt.Errorf("%q is no path from the module's root", d.file)
	case path.Clean(d.file) != d.file:
		return d, fmt.Errorf("%q is not clean", d.file)
	case strings.HasPrefix(d.file, "stress/"):
		return d, fmt.Errorf("%s is part of what judges the patch", d.file)
	}
	return d, nil
}

// parseChunk reads a chunk, and says how many lines it has.
func parseChunk(lines []string) (c chunk, n int, err error) {
	m := chunkHead.FindStringSubmatch(lines[0])
	if m == nil {
		return c, 0, fmt.Errorf("not the head of a chunk: %q", lines[0])
	}
	count := func(text string) int {
		if text == "" {
			return 1
		}
		v, _ := strconv.Atoi(text)
		return v
	}
	c.at, _ = strconv.Atoi(m[1])
	olds, news := count(m[2]), count(m[4])
	for n = 1; len(c.old) < olds || len(c.new) < news || n < len(lines) && strings.HasPrefix(lines[n], `\`); n++ {
		if n == len(lines) {
			return c, 0, errors.New("the chunk ends too soon")
		}
		switch line := lines[n]; {
		case strings.HasPrefix(line, `\`): // the line before has no line end
			before := lines[n-1][0]
			for _, side := range []*[]string{&c.old, &c.new} {
				if k := len(*side); k > 0 && (before == ' ' || (before == '-') == (side == &c.old)) {
					(*side)[k-1] = strings.TrimSuffix((*side)[k-1], "\n")
				}
			}
		case line == "\n": // an editor took the blank away
			c.old, c.new = append(c.old, line), append(c.new, line)
		case line[0] == ' ':
			c.old, c.new = append(c.old, line[1:]), append(c.new, line[1:])
		case line[0] == '-':
			c.old = append(c.old, line[1:])
		case line[0] == '+':
			c.new = append(c.new, line[1:])
		default:
			return c, 0, fmt.Errorf("in a chunk, a line that begins with %q", line[0])
		}
	}
	return c, n, nil
}

// apply makes the changes in the text of files, which read provides. A file that is to go
// is empty.
func (p patch) apply(read func(file string) (string, error)) (map[string]string, error) {
	changed := map[string]string{}
	for _, d := range p {
		var text string
		if !d.made {
			var err error
			if text, err = read(d.file); err != nil {
				return nil, err
			}
		}
		lines, shift := slices.Collect(strings.Lines(text)), 0
		for i, c := range d.chunks {
			at := find(lines, c, shift)
			if at < 0 {
				return nil, fmt.Errorf("%s: chunk %d does not fit: around line %d there is not\n%s", d.file, i+1, c.at, strings.Join(c.old, ""))
			}
			shift += len(c.new) - len(c.old) + at - (max(c.at-1, 0) + shift)
			lines = slices.Replace(lines, at, at+len(c.old), c.new...)
		}
		changed[d.file] = strings.Join(lines, "")
	}
	return changed, nil
}

// find is where the old lines of a chunk are: as near as possible to where it says, moved
// as the chunks before it have moved. -1: nowhere.
func find(lines []string, c chunk, shift int) int {
	want := max(c.at-1, 0) + shift
	if len(c.old) == 0 {
		return min(max(c.at+shift, 0), len(lines)) // behind that line
	}
	best := -1
	for at := 0; at+len(c.old) <= len(lines); at++ {
		if slices.Equal(lines[at:at+len(c.old)], c.old) && (best < 0 || distance(at, want) < distance(best, want)) {
			best = at
		}
	}
	return best
}

func distance(a, b int) int { return max(a-b, b-a) }
