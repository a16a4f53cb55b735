package shm

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"runtime"

	"interlock/internal/layout"
)

// Share returns a *T that all processes which call it with this name share.
// The first to come makes the segment, all zero, and runs init (which may be
// nil) on it; see OpenOrCreate, whose promises hold. The zero bytes are ready
// for every primitive of this module, so most programs need no init.
//
// A header in front of T records what T looks like, and a program whose T is
// another one gets an error instead of the memory: ErrLayout, with both types
// described, and the first field in which they differ. Renaming, adding or
// moving a field makes another T; renaming the type does not.
//
// The checks, in order: magic (ErrLayout), version (ErrVersion), state
// (ErrNotReady), size (ErrTruncated), the architecture that its maker was built
// for (ErrLayout), T's size and fingerprint (ErrLayout), PID namespace
// (ErrPIDNamespace, unless AllowPIDNamespace), boot (ErrLayout).
//
// Close the Segment when T is no longer used: T is then gone. The object
// stays until Remove.
//
// What a dying process leaves in T is for the primitives in T to tell; one
// that dies inside init leaves nothing, and the next caller runs its init.
//
// What the initialiser wrote before its init returned synchronizes before the
// return of every Share of the same object, across processes.
//
// Options: Mode, ReadOnly (makes nothing; a store through T is a fatal
// fault, loads of a seqlock work), AllowPIDNamespace,
// Mlock, Populate.
func Share[T any](ctx context.Context, name string, init func(*T) error, opts ...Option) (*T, *Segment, error) {
	o, err := lookup("shm.Share", name)
	if err != nil {
		return nil, nil, err
	}
	if err := layout.Flat[T](); err != nil {
		return nil, nil, o.fail(tagged{err, ErrLayout})
	}
	var p *T
	seg, err := share(ctx, &o, headerFor(reflect.TypeFor[T]()), opts, func(s *Segment) (err error) {
		p, err = At[T](s.Bytes(), layout.PayloadOffset)
		if err == nil && init != nil {
			err = init(p)
		}
		return err
	})
	if err == nil { // also where we made it: an earlier p may be of a lost race
		if p, err = At[T](seg.Bytes(), layout.PayloadOffset); err != nil {
			err = errors.Join(err, seg.Close())
		}
	}
	if err != nil {
		return nil, nil, o.fail(err)
	}
	return p, seg, nil
}

// headerFor is the header that this process would write, and wants to find.
func headerFor(t reflect.Type) *layout.Header {
	return &layout.Header{
		Size:        uint64(t.Size()),
		Fingerprint: layout.Fingerprint(t),
		PIDNS:       pidNamespace(),
		BootID:      bootID(),
		Maker:       uint32(os.Getpid()),
		Description: layout.Describe(t),
	}
}

// share is Share without the type: one copy of it in the program.
func share(ctx context.Context, o *object, want *layout.Header, opts []Option, init func(*Segment) error) (*Segment, error) {
	c, err := configure(opts, optReadOnly|optMode|optPIDNS|optMemory)
	if err != nil {
		return nil, err
	}
	if want.PIDNS == 0 && !c.anyPIDNS {
		return nil, fmt.Errorf("%w: /proc/self/ns/pid cannot be read, so it cannot be known; mount /proc, or pass shm.AllowPIDNamespace", ErrPIDNamespace)
	}
	size := layout.PayloadOffset + int64(want.Size)
	s, made, err := openOrBuild(ctx, o, size, &c, func(s *Segment) error {
		want.Encode(s.Bytes())
		step("write the header")
		if err := init(s); err != nil {
			return err
		}
		layout.MarkReady(s.Bytes()) // last: publish.go's C7 follows
		return nil
	})
	if err != nil || made {
		return s, err
	}
	if err := matches(s, want, &c); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// matches checks the header of an existing object. It reads it with pread,
// not from the mapping: a copy that cannot change between two looks, and an
// object that a peer cuts short meanwhile is a short read, not a SIGBUS.
func matches(s *Segment, want *layout.Header, c *config) error {
	var b [layout.PayloadOffset]byte
	n, err := s.File().ReadAt(b[:], 0)
	if err != nil && err != io.EOF {
		return fmt.Errorf("cannot read the header: %w", err)
	}
	have, err := layout.Decode(b[:n], s.Size())
	if err != nil {
		return headerError(err)
	}
	switch {
	case !have.Ours():
		return fmt.Errorf("%w: made by a program for %s, this one is for %s; build both for one architecture, or Remove the segment if it is a leftover",
			ErrLayout, cmp.Or(have.Arch, "an unknown machine"), runtime.GOARCH)
	case have.Size != want.Size || have.Fingerprint != want.Fingerprint:
		first := "; the difference is in what these leave out: in a primitive of another version, or behind the end"
		if d := layout.Difference(have.Description, want.Description); d != "" {
			first = "; the first difference: " + d
		}
		return fmt.Errorf("%w: the segment holds %q, this program wants %q%s; build both from the same type, or Remove the segment if it is a leftover",
			ErrLayout, have.Description, want.Description, first)
	case have.PIDNS != want.PIDNS && !c.anyPIDNS:
		return fmt.Errorf("%w: made by pid %d of namespace %d, this process is in %d, so neither could tell a dead owner from a live one; "+
			"run both in one PID namespace (docker --pid=container:NAME, shareProcessNamespace: true), "+
			"or pass shm.AllowPIDNamespace if only seqlock readers and semaphores are used",
			ErrPIDNamespace, have.Maker, have.PIDNS, want.PIDNS)
	case have.BootID != want.BootID && have.BootID != noBoot && want.BootID != noBoot:
		return fmt.Errorf("%w: made before the machine was restarted, so its lock words name dead processes; Remove it", ErrLayout)
	}
	return nil
}

var noBoot [16]byte

// headerError turns what package layout found into what callers look for.
func headerError(err error) error {
	switch {
	case errors.Is(err, layout.ErrVersion):
		return fmt.Errorf("%w: %w; rebuild the older program, or Remove the segment when nobody uses it", ErrVersion, err)
	case errors.Is(err, layout.ErrNotReady):
		return fmt.Errorf("%w: %w; its maker died or is no peer; Remove it", ErrNotReady, err)
	case errors.Is(err, layout.ErrTruncated):
		return fmt.Errorf("%w: %w; Remove it", ErrTruncated, err)
	}
	return fmt.Errorf("%w: %w; it was not made by shm.Share (shm.Open maps it as raw memory), or it was damaged: then Remove it", ErrLayout, err)
}
