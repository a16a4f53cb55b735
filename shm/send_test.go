// What holds of Send and Receive (T72):
//   - over stream, packet and datagram sockets, what arrives is the object itself,
//     one Receive for one Send, in order;
//   - what must not be mapped is refused, and says why;
//   - whatever arrives, and however the call ends, no descriptor is left;
//   - deadlines, EOF and closed connections are told apart;
//   - Close during Send never makes it send something else.
package shm

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

var socketTypes = []struct {
	name string
	typ  int
}{{"stream", unix.SOCK_STREAM}, {"packets", unix.SOCK_SEQPACKET}, {"datagrams", unix.SOCK_DGRAM}}

// pair returns the two ends of a connection.
func pair(t testing.TB, typ int) (a, b *net.UnixConn) {
	t.Helper()
	fds := must[[2]int](t)(unix.Socketpair(unix.AF_UNIX, typ|unix.SOCK_CLOEXEC, 0))
	end := func(fd int) *net.UnixConn {
		f := os.NewFile(uintptr(fd), "socket")
		defer f.Close()
		c := must[net.Conn](t)(net.FileConn(f)).(*net.UnixConn)
		c.SetDeadline(time.Now().Add(time.Minute)) // nothing hangs for ever
		t.Cleanup(func() { c.Close() })
		return c
	}
	return end(fds[0]), end(fds[1])
}

// leavesNoDescriptor runs f, which must close whatever it opens.
func leavesNoDescriptor(t testing.TB, what string, f func()) {
	t.Helper()
	before := openDescriptors()
	f()
	if after := openDescriptors(); after != before {
		t.Errorf("%s: descriptors before: %s\nafter: %s", what, before, after)
	}
}

// sendable is a memfd that Receive takes.
func sendable(t testing.TB) *Segment {
	t.Helper()
	m := must[*Segment](t)(Memfd("sendable", 4096))
	t.Cleanup(func() { closeNow(t, m) })
	if err := m.Seal(SealShrink); err != nil {
		t.Fatal(err)
	}
	return m
}

func TestWhatIsSentIsTheObjectItself(t *testing.T) { // T72
	for _, x := range socketTypes {
		t.Run(x.name, func(t *testing.T) {
			a, b := pair(t, x.typ)
			m := sendable(t)
			leavesNoDescriptor(t, x.name, func() {
				if err := Send(a, m); err != nil {
					t.Fatal(err)
				}
				r := must[*Segment](t)(Receive(b))
				flags := must[int](t)(unix.FcntlInt(r.File().Fd(), unix.F_GETFD, 0))
				if flags&unix.FD_CLOEXEC == 0 {
					t.Error("the descriptor would leak into programs")
				}
				r.Bytes()[4095] = 3
				closeNow(t, r)
			})
			if m.Bytes()[4095] != 3 {
				t.Error("not shared")
			}
		})
	}
}

func TestSeveralMayWait(t *testing.T) { // T72
	for _, x := range socketTypes {
		t.Run(x.name, func(t *testing.T) {
			a, b := pair(t, x.typ)
			leavesNoDescriptor(t, x.name, func() {
				for i := range 5 {
					m := must[*Segment](t)(Sealed("m", []byte{byte(i)}))
					if err := Send(a, m); err != nil {
						t.Fatal(err)
					}
					closeNow(t, m) // on its way it keeps itself
				}
				for i := range 5 {
					r := must[*Segment](t)(Receive(b, ReadOnly, RequireSeals(sealedFor)))
					if r.Bytes()[0] != byte(i) {
						t.Errorf("number %d came as number %d", r.Bytes()[0], i)
					}
					closeNow(t, r)
				}
			})
		})
	}
}

// rawSend sends data and descriptors as any program may, good or bad.
func rawSend(t testing.TB, c *net.UnixConn, data string, fds ...int) {
	t.Helper()
	var control []byte
	if len(fds) > 0 {
		control = unix.UnixRights(fds...)
	}
	if _, _, err := c.WriteMsgUnix([]byte(data), control, nil); err != nil {
		t.Fatal(err)
	}
}

// What a message may bring, and what Receive says to it.
func badMessages(t *testing.T) []badMessage {
	fd := func(f *os.File, err error) int {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		return int(f.Fd())
	}
	good := sendable(t)
	unsealed := must[*Segment](t)(Memfd("unsealed", 64))
	named := must[*Segment](t)(Create(newName(t), 64))
	t.Cleanup(func() { closeNow(t, unsealed); closeNow(t, named) })
	empty := must[*os.File](t)(memfd("empty", 0))
	unix.FcntlInt(empty.Fd(), unix.F_ADD_SEALS, unix.F_SEAL_SHRINK)
	r, w, _ := os.Pipe()
	t.Cleanup(func() { w.Close() })
	opath := must[int](t)(unix.Open(fmt.Sprintf("/proc/self/fd/%d", good.File().Fd()), unix.O_PATH|unix.O_CLOEXEC, 0))
	g := int(good.File().Fd())
	many := func(n int) []int { return bytesOf(n, g) }
	return []badMessage{
		{"no descriptor", nil, nil, fs.ErrInvalid, "0 descriptors"},
		{"2 descriptors", many(2), nil, fs.ErrInvalid, "2 descriptors"},
		{"253 descriptors", many(253), nil, fs.ErrInvalid, "253 descriptors"},
		{"a memfd and a pipe", []int{g, int(w.Fd())}, nil, fs.ErrInvalid, "2 descriptors"},
		{"a pipe", []int{fd(r, nil)}, nil, fs.ErrInvalid, "FIFO"},
		{"a directory", []int{fd(os.Open("/"))}, nil, fs.ErrInvalid, "directory"},
		{"a device", []int{fd(os.OpenFile("/dev/zero", os.O_RDWR, 0))}, nil, fs.ErrInvalid, "device"},
		{"an O_PATH descriptor", []int{fd(os.NewFile(uintptr(opath), "path"), nil)}, nil, fs.ErrInvalid, "O_PATH"},
		{"an unsealed memfd", []int{int(unsealed.File().Fd())}, nil, ErrUnsealed, "lacks SealShrink"},
		{"an object with a name", []int{int(named.File().Fd())}, nil, ErrUnsealed, "AllowUnsealed"},
		{"a file", []int{fd(os.Create(filepath.Join(t.TempDir(), "f")))}, nil, ErrUnsealed, "no memfd"},
		{"an empty memfd", []int{fd(empty, nil)}, nil, ErrNotReady, "size 0"},
		{"a read-only descriptor", []int{fd(good.ReadOnlyFile())}, nil, unix.EACCES, "shm.ReadOnly"},
		{"seals too few", []int{g}, []Option{RequireSeals(SealGrow)}, ErrUnsealed, "lacks SealGrow"},
		{"seals too few, SealShrink too", []int{int(unsealed.File().Fd())}, []Option{RequireSeals(SealGrow)}, ErrUnsealed, "lacks SealShrink|SealGrow"},
	}
}

