// Package futex is the Linux kernel's wait and wake, typed, for words in
// memory that processes share.
//
// A futex is any aligned 32-bit word. Wait puts the caller to sleep if the word
// still holds the value the caller saw; Wake rouses sleepers. The kernel finds
// sleepers by the page behind the address, so each process may have the word
// mapped at its own address. Every call here is of the shared kind; the
// private kind, which Go's runtime and most locks use, never wakes another
// process (P-G5).
//
// # F1: why no wake-up is lost
//
// Without the comparison inside the kernel, a waiter can sleep through its wake:
//
//	waiter                         waker
//	sees word == 1
//	                               word = 0
//	                               wake: nobody sleeps
//	sleeps for ever
//
// Wait therefore names the value it saw, and the kernel compares and queues
// under one lock, the same lock that Wake takes:
//
//	waiter                         waker
//	sees word == 1
//	                               word = 0            (a)
//	                               wake: lock, look    (b)
//	wait(1): lock, word is 0,
//	  unlock, returns at once
//
//	or  wait(1): lock, word is 1, queue, unlock, sleep
//	                               word = 0            (a)
//	                               wake: lock, finds the waiter
//
// If the waiter took the kernel's lock after (b), then (a) is visible to its
// comparison; if before, (b) finds it queued. Hence the one rule for every
// waker: change the word first, then wake. Every primitive of this module
// refers to this argument as F1.
//
// What F1 does not cover is death: a waker killed between (a) and (b) wakes
// nobody, and a waiter killed after it was woken has used up a wake meant for
// someone. The primitives close both with a periodic look (internal/park).
//
// # Ways to sleep
//
//	Wait               until a wake
//	WaitContext        or until a context is done
//	Sleeper.Sleep      or until this process calls Rouse
//	Sleeper.SleepFor   or until a limit is over
//	Sleeper.SleepAny   on up to 127 words at once; needs futex_waitv
//
// A wake that is used up is always reported as a wake, whatever comes with it.
// Only SleepAny, if several of its words are woken at once, reports one for all.
//
// # What a dying process leaves
//
// Nothing: the kernel takes its sleepers off the queue. A wake it had already
// received is gone with it.
package futex
