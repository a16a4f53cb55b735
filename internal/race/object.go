//go:build race

package race

import "sync"

// An object is a shadow: one for each place, however many addresses lead there.
// It goes when none does any more, because the same place may come back as
// something else: inode numbers are used again. At 16 bytes or more it has a
// block of the allocator's to itself.
type object struct {
	at   place
	refs int // addresses that lead here
}

// The table. Its functions run with synchronisation events ignored, so for the
// detector nothing orders their accesses: those to what mu guards must not be
// instrumented (go:norace; no copy, and no map of Go's, which reports by itself).
// Package sync is not instrumented either.
var (
	byAddr  sync.Map // uintptr -> *object: each address is looked up once
	byPlace sync.Map // place -> *object

	mu    sync.Mutex // taken to change any of these; guards known and refs
	known []span     // where addresses were found so far
)

// lookup returns the object that addr leads to, made at the first call.
func lookup(addr uintptr) *object {
	if o, ok := byAddr.Load(addr); ok {
		return o.(*object)
	}
	return resolve(addr)
}

//go:norace
func resolve(addr uintptr) *object {
	mu.Lock()
	defer mu.Unlock()
	if o, ok := byAddr.Load(addr); ok {
		return o.(*object)
	}
	at := locate(addr)
	v, ok := byPlace.Load(at)
	if !ok {
		v = &object{at: at}
		byPlace.Store(at, v)
	}
	o := v.(*object)
	o.refs++
	byAddr.Store(addr, o)
	return o
}

// locate returns the place of addr. The newest known span is the likeliest, and
// is right where it overlaps one that was unmapped without a Forget.
//
//go:norace
func locate(addr uintptr) place {
	for i := len(known) - 1; i >= 0; i-- {
		if s := known[i]; s.has(addr) {
			return s.place(addr)
		}
	}
	s, ok := mapping(addr)
	if !ok {
		return place{offset: uint64(addr)}
	}
	known = append(known, s)
	return s.place(addr)
}

// forget drops what is known of the addresses of s.
//
//go:norace
func (s span) forget() {
	mu.Lock()
	defer mu.Unlock()
	keep := known[:0]
	for _, k := range known {
		if k.hi <= s.lo || s.hi <= k.lo {
			keep = append(keep, k)
		}
	}
	known = keep
	byAddr.Range(s.drop)
}

// drop is forget for one address of the table.
//
//go:norace
func (s span) drop(addr, v any) bool {
	if !s.has(addr.(uintptr)) {
		return true
	}
	byAddr.Delete(addr)
	o := v.(*object)
	if o.refs--; o.refs == 0 {
		byPlace.Delete(o.at)
	}
	return true
}
