// Package robust is the layout of a robust futex word as the kernel and glibc
// have it. A change here would change what is frozen in shared memory and in
// the kernel: there is none to make.
//
//	 31        30          29                                   0
//	+---------+------------+-------------------------------------+
//	| WAITERS | OWNER_DIED |             owner TID               |
//	+---------+------------+-------------------------------------+
package robust

const (
	Waiters   = 1 << 31   // somebody may sleep on the word
	OwnerDied = 1 << 30   // the owner died inside; the kernel, or a look, clears the TID with it (P-K2)
	TIDMask   = 1<<30 - 1 // the owner's thread, in its PID namespace

	// ListLimit is how many entries of a dead thread's list the kernel walks (P-K1).
	ListLimit = 2048
)

// Offsets in the 40 bytes of glibc's pthread_mutex_t on 64-bit Linux.
const (
	OffWord  = 0
	OffOwner = 8
	OffKind  = 16
	OffPrev  = 24
	OffNext  = 32

	Size = 40
)

// What glibc writes into the field owner instead of a TID.
const (
	Inconsistent   = 1<<31 - 1 // held by one who took over an orphan and has not repaired it
	NotRecoverable = 1<<31 - 2 // nobody will ever hold it again
)
