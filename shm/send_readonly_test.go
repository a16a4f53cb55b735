// What holds of a segment that is handed out read-only while its maker goes on
// writing:
//   - a descriptor of ReadOnlyFile alone keeps another user from writing, and the
//     same user only until he reopens it;
//   - with the four seals nobody can write or resize it, by that descriptor or by
//     the maker's own;
//   - the maker writes on, and readers of a seqlock follow it through the
//     read-only view.
//
// The burglar is a process that tries every way in.
package shm

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"interlock/seqlock"
)

// burgle lets a burglar at f, and returns what it could do.
func burgle(t *testing.T, m *Segment, f *os.File, edit func(*exec.Cmd)) []string {
	t.Helper()
	lo, _ := span(m.Bytes()[5000:])
	cmd := child(t, "burglar", strconv.Itoa(int(m.File().Fd())), strconv.Itoa(int(lo)))
	cmd.ExtraFiles = []*os.File{f}
	edit(cmd)
	out := strings.TrimSpace(mustRun(t, cmd))
	if out == "" {
		return nil
	}
	return strings.Split(out, "\n")
}

const readOnlySeals = SealShrink | SealGrow | SealFutureWrite | SealSeal

func TestWhoCanWriteIntoWhatWasHandedOutReadOnly(t *testing.T) {
	sameUser := func(*exec.Cmd) {}
	anotherUser := func(cmd *exec.Cmd) { unprivileged(t, cmd) }
	for _, x := range []struct {
		what     string
		seals    Seals
		readOnly bool
		who      func(*exec.Cmd)
		can      []string // at least; nil: nothing at all
	}{
		{"the writable descriptor", 0, false, sameUser, []string{"write", "map", "mprotect", "madvise(MADV_REMOVE)", "punch a hole", "grow", "shrink", "seal"}},
		{"a read-only descriptor, same user", 0, true, sameUser, []string{"reopened write", "reopened map", "reopened shrink", "the maker's write"}},
		{"a read-only descriptor, another user", 0, true, anotherUser, nil},
		{"a read-only descriptor and seals, same user", readOnlySeals, true, sameUser, nil},
		{"a read-only descriptor and seals, another user", readOnlySeals, true, anotherUser, nil},
		{"the writable descriptor and seals", readOnlySeals, false, sameUser, nil},
		// What the other three seals are for.
		{"only SealFutureWrite", SealFutureWrite, false, sameUser, []string{"grow", "shrink", "seal"}},
	} {
		t.Run(x.what, func(t *testing.T) {
			if strings.HasSuffix(x.what, "another user") && os.Getuid() != 0 {
				t.Skip("needs root, to become another user")
			}
			m := must[*Segment](t)(Memfd("m", 8192))
			defer closeNow(t, m)
			copy(m.Bytes(), "mine")
			if err := m.Seal(x.seals); err != nil {
				t.Fatal(err)
			}
			f := m.File()
			if x.readOnly {
				f = must[*os.File](t)(m.ReadOnlyFile())
				defer f.Close()
			}
			could := burgle(t, m, f, x.who)
			for _, way := range x.can {
				if !slices.Contains(could, way) {
					t.Errorf("the burglar could not %q, so it proves nothing; it could %q", way, could)
				}
			}
			if x.can != nil {
				return
			}
			if !strings.HasSuffix(x.what, "another user") { // yama may forbid it or not
				could = slices.DeleteFunc(could, func(way string) bool { return way == throughTheMaker })
			}
			if len(could) > 0 {
				t.Errorf("the burglar could %q", could)
			}
			st := must[unix.Stat_t](t)(fstat(m.File()))
			if st.Size != 8192 || string(m.Bytes()[:4]) != "mine" {
				t.Errorf("%d bytes, %q", st.Size, m.Bytes()[:4])
			}
			m.Bytes()[0] = 'M' // the maker can still write
			if b := make([]byte, 1); errOf(m.File().ReadAt(b, 0)) != nil || b[0] != 'M' {
				t.Error("its writes do not arrive")
			}
		})
	}
}

// A seqlock in a segment that its reader has read-only.
type quotes = seqlock.Seqlock[[16]uint64]

func init() {
	// Descriptor 3 is read-only. Reads until it has seen 1,000 values.
	children["live-reader"] = func([]string) error {
		s, err := FromFile(os.NewFile(3, "live"), ReadOnly)
		if err != nil {
			return err
		}
		q, err := At[quotes](s.Bytes(), 0)
		if err != nil {
			return err
		}
		if err := q.Store(bg, &[16]uint64{}); !errors.Is(err, seqlock.ErrReadOnly) {
			return fmt.Errorf("a Store: %w", err)
		}
		var v, old [16]uint64
		for seen := 0; seen < 1000; {
			if err := q.Load(context.Background(), &v); err != nil {
				return err
			}
			for _, x := range v {
				if x != v[0] || x < old[0] {
					return fmt.Errorf("torn, or older than %d: %v", old[0], v)
				}
			}
			if v != old {
				seen++
			}
			old = v
		}
		return s.Close()
	}
}

