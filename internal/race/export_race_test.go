//go:build race

package race

// Known reports whether addr has a shadow.
func Known(addr uintptr) bool {
	_, ok := shadows.Load(addr)
	return ok
}
