//go:build race

package race

// Known reports whether addr leads to a shadow.
func Known(addr uintptr) bool {
	_, ok := byAddr.Load(addr)
	return ok
}

// Shadows counts the addresses in the table, and the shadows that they lead to.
func Shadows() (addresses, shadows int) {
	byAddr.Range(func(_, _ any) bool { addresses++; return true })
	byPlace.Range(func(_, _ any) bool { shadows++; return true })
	return addresses, shadows
}

// Parse reads a line of /proc/self/maps.
func Parse(line string) (lo, hi uintptr, file string, offset uint64) {
	lo, hi = bounds(line)
	p := start(line)
	return lo, hi, p.file, p.offset
}
