package proctest

import (
	"errors"
	"os"
	"runtime"
	"testing"
	"time"

	"interlock/internal/region"
	"interlock/internal/sigbus"
)

// Known has mem known to the library as memory that shm has mapped is.
func Known(mem []byte) []byte {
	lo := address(mem)
	region.Mapped(lo, lo+uintptr(len(mem)))
	return mem
}

// Truncate does what a hostile peer does to a file that others have mapped.
func Truncate(t testing.TB, f *os.File, size int64) {
	t.Helper()
	if err := f.Truncate(size); err != nil {
		t.Fatal(err)
	}
}

// Gone calls f, which touches memory that was truncated. f may return
// region.ErrTruncated, or panic with it or with the run-time error of a memory
// fault; that the test goes on is the point.
func Gone(t testing.TB, what string, f func() error) {
	t.Helper()
	ended := make(chan error, 1)
	before := sigbus.Faults()
	go func() {
		defer func() {
			switch r := recover().(type) {
			case nil:
			case runtime.Error:
				if sigbus.IsFault(r, before) {
					ended <- region.ErrTruncated
					return
				}
				ended <- r
			case error:
				ended <- r
			}
		}()
		ended <- f()
	}()
	select {
	case err := <-ended:
		if !errors.Is(err, region.ErrTruncated) {
			t.Errorf("%s, in truncated memory: %v", what, err)
		}
	case <-time.After(Breach):
		t.Errorf("%s, in truncated memory, hangs", what)
	}
}
