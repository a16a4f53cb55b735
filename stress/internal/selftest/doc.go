// Package selftest asks whether stress can fail: it builds deliberately broken
// variants of the library's own source and runs them. A harness that passes a
// lock without a lock proves nothing about one with.
//
//	mutants.go  the broken variants, each a few exact replacements
//	overlay.go  applies them to copies, for go build -overlay
//	diff.go     a patch of the user's, in their place
//	patch.go    tries it
//	run.go      runs: first the sound library, which must pass, then each mutant
//
// Nothing in the source tree is written to.
package selftest