type badMessage struct {
	what string
	fds  []int
	opts []Option
	want error
	says string
}

func bytesOf(n, fd int) []int {
	fds := make([]int, n)
	for i := range fds {
		fds[i] = fd
	}
	return fds
}

func TestWhatMustNotBeMappedIsRefused(t *testing.T) { // T72
	for _, x := range socketTypes {
		t.Run(x.name, func(t *testing.T) {
			a, b := pair(t, x.typ)
			for _, m := range badMessages(t) {
				leavesNoDescriptor(t, m.what, func() {
					rawSend(t, a, "x", m.fds...)
					s, err := Receive(b, m.opts...)
					if !errors.Is(err, m.want) || !strings.Contains(err.Error(), m.says) {
						t.Errorf("%s: %v", m.what, err)
					}
					s.safeClose()
				})
			}
			// The socket is as good as before.
			if err := Send(a, sendable(t)); err != nil {
				t.Fatal(err)
			}
			closeNow(t, must[*Segment](t)(Receive(b)))
		})
	}
}

func TestAllowUnsealed(t *testing.T) {
	a, b := pair(t, unix.SOCK_STREAM)
	named := must[*Segment](t)(Create(newName(t), 64))
	defer closeNow(t, named)
	unsealed := must[*Segment](t)(Memfd("unsealed", 64))
	defer closeNow(t, unsealed)
	leavesNoDescriptor(t, "AllowUnsealed", func() {
		for _, m := range []*Segment{named, unsealed} {
			if err := Send(a, m); err != nil {
				t.Fatal(err)
			}
			r := must[*Segment](t)(Receive(b, AllowUnsealed))
			r.Bytes()[1] = 9
			closeNow(t, r)
			if m.Bytes()[1] != 9 {
				t.Error("not shared")
			}
		}
	})
	for _, opts := range [][]Option{{AllowUnsealed, RequireSeals(SealGrow)}, {Mode(0o600)}, {HugePages}} {
		if _, err := Receive(b, opts...); !errors.Is(err, fs.ErrInvalid) { // nothing was read, or it would wait
			t.Error(err)
		}
	}
	if err := Send(a, unsealed, AllowUnsealed); !errors.Is(err, fs.ErrInvalid) {
		t.Error(err)
	}
}

// What a ReadOnly segment is sent as cannot be mapped writable.
func TestReadOnlyIsSentReadOnly(t *testing.T) {
	a, b := pair(t, unix.SOCK_SEQPACKET)
	m := sendable(t)
	view := must[*Segment](t)(FromFile(m.File(), ReadOnly)) // by a descriptor that is open for writing
	defer closeNow(t, view)
	sealed := must[*Segment](t)(Sealed("s", []byte("x")))
	defer closeNow(t, sealed)
	leavesNoDescriptor(t, "read-only", func() {
		for i, err := range []error{Send(a, view), Send(a, m, ReadOnly), Send(a, sealed)} {
			if err != nil {
				t.Fatal(err)
			}
			r := must[*Segment](t)(Receive(b, ReadOnly))
			if isWritable(r.File()) {
				t.Errorf("number %d came writable", i)
			}
			if err := Send(a, r); err != nil { // and goes on so
				t.Fatal(err)
			}
			closeNow(t, r)
			if _, err := Receive(b); !errors.Is(err, unix.EACCES) {
				t.Errorf("number %d: %v", i, err)
			}
		}
	})
}

func TestPacketsOfOtherLengths(t *testing.T) {
	for _, x := range socketTypes {
		t.Run(x.name, func(t *testing.T) {
			a, b := pair(t, x.typ)
			fd := int(sendable(t).File().Fd())
			leavesNoDescriptor(t, x.name, func() {
				rawSend(t, a, "hello", fd)
				s, err := Receive(b)
				defer s.safeClose()
				if x.typ == unix.SOCK_STREAM { // what follows the byte is still there
					rest := make([]byte, 4)
					if _, readErr := io.ReadFull(b, rest); readErr != nil || err != nil || !bytes.Equal(rest, []byte("ello")) {
						t.Error(err, readErr, rest)
					}
				} else if !errors.Is(err, fs.ErrInvalid) || !strings.Contains(err.Error(), "more than 1 byte") {
					t.Error(err)
				}
			})
		})
	}
}
