// Package arena is the control segment of one stress run: the memory that
// the supervisor and every worker process share, apart from the primitives
// under test.
//
// It is a plain memfd that workers inherit as descriptor 3. It deliberately
// uses nothing of the library it tests: a broken mutex must not be able to
// hide behind a broken harness.
//
//	offset        what           who writes it
//	0             Header         the supervisor; workers only faults
//	+Header       Grave ring     the supervisor; a repairer stamps Repaired
//	+Graves       Points         the supervisor
//	+Points       Slot, Lanes…   its worker; the supervisor once it is dead
//	   … one such group per worker process …
//	+groups       rings          its lane
//	page aligned  Area           the scenario
//
// Everything a killed process may leave half done is a typed atomic word, so
// that whoever looks afterwards reads a value that was really stored.
package arena
