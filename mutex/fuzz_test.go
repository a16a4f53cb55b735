package mutex

import (
	"os"
	"testing"

	"interlock/internal/proc"
	"interlock/internal/proctest"
	"interlock/internal/robust"
)

// FuzzMutex: whatever the 40 bytes are, each call ends in time with what it documents,
// with no repair, one that succeeds, or one that fails (T81).
func FuzzMutex(f *testing.F) {
	_, mem := proctest.Memfd(f, os.Getpagesize())
	m := at[Mutex](mem, 0)
	proc.Start()
	me, mine := proc.Me(), proc.Next()
	f.Add(uint32(0), uint32(0), uint32(0), uint64(0), uint64(0), byte(0))
	f.Add(proc.TID(me), uint32(0), uint32(0), me, mine, byte(1))
	f.Add(uint32(robust.Waiters|robust.OwnerDied), uint32(inconsistent), uint32(kindRobust), me, mine, byte(1))
	f.Add(uint32(1), uint32(notRecoverable), uint32(0), proc.Unlinked(me), mine, byte(2))
	f.Add(uint32(robust.Waiters|robust.TIDMask), uint32(1), uint32(1), ^uint64(0), ^uint64(0), byte(0))
	f.Fuzz(func(t *testing.T, word, owner, kind uint32, prev, next uint64, how byte) {
		m.OnOwnerDeath([]func(int) error{
			nil,
			func(int) error { return nil },
			func(int) error { return errRepair },
			func(int) error { return ErrNotRecoverable },
		}[how%4])
		if how&4 != 0 { // of our own namespace, or it ends at the first question
			next = next&^(1<<32-1) | mine&(1<<32-1)
		}
		if how&8 != 0 {
			kind = 0
		}
		fill(m, word, owner, kind, prev, next)
		probe(t, m)
		fill(m, 0, 0, 0, 0, 0)
	})
	m.OnOwnerDeath(nil)
}
