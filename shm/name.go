package shm

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"strings"

	"interlock/internal/names"
)

// shmDir is where shm_open(3) keeps its objects. Tests point it elsewhere.
var shmDir = "/dev/shm"

const (
	nameMax  = 255           // NAME_MAX: the longest file name, in bytes
	reserved = ".interlock-" // our own temporary files begin so
)

// cleanName is names.Plain, and keeps our own files' names to ourselves.
func cleanName(name string) (string, error) {
	n, err := names.Plain("segment", name, nameMax)
	if err == nil && strings.HasPrefix(n, reserved) {
		err = fmt.Errorf("a segment's name begins with %q, which is reserved: %w", reserved, fs.ErrInvalid)
	}
	return n, err
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
// and differ between names: a name too long to embed is hashed, with an end that
// no embedded one has.
func lockName(n string) string {
	const suffix = ".init"
	if len(reserved)+len(n)+len(suffix) <= nameMax {
		return reserved + n + suffix
	}
	sum := sha256.Sum256([]byte(n))
	return reserved + "sha256-" + hex.EncodeToString(sum[:]) + ".long"
}

// fail gives every error of a call the same beginning.
func (o *object) fail(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s %q: %w", o.op, o.name, err)
}
