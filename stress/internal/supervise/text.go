package supervise

import "strings"

// excerpt keeps the beginning of a long stderr, where a panic says what
// happened, and drops what follows.
func excerpt(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	const most = 24
	if len(lines) > most {
		lines = append(lines[:most], "…")
	}
	return strings.Join(lines, "\n")
}

func indent(text string) string {
	return "    " + strings.ReplaceAll(text, "\n", "\n    ")
}
