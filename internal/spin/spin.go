// Package spin lets a waiter that is about to succeed stay on its CPU cheaply.
//
// The language has no PAUSE (P-G7), and the runtime's own procyield can only be
// reached by linkname, which a Go release may break. So there is one assembly
// stub per architecture, of one instruction in a loop, and a fallback for the
// others.
package spin
