//go:build !marks

package mark

// Enabled reports whether the build tag marks is set.
const Enabled = false

// At is empty in this build.
func At(name string) {}

// Arm panics in this build: a test that needs a mark would pass without it.
func Arm(spec string) { panic("mark: Arm needs -tags marks") }

// Watch panics in this build: there is nothing to be seen.
func Watch(f func(name string)) { panic("mark: Watch needs -tags marks") }

// Hits returns nil in this build.
func Hits() map[string]int { return nil }
