// Package shm makes, opens and maps memory that several processes share.
//
// There are two kinds of segment, told apart by who owns byte 0.
//
//	raw    Create, Open, OpenOrCreate, Memfd, Sealed, OpenFile, FromFile,
//	       Receive, SysVCreate, SysVOpen, SysVOpenID
//	       Byte 0 is yours. This package never writes into the memory, and a C
//	       program that used shm_open and mmap can be on the other side.
//	typed  Share
//	       A header in front of T lets in only programs that agree on T.
//
// A *Segment is this process's view: Bytes is the mapping, At and Slice lay a
// pointer-free type over it, Close unmaps it. The object itself lives until
// somebody calls Remove or SysVRemove (or, for a Memfd, until its last view is
// gone).
// Nothing is removed on Close or at exit: no process can know that it was the
// last one (P-M12).
//
// # Crashes
//
// A process may be killed at any instruction. An object appears under its
// name complete — sized, reserved, initialised, with its final permissions —
// or not at all; a dead initialiser's work disappears with it and the next
// caller starts over on zeroed memory. publish.go has the steps and what a
// kill after each one leaves. (A System V segment cannot do that: others may find
// it before it is initialised, see SysVCreate.)
//
// # Trust
//
// Whoever may write the object may write anything into it, at any time, and
// may also truncate it; a touch beyond the new end then panics (P-K6: with
// SIGBUS, a Go program would end; see Segment.Truncated). Give names a Mode that
// admits only peers you trust, and share with others by descriptor: Seal and
// RequireSeals keep a memfd's size, Sealed its bytes too, and ReadOnlyFile lets a
// peer look and not touch. A header is read as a copy, checked, and never indexed
// by: bad bytes are an error, never a crash.
//
// # Size
//
// A segment keeps the size that it was made with; there is no call to change it.
// Every process has mapped the length that it found, and holds pointers into
// that: longer, the object would be long for who comes later only; shorter, it
// would pull pages from under all the others (P-K6). Who needs more room makes a
// second segment, fills it, tells its name where the readers look already (a
// Seqlock in the first will do), and Removes the first when List shows nobody in
// it any more.
//
// # Memory that is really there
//
// Every object made here is reserved with fallocate. A full /dev/shm is an
// error from Create, not a SIGBUS at the first touch (P-K5), and so is, above a
// MiB, what the memory limit of a container does not leave room for, where the
// reservation itself would wake the OOM killer. Objects made by
// others are mapped as they are. Only System V segments cannot be reserved:
// see SysVCreate.
//
// # Errors
//
// What another process, the kernel or a file can cause is an error for
// errors.Is, with the name and what to do next. See the Err variables.
package shm
