// What holds of seals on huge pages: SealShrink keeps nobody from punching holes,
// whose pages others may take, so alone it does not count. None of this needs a
// page in the pool: what is refused is never mapped.
package shm

import (
	"errors"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// hugeFile is a memfd of one huge page that is not reserved, as a peer may make it.
func hugeFile(t *testing.T, seals Seals) (*os.File, int64) {
	t.Helper()
	f, err := memfd("huge", unix.MFD_HUGETLB)
	if err != nil {
		t.Skip("no memfds of huge pages: ", err)
	}
	t.Cleanup(func() { f.Close() })
	page := pageSizeOf(f)
	_, err = unix.FcntlInt(f.Fd(), unix.F_ADD_SEALS, int(seals))
	if err := errors.Join(f.Truncate(page), err); err != nil {
		t.Fatal(err)
	}
	return f, page
}

func TestSealsOfHugePages(t *testing.T) { // T71
	for _, x := range []struct {
		seals Seals
		safe  bool
	}{
		{SealShrink, false},
		{SealShrink | SealGrow | SealSeal, false},
		{SealShrink | SealFutureWrite, true},
		{SealShrink | SealWrite, true},
		{sealedFor, true},
	} {
		f, page := hugeFile(t, x.seals&^SealGrow&^SealSeal)
		if _, err := unix.FcntlInt(f.Fd(), unix.F_ADD_SEALS, int(x.seals)); err != nil {
			t.Fatal(err)
		}
		// The premise: which seals forbid holes.
		hole := unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, 0, page)
		if x.safe != errors.Is(hole, unix.EPERM) {
			t.Errorf("%v: to punch a hole: %v", x.seals, hole)
		}
		a, b := pair(t, unix.SOCK_STREAM)
		rawSend(t, a, "x", int(f.Fd()))
		r, e1 := Receive(b, ReadOnly)
		s, e2 := FromFile(f, ReadOnly, RequireSeals(SealShrink))
		r.safeClose()
		s.safeClose()
		for _, err := range []error{e1, e2} {
			if refused := errors.Is(err, ErrUnsealed); refused == x.safe {
				t.Errorf("%v: %v", x.seals, err)
			}
			if !x.safe && !strings.Contains(errText(err), "SealFutureWrite") {
				t.Errorf("%v: %v does not say what to do", x.seals, err)
			}
		}
		// Who does not ask for SealShrink does not get the answer.
		s, err := FromFile(f, ReadOnly, RequireSeals(x.seals&^SealShrink))
		s.safeClose()
		if errors.Is(err, ErrUnsealed) {
			t.Error(err)
		}
	}
}
