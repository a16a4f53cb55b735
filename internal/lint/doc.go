// Package lint holds the house rules of this module, as tests. Run it with
//
//	go test ./internal/lint
//
// A rule is a function from one Go file, or from all of them, to findings; its
// test feeds it a snippet that must be flagged and one that must not, since a rule
// that cannot fail says nothing. Two rules can be bent in place, by a comment on the
// line, or on the one above, that gives the reason:
//
//	time.Sleep(pause) // no event tells when ...
//
//	// private: only this process has addr
//	call(addr, opWake|opPrivate, 1)
package lint
