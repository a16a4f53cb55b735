package shm

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"strings"
)

// shmDir is where shm_open(3) keeps its objects. Tests point it elsewhere.
var shmDir = "/dev/shm"

const (
	nameMax  = 255           // NAME_MAX: the longest file name, in bytes
	reserved = ".interlock-" // our own temporary files begin so
)

// cleanName checks a segment name and takes off the one leading slash that
// shm_open's manual asks for, so that "/name" and "name" are the same object.
// What is left is a single file name: it cannot leave the directory.
func cleanName(name string) (string, error) {
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
	case len(n) > nameMax:
		bad = fmt.Sprintf("has %d bytes, at most %d are possible", len(n), nameMax)
	case strings.HasPrefix(n, reserved):
		bad = fmt.Sprintf("begins with %q, which is reserved", reserved)
	default:
		return n, nil
	}
	return "", fmt.Errorf("a segment's name %s; use a plain name such as \"/queue\": %w", bad, fs.ErrInvalid)
}

// object is where one named object and its helpers live.
type object struct {
	op   string // the call, for messages: "shm.Open"
	name string // what the caller said, for messages
	dir  string
	path string // the object
	lock string // the lock file of its initialiser; see publish.go
}

func lookup(op, name string) (object, error) {
	n, err := cleanName(name)
	if err != nil {
		return object{}, fmt.Errorf("%s %q: %w", op, name, err)
	}
	return object{op, name, shmDir, shmDir + "/" + n, shmDir + "/" + lockName(n)}, nil
}

// lockName derives the lock file's name. It must be the same in every process
// and differ between names, so a name too long to embed is hashed.
func lockName(n string) string {
	const suffix = ".init"
	if len(reserved)+len(n)+len(suffix) <= nameMax {
		return reserved + n + suffix
	}
	sum := sha256.Sum256([]byte(n))
	return reserved + "sha256-" + hex.EncodeToString(sum[:]) + suffix
}

// fail gives every error of a call the same beginning.
func (o *object) fail(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s %q: %w", o.op, o.name, err)
}