func TestReadersFollowAWriterThroughAReadOnlyView(t *testing.T) {
	for _, seals := range []Seals{0, readOnlySeals} {
		t.Run(seals.String(), func(t *testing.T) {
			m := must[*Segment](t)(Memfd("live", 4096))
			defer closeNow(t, m)
			q := must[*quotes](t)(At[quotes](m.Bytes(), 0))
			if err := m.Seal(seals); err != nil {
				t.Fatal(err)
			}
			f := must[*os.File](t)(m.ReadOnlyFile())
			defer f.Close()
			cmd := child(t, "live-reader")
			cmd.ExtraFiles = []*os.File{f}
			end := make(chan error, 1)
			go func() { end <- cmd.Run() }()
			for i := uint64(1); ; i++ {
				select {
				case err := <-end:
					if err != nil {
						t.Error(err)
					}
					return
				default:
				}
				var v [16]uint64
				for j := range v {
					v[j] = i
				}
				if err := q.Store(bg, &v); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

func TestReadOnlyFile(t *testing.T) {
	name := newName(t)
	for _, s := range []*Segment{
		must[*Segment](t)(Memfd("m", 64)),
		must[*Segment](t)(Create(name, 64)),
		must[*Segment](t)(Open(name, ReadOnly)),
	} {
		leavesNoDescriptor(t, s.label, func() {
			f := must[*os.File](t)(s.ReadOnlyFile())
			flags := must[int](t)(unix.FcntlInt(f.Fd(), unix.F_GETFD, 0))
			if isWritable(f) || flags&unix.FD_CLOEXEC == 0 || f.Fd() == s.File().Fd() {
				t.Error("writable, inherited, or not its own")
			}
			v := must[*Segment](t)(FromFile(f, ReadOnly))
			f.Close()
			closeNow(t, v)
		})
		closeNow(t, s)
		if _, err := s.ReadOnlyFile(); !errors.Is(err, ErrClosed) {
			t.Error(err)
		}
	}
}

func init() {
	// Descriptor 3 is another user's, open for writing.
	children["denied"] = func([]string) error {
		s, err := FromFile(os.NewFile(3, "theirs"), ReadOnly)
		if err != nil {
			return err
		}
		if _, err := s.ReadOnlyFile(); !errors.Is(err, os.ErrPermission) || !strings.Contains(err.Error(), "Mode") {
			return fmt.Errorf("reopened: %w", err)
		}
		return s.Close()
	}
}

// Who may not open the object again is told, and gets no writable descriptor
// instead.
func TestReadOnlyFileOfAnotherUser(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root, to become another user")
	}
	m := must[*Segment](t)(Memfd("m", 64))
	defer closeNow(t, m)
	cmd := child(t, "denied")
	cmd.ExtraFiles = []*os.File{m.File()}
	unprivileged(t, cmd)
	mustRun(t, cmd)
}

func init() {
	children["without proc"] = func([]string) error {
		if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
			return fmt.Errorf("mount: %w", err)
		}
		fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		var ends [2]*net.UnixConn
		for i, fd := range fds {
			c, err := net.FileConn(os.NewFile(uintptr(fd), "socket"))
			if err != nil {
				return err
			}
			ends[i] = c.(*net.UnixConn)
			ends[i].SetDeadline(time.Now().Add(30 * time.Second))
		}
		if err := unix.Mount("none", "/proc", "tmpfs", 0, ""); err != nil {
			return fmt.Errorf("mount: %w", err)
		}
		s, err := Sealed("s", []byte("immutable"))
		if err != nil {
			return err
		}
		if err := Send(ends[0], s); err != nil {
			return err
		}
		r, err := Receive(ends[1], ReadOnly, RequireSeals(sealedFor))
		if err != nil || string(r.Bytes()) != "immutable" {
			return fmt.Errorf("received: %w", err)
		}
		if _, err := s.ReadOnlyFile(); !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("a descriptor for reading only: %w", err)
		}
		// What can still be changed is not sent for writing instead.
		m, err := Memfd("m", 64)
		if err != nil {
			return err
		}
		for _, seals := range []Seals{SealShrink, SealShrink | SealGrow | SealFutureWrite | SealSeal} {
			if err := m.Seal(seals); err != nil {
				return err
			}
			if err := Send(ends[0], m, ReadOnly); !errors.Is(err, os.ErrNotExist) {
				return fmt.Errorf("sent with %v: %w", seals, err)
			}
		}
		return nil
	}
}

// What nobody can change needs no descriptor for reading only, which only /proc can
// make.
func TestSendWithoutProc(t *testing.T) { inMounts(t, "without proc") }
