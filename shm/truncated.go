package shm

import "fmt"

// Truncated returns nil while the object backs all of the memory, and an error
// that is ErrTruncated once somebody has made it shorter. SealShrink makes that
// impossible.
//
// What happens to those who touch memory beyond the object's end: the goroutine,
// in a call of this module or in a read or write of its own, panics with a
// runtime.Error, and can recover; a call that waits there at the time returns an
// error that is ErrTruncated, or panics with one if it returns no errors. The
// process goes on, and so does all that lies in other memory. What the missing
// pages held is lost: close the segment, and open or create it again.
//
// The answer can be out of date when it arrives. An object that was made shorter
// and longer again counts as whole; what its pages held is zeros.
//
// Errors: ErrTruncated, ErrClosed.
func (s *Segment) Truncated() error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.mem == nil {
		return fmt.Errorf("shm: Truncated %s: %w", s.label, ErrClosed)
	}
	if s.isSysV {
		return nil // its size is fixed (P-K14)
	}
	st, err := fstat(s.file)
	if err != nil {
		return fmt.Errorf("shm: Truncated %s: %w", s.label, err)
	}
	if st.Size < s.size {
		return fmt.Errorf("shm: Truncated %s: %w: %d bytes of %d are left; close it and open or create it again", s.label, ErrTruncated, st.Size, s.size)
	}
	return nil
}
