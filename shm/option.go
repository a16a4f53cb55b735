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
	// write returns an error, or panics if it returns none; a store of the
	// caller's own ends the process. OpenOrCreate and Share with ReadOnly
	// make nothing: a missing object is ErrNotExist.
	ReadOnly = Option{optReadOnly, func(c *config) { c.readOnly = true }}

	// CreateFile lets OpenFile make the file, with the size given, if it is
	// not there. (It is the "create" option of OpenFile; Create is the
	// function.)
	CreateFile = Option{optCreateFile, func(c *config) { c.create = true }}

	// AllowPIDNamespace lets Share attach to a segment that was made in
	// another PID namespace. Only seqlock readers and semaphores are safe
	// across namespaces: a mutex there cannot know whether its owner lives.
	AllowPIDNamespace = Option{optPIDNS, func(c *config) { c.anyPIDNS = true }}

	// AllowUnsealed lets Receive map what its sender, or anybody else who has
	// it, can still make shorter. A touch beyond the new end is then a panic
	// of the goroutine (P-K6, Segment.Truncated): only for peers you trust.
	AllowUnsealed = Option{optAllowUnsealed, func(c *config) { c.anySeals = true }}

	// HugePages makes a Memfd or System V segment of huge pages, of the
	// machine's default size (2 MiB on most): fewer misses of the translation
	// cache in large memory. They come from a pool that root fills: sysctl
	// vm.nr_hugepages=COUNT.
	HugePages = Option{optHugePages, func(c *config) { c.huge = true }}

	// Mlock keeps the mapping in memory, never swapped out, as mlock(2) does.
	// The limit is RLIMIT_MEMLOCK, often 8 MiB for all of a process. It ends
	// with Close.
	Mlock = Option{optMlock, func(c *config) { c.mlock = true }}

	// Populate makes all pages present before the call returns: the first
	// touch of one costs nothing then, and one that cannot be had is an error
	// of the call and not a SIGBUS later. A writable view is populated for
	// writing, which gives a sparse object of a foreign program its memory.
	// Before Linux 5.14 the pages are made present if they can be, and what
	// cannot be had goes unnoticed.
	Populate = Option{optPopulate, func(c *config) { c.populate = true }}

	// Round lets AtAddress round its address down to a page: SHM_RND.
	Round = Option{optRound, func(c *config) { c.round = true }}
)

// Mode sets the permission bits of an object that is made, exactly and under
// any umask. The default is 0600: this user only. An object that exists keeps
// the bits it has.
func Mode(perm os.FileMode) Option {
	return Option{optMode, func(c *config) { c.perm = perm; c.modeGiven = true }}
}

// AtAddress attaches a System V segment at this address, a multiple of the
// page size (SHMLBA) unless Round is given too. It never replaces what is
// there: that is ErrAddress. Only programs that keep addresses in the memory
// need it, and no address is sure to be free in every process.
func AtAddress(addr uintptr) Option {
	return Option{optAddress, func(c *config) { c.addr = addr; c.addrGiven = true }}
}

// RequireSeals lets FromFile and Receive take only a memfd that has all these
// seals, and otherwise nothing: ErrUnsealed. They are looked at before
// anything is mapped. Where SealFutureWrite is asked for, SealWrite does; where
// SealShrink is, one of huge pages must have either of these too.
func RequireSeals(seals Seals) Option {
	return Option{optRequireSeals, func(c *config) { c.seals |= seals; c.sealsGiven = true }}
}

const (
	optReadOnly = 1 << iota
	optCreateFile
	optPIDNS
	optMode
	optRound
	optAddress
	optRequireSeals
	optAllowUnsealed
	optHugePages
	optMlock
	optPopulate

	optMemory = optMlock | optPopulate // for whatever maps
)

var optNames = map[uint]string{
	optReadOnly: "ReadOnly", optCreateFile: "CreateFile", optPIDNS: "AllowPIDNamespace", optMode: "Mode",
	optRound: "Round", optAddress: "AtAddress",
	optRequireSeals: "RequireSeals", optAllowUnsealed: "AllowUnsealed",
	optHugePages: "HugePages", optMlock: "Mlock", optPopulate: "Populate",
}

// optHints say more about why an option means nothing.
var optHints = map[uint]string{
	optHugePages: "; huge pages come from a pool that no object with a name in /dev/shm is part of: use Memfd or SysVCreate",
}

type config struct {
	readOnly  bool
	create    bool
	anyPIDNS  bool
	modeGiven bool
	perm      os.FileMode
	round     bool
	addrGiven bool
	addr      uintptr

	seals      Seals // wanted
	sealsGiven bool
	anySeals   bool
	huge       bool
	mlock      bool
	populate   bool
}

// configure applies opts for the call op, which knows the options in allowed.
func configure(opts []Option, allowed uint) (config, error) {
	c := config{perm: 0o600}
	for _, o := range opts {
		if o.set == nil {
			continue // the zero Option changes nothing
		}
		if o.bit&allowed == 0 {
			return c, fmt.Errorf("option %s means nothing here (known: %s)%s: %w", optNames[o.bit], knownOptions(allowed), optHints[o.bit], fs.ErrInvalid)
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
