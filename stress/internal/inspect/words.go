package inspect

import (
	"encoding/binary"

	"interlock/internal/proc"
	"interlock/internal/robust"
)

// A Kind of primitive.
type Kind string

// The kinds, by the names that -type knows them by.
const (
	Mutex        Kind = "mutex"
	Semaphore    Kind = "semaphore"
	Cond         Kind = "cond"
	Seqlock      Kind = "seqlock"
	DoubleBuffer Kind = "doublebuffer"
	Value        Kind = "value" // a field that is no primitive
)

// Where the words of the primitives lie; each has its table in its own package.
const (
	sizeMutex     = robust.Size
	sizeSemaphore = 32
	sizeCond      = 16
	sizeSeqlock   = 64 // and the value, or two

	offWaiters = 4 // of a Semaphore and of a Cond
	offCasts   = 8 // of a Cond
	offLock    = 8 // of a Seqlock: the writers' mutex
)

// sizeOf is how many bytes of a primitive are looked at.
func sizeOf(k Kind) int64 {
	return map[Kind]int64{Mutex: sizeMutex, Semaphore: sizeSemaphore, Cond: sizeCond, Seqlock: sizeSeqlock, DoubleBuffer: sizeSeqlock}[k]
}

// lock is a mutex's bytes, taken apart.
type lock struct {
	word, owner, kind uint32
	prev, next        uint64
}

func readLock(b []byte) lock {
	ne := binary.NativeEndian
	return lock{ne.Uint32(b[robust.OffWord:]), ne.Uint32(b[robust.OffOwner:]), ne.Uint32(b[robust.OffKind:]),
		ne.Uint64(b[robust.OffPrev:]), ne.Uint64(b[robust.OffNext:])}
}

func (l lock) tid() uint32  { return l.word & robust.TIDMask }
func (l lock) orphan() bool { return l.word&robust.OwnerDied != 0 }

// condemned: nobody will ever hold it again.
func (l lock) condemned() bool { return l.owner == robust.NotRecoverable }

// shared reports whether Go calls accept what a C program may have made of it.
func (l lock) shared() bool {
	const made, types = 0x90, 0x303 // see kindRobust in package mutex
	return l.kind == 0 || l.kind&^types == made
}

// possible: no thread has a number beyond PID_MAX_LIMIT.
func (l lock) possible() bool { return l.tid() <= 1<<22 }

// byC: a C program held it last; it keeps list pointers where Go keeps its name.
func (l lock) byC() bool { return l.prev != 0 && l.prev>>63 == 0 }

// last is the process of this library that held it last, or holds it.
func (l lock) last() (proc.Owner, bool) { return proc.ReadOwner(l.prev, l.next) }

// quiet: as fresh memory has it, or as the last unlock left it.
func (l lock) quiet() bool { return l.word == 0 && !l.condemned() && l.shared() }
