// What holds at the ends and limits of Send and Receive (T72): closed
// connections, deadlines, too many descriptors, Close at the same time.
package shm

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestTheEndOfAConnection(t *testing.T) { // T72
	m := sendable(t)
	for _, x := range socketTypes[:2] { // datagrams have no end
		a, b := pair(t, x.typ)
		a.Close()
		if _, err := Receive(b); !errors.Is(err, io.EOF) {
			t.Errorf("%s: %v", x.name, err)
		}
		leavesNoDescriptor(t, x.name, func() {
			if err := Send(b, m); !errors.Is(err, unix.EPIPE) {
				t.Errorf("%s: %v", x.name, err)
			}
		})
	}
	a, b := pair(t, unix.SOCK_STREAM)
	leavesNoDescriptor(t, "deadlines", func() {
		b.SetReadDeadline(time.Now().Add(10 * time.Millisecond))
		if _, err := Receive(b); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Error(err)
		}
		a.SetWriteDeadline(time.Now().Add(50 * time.Millisecond))
		var err error
		for err == nil { // until nothing fits any more
			err = Send(a, m)
		}
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Error(err)
		}
	})
	go func() { time.Sleep(10 * time.Millisecond); b.Close() }()
	b.SetReadDeadline(time.Time{})
	for err := error(nil); !errors.Is(err, net.ErrClosed); {
		var s *Segment
		if s, err = Receive(b); err == nil {
			closeNow(t, s)
		} else if !errors.Is(err, net.ErrClosed) {
			t.Fatal(err)
		}
	}
	none := &net.UnixConn{}
	for _, err := range []error{errOf(Receive(none)), Send(none, m)} {
		if !errors.Is(err, unix.EINVAL) {
			t.Error(err)
		}
	}
	var zero Segment
	if err := Send(a, &zero); !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
	if _, err := zero.ReadOnlyFile(); !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
}

// The kernel puts more into a message than the peer, if it was asked to.
func TestWhatElseTheKernelSends(t *testing.T) {
	const soPasspidfd = 76
	for option, what := range map[int]string{unix.SO_PASSCRED: "credentials", soPasspidfd: "a pidfd"} {
		a, b := pair(t, unix.SOCK_STREAM)
		var optErr error
		err := control(b, func(s int) { optErr = unix.SetsockoptInt(s, unix.SOL_SOCKET, option, 1) })
		if err = errors.Join(err, optErr); err != nil {
			t.Logf("%s: skipped: %v", what, err)
			continue
		}
		m := sendable(t)
		leavesNoDescriptor(t, what, func() {
			for range 3 {
				if err := Send(a, m); err != nil {
					t.Fatal(err)
				}
				closeNow(t, must[*Segment](t)(Receive(b)))
			}
		})
	}
}

func control(c *net.UnixConn, f func(fd int)) error {
	raw, err := c.SyscallConn()
	if err == nil {
		err = raw.Control(func(fd uintptr) { f(int(fd)) })
	}
	return err
}

func init() {
	// Descriptor 3 is a socket, on which a message of 253 descriptors waits,
	// and a good one behind it.
	children["full"] = func([]string) error {
		c, err := inheritedConn(3)
		if err != nil {
			return err
		}
		for _, room := range []uint64{20, 0} { // some arrive, and none
			before := openDescriptors()
			limit := unix.Rlimit{Cur: uint64(lowestFree()) + room, Max: 4096}
			if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
				return err
			}
			if _, err := Receive(c); !errors.Is(err, unix.EMFILE) || !strings.Contains(err.Error(), "ulimit -n") {
				return fmt.Errorf("with room for %d: %w", room, err)
			}
			limit.Cur = 1000
			if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
				return err
			}
			if after := openDescriptors(); after != before {
				return fmt.Errorf("descriptors before: %s, after: %s", before, after)
			}
		}
		s, err := Receive(c)
		return errors.Join(err, s.safeClose())
	}
	// arg: how many more than the limit
	children["sender"] = func([]string) error {
		a, err := inheritedConn(3)
		if err != nil {
			return err
		}
		m, err := Memfd("m", 64)
		if err != nil {
			return err
		}
		openDescriptors() // the poller
		limit := unix.Rlimit{Cur: uint64(lowestFree()) + 20, Max: 4096}
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
			return err
		}
		before := openDescriptors()
		for range 100 {
			err = errors.Join(err, Send(a, m))
		}
		if !errors.Is(err, unix.ETOOMANYREFS) || !strings.Contains(err.Error(), "not yet received") {
			return fmt.Errorf("100 in flight: %w", err)
		}
		if after := openDescriptors(); after != before {
			return fmt.Errorf("descriptors before: %s, after: %s", before, after)
		}
		return nil
	}
}

func inheritedConn(fd uintptr) (*net.UnixConn, error) {
	f := os.NewFile(fd, "socket")
	defer f.Close()
	c, err := net.FileConn(f)
	if err != nil {
		return nil, err
	}
	return c.(*net.UnixConn), c.SetDeadline(time.Now().Add(time.Minute))
}

func lowestFree() int {
	fd, err := unix.Open("/", unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return 0
	}
	unix.Close(fd)
	return fd
}

func TestNoDescriptorLeftToReceive(t *testing.T) { // T72
	a, b := pair(t, unix.SOCK_SEQPACKET)
	fd := int(sendable(t).File().Fd())
	for range 2 {
		rawSend(t, a, "x", bytesOf(253, fd)...)
	}
	rawSend(t, a, "x", fd)
	f := must[*os.File](t)(b.File())
	defer f.Close()
	cmd := child(t, "full")
	cmd.ExtraFiles = []*os.File{f}
	mustRun(t, cmd)
}

func TestTooManyOnTheWay(t *testing.T) {
	a, _ := pair(t, unix.SOCK_STREAM)
	f := must[*os.File](t)(a.File())
	defer f.Close()
	cmd := child(t, "sender")
	cmd.ExtraFiles = []*os.File{f}
	unprivileged(t, cmd)
	mustRun(t, cmd)
}

// Segments that are closed while they are sent: each arrives whole or not at
// all, and never does another file that has got the descriptor's number.
func TestCloseDuringSend(t *testing.T) {
	a, b := pair(t, unix.SOCK_SEQPACKET)
	rounds := 2000
	if testing.Short() {
		rounds = 200
	}
	stop := make(chan struct{})
	var churn, senders sync.WaitGroup
	churn.Add(1)
	go func() { // takes every number that becomes free
		defer churn.Done()
		for {
			select {
			case <-stop:
				return
			default:
				if f, err := os.Open("/dev/null"); err == nil {
					f.Close()
				}
			}
		}
	}()
	sent := make(chan bool)
	go func() {
		for range rounds {
			m, err := Sealed("m", []byte("whole"))
			if err != nil {
				t.Error(err)
				break
			}
			senders.Add(2)
			go func() { defer senders.Done(); closeNow(t, m) }()
			go func() { // tends to run first, so that both orders occur
				defer senders.Done()
				err := Send(a, m)
				if err != nil && !errors.Is(err, ErrClosed) {
					t.Error(err)
				}
				sent <- err == nil
			}()
			senders.Wait()
		}
		close(sent)
	}()
	arrived := 0
	for ok := range sent {
		if !ok {
			continue
		}
		arrived++
		s, err := Receive(b, ReadOnly, RequireSeals(sealedFor))
		if err != nil || string(s.Bytes()) != "whole" {
			t.Fatal(err)
		}
		closeNow(t, s)
	}
	close(stop)
	churn.Wait()
	t.Logf("%d of %d arrived", arrived, rounds)
}
