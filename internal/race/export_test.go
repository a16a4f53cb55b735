//go:build !race

package race

// Known reports whether addr leads to a shadow.
func Known(addr uintptr) bool { return false }

// Shadows counts the addresses in the table, and the shadows that they lead to.
func Shadows() (addresses, shadows int) { return 0, 0 }

// Parse reads a line of /proc/self/maps.
func Parse(line string) (lo, hi uintptr, file string, offset uint64) { return 0, 0, "", 0 }
