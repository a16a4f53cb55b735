package shm

import (
	"fmt"
	"io/fs"
	"os"
	"strings"
)

// An Option changes how a segment is made or opened. A call refuses, with an
// error that matches fs.ErrInvalid, an option that means nothing to it: an
// option that is silently ignored is a bug that is found late.
type Option struct {
	bit uint
	set func(*config)
}

// Options without a parameter.
var (
	// ReadOnly maps the memory without write permission, and needs only read
	// permission on the object. Loads of a seqlock work in it; what must
	// write returns an error. OpenOrCreate and Share with ReadOnly make
	// nothing: a missing object is ErrNotExist.
	ReadOnly = Option{optReadOnly, func(c *config) { c.readOnly = true }}

	// CreateFile lets OpenFile make the file, with the size given, if it is
	// not there. (It is the "create" option of OpenFile; Create is the
	// function.)
	CreateFile = Option{optCreateFile, func(c *config) { c.create = true }}

	// AllowPIDNamespace lets Share attach to a segment that was made in
	// another PID namespace. Only seqlock readers and semaphores are safe
	// across namespaces: a mutex there cannot know whether its owner lives.
	AllowPIDNamespace = Option{optPIDNS, func(c *config) { c.anyPIDNS = true }}
)

// Mode sets the permission bits of an object that is made, exactly and under
// any umask. The default is 0600: this user only. An object that exists keeps
// the bits it has.
func Mode(perm os.FileMode) Option {
	return Option{optMode, func(c *config) { c.perm = perm; c.modeGiven = true }}
}

const (
	optReadOnly = 1 << iota
	optCreateFile
	optPIDNS
	optMode
)

var optNames = map[uint]string{
	optReadOnly: "ReadOnly", optCreateFile: "CreateFile", optPIDNS: "AllowPIDNamespace", optMode: "Mode",
}

type config struct {
	readOnly  bool
	create    bool
	anyPIDNS  bool
	modeGiven bool
	perm      os.FileMode
}

// configure applies opts for the call op, which knows the options in allowed.
func configure(opts []Option, allowed uint) (config, error) {
	c := config{perm: 0o600}
	for _, o := range opts {
		if o.set == nil {
			continue // the zero Option changes nothing
		}
		if o.bit&allowed == 0 {
			return c, fmt.Errorf("option %s means nothing here (known: %s): %w", optNames[o.bit], knownOptions(allowed), fs.ErrInvalid)
		}
		o.set(&c)
	}
	if c.perm&^os.FileMode(0o777) != 0 {
		return c, fmt.Errorf("Mode(%v) has more than permission bits: %w", c.perm, fs.ErrInvalid)
	}
	return c, nil
}

func knownOptions(allowed uint) string {
	var names []string
	for bit := uint(1); optNames[bit] != ""; bit <<= 1 {
		if allowed&bit != 0 {
			names = append(names, optNames[bit])
		}
	}
	if names == nil {
		return "none"
	}
	return strings.Join(names, ", ")
}
