//go:build !amd64 && !arm64

package spin

// Pause does nothing here: this architecture has no stub yet. Callers bound
// their spinning by rounds, so they only give up sooner.
func Pause(n uint32) {}
