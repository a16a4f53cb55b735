//go:build !amd64 && !arm64

package sigbus

// install: no handler is written for this architecture, and faults stay what they
// are: the goroutines of this module that look at shared memory on their own say
// debug.SetPanicOnFault, and so may the program.
func install() {}
