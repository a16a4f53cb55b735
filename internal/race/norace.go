//go:build !race

package race

// Enabled reports whether this is a -race build.
const Enabled = false

// Acquire does nothing in this build.
func Acquire(addr uintptr) {}

// Release does nothing in this build.
func Release(addr uintptr) {}

// ReleaseMerge does nothing in this build.
func ReleaseMerge(addr uintptr) {}

// Forget does nothing in this build.
func Forget(lo, hi uintptr) {}

// Hide does nothing in this build.
func Hide() {}

// Show does nothing in this build.
func Show() {}
