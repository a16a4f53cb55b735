// Package proc is what a process is to the others: the identity that it writes
// into the locks it owns, the guardian thread by which the kernel marks those
// locks when it dies, and the questions that others ask about an owner: is it
// alive, and can it still write?
//
//	identity.go          the two identity words
//	guardian_unsafe.go   the thread that owns this process's locks
//	links_unsafe.go      which lock words the kernel visits when it dies
//	alive.go             is the owner of a word alive?
//	fence.go             when can a dead process no longer write?
package proc

import "sync/atomic"

// The identity of an owner, in the two list words of a pthread_mutex_t. A C
// owner keeps list pointers there, which never have bit 63 set; nobody but the
// owner may write them. They stay after the release: "who had it last".
//
//	prev:   63   62        61..45   44..23   22..0
//	       +----+---------+--------+--------+--------------+
//	       | GO | NO LINK | stamp  |  pid   | guardian TID |
//	       +----+---------+--------+--------+--------------+
//	next:   63   62..32                     31..0
//	       +----+--------------------------+---------------+
//	       | GO | guardian's start time    | PID namespace |
//	       +----+--------------------------+---------------+
//
//	GO       a process of this library wrote the word.
//	NO LINK  the owner's robust list does not reach this mutex, so only the look
//	         of a waiter finds out about its death. May be set wrongly (slower);
//	         must be set when there is no link, or recovery waits for a look.
//	stamp    a hash of start time and namespace, so that prev alone practically
//	         never equals that of another process.
//	start    in clock ticks since boot, modulo 2^31-1, plus 1; 0 is unknown.
//	         The guardian's, not the process's: an execve keeps the latter.
//	PID ns   inode number of the namespace in which pid and TID mean something.
//
// prev is written after next: a prev that carries the TID in the lock word
// vouches for both.
const (
	flagGo     = 1 << 63
	flagNoLink = 1 << 62
	stampBits  = 17
	pidBits    = 22 // PID_MAX_LIMIT is 1<<22 on 64-bit kernels
	tidBits    = 23 // one more, for a TID that no thread can have
	pidMask    = 1<<pidBits - 1
	tidMask    = 1<<tidBits - 1
	startMod   = 1<<31 - 1
)

// unstarted is the identity before the guardian runs. No mutex carries it, and
// no word its TID, so that the fast paths, which compare with them, always fail.
const unstarted = 1<<61 | tidMask

var (
	me     atomic.Uint64 // prev of a mutex that this process has linked
	meNext atomic.Uint64
)

func init() { me.Store(unstarted) }

// Me is the prev word of a mutex which this process owned last and has linked.
func Me() uint64 { return me.Load() }

// TID is the guardian's thread ID in a prev word: what the lock word carries.
func TID(prev uint64) uint32 { return uint32(prev) & tidMask }

// PID is the process in a prev word, 0 if a C owner or nobody wrote it.
func PID(prev uint64) int {
	if prev&flagGo == 0 {
		return 0
	}
	return int(prev >> tidBits & pidMask)
}

// Unlinked is prev for a mutex that the robust list does not reach. It names
// the same process.
func Unlinked(prev uint64) uint64 { return prev | flagNoLink }

// IsUnlinked reports whether a prev word says that the robust list of its owner
// does not reach the mutex.
func IsUnlinked(prev uint64) bool { return prev>>62 == (flagGo|flagNoLink)>>62 }

// Next is the next word of every mutex this process owns.
func Next() uint64 { return meNext.Load() }

// Foreign reports whether the identity belongs to another PID namespace, in
// which our notion of a TID means nothing (P-K7). An unknown one is another one.
func Foreign(next uint64) bool {
	return next&flagGo != 0 && uint32(next) != pidNamespace()
}

func compose(pid, tid int, start uint64, ns uint32) (prev, next uint64) {
	if start != 0 {
		start = start%startMod + 1
	}
	next = flagGo | start<<32 | uint64(ns)
	prev = flagGo | stampOf(next)<<(pidBits+tidBits) | uint64(pid)&pidMask<<tidBits | uint64(tid)&tidMask
	return prev, next
}

func stampOf(next uint64) uint64 { return (next * 0x9e3779b97f4a7c15) >> (64 - stampBits) }

// match reports whether one owner wrote both words. A store of a killed owner
// can be late and leave its next beside its heir's prev.
func match(prev, next uint64) bool {
	return stampOf(next) == prev>>(pidBits+tidBits)&(1<<stampBits-1)
}

// An Owner is what the two identity words say, for those who only look.
type Owner struct {
	PID       int    // in its PID namespace
	TID       uint32 // of its guardian, likewise: what the lock word carries while it holds
	Namespace uint32 // inode number of the PID namespace
	Linked    bool   // the kernel will mark the lock when it dies
}

// ReadOwner tells who wrote the identity words; not ok if it was no process of
// this library, or not one and the same.
func ReadOwner(prev, next uint64) (o Owner, ok bool) {
	if prev&flagGo == 0 || next&flagGo == 0 || !match(prev, next) {
		return Owner{}, false
	}
	return Owner{PID(prev), TID(prev), uint32(next), !IsUnlinked(prev)}, true
}

func startOf(next uint64) uint64 { return next >> 32 & (1<<31 - 1) }
