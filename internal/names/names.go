// Package names has the one rule for names of POSIX shared objects: what is
// left of a name is a single file name, and cannot leave its directory.
package names

import (
	"fmt"
	"io/fs"
	"strings"
)

// Plain checks a name and takes off the one leading slash that shm_open's and
// sem_open's manuals ask for, so that "/name" and "name" are the same object.
// what is the thing named, for the message; most the longest name, in bytes.
func Plain(what, name string, most int) (string, error) {
	n := strings.TrimPrefix(name, "/")
	bad := ""
	switch {
	case n == "":
		bad = "is empty"
	case n == "." || n == "..":
		bad = "means a directory"
	case strings.ContainsRune(n, '/'):
		bad = "has a slash after its first character"
	case strings.IndexByte(n, 0) >= 0:
		bad = "has a NUL byte"
	case len(n) > most:
		bad = fmt.Sprintf("has %d bytes, at most %d are possible", len(n), most)
	default:
		return n, nil
	}
	return "", fmt.Errorf("a %s's name %s; use a plain name such as \"/queue\": %w", what, bad, fs.ErrInvalid)
}
