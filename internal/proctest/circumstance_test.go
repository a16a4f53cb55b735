// What holds for the circumstances of children:
//   - with WithoutWaitv the kernel refuses futex_waitv to all threads of the child
//     from the start, and to nobody else; RefuseWaitv does it to itself;
//   - with one P there is one;
//   - durations survive the way from child to test; shares of them are right.
package proctest

import (
	"fmt"
	"os"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// waitv makes a futex_waitv call that ends at once, by an error: the kernel's
// EINVAL for its flags, or the filter's.
func waitv() error {
	_, _, errno := unix.Syscall6(sysFutexWaitv, 0, 0, 1<<30, 0, 0, 0)
	return errno
}

func init() {
	Register("spins", func(c *Child) {
		c.Say("here")
		for start := time.Now(); time.Since(start) < Patience; { // or until it is killed
		}
	})
	Register("circumstance", func(c *Child) {
		elsewhere := make(chan error)
		go func() {
			runtime.LockOSThread()
			elsewhere <- waitv()
		}()
		c.Sayf("%v, %v, %d P", waitv(), <-elsewhere, runtime.GOMAXPROCS(0))
		c.Check(RefuseWaitv())
		c.Sayf("%v", waitv())
	})
}

func TestCircumstances(t *testing.T) {
	if waitv() != unix.EINVAL {
		Excuse("circumstance")
		t.Skipf("here futex_waitv itself is refused: %v", waitv())
	}
	for i, x := range Circumstances {
		t.Run(x.Name, func(t *testing.T) {
			refused, ps := unix.Errno(unix.EINVAL), runtime.GOMAXPROCS(0)
			if i&1 != 0 {
				refused = unix.EPERM
			}
			if i&2 != 0 {
				ps = 1
			}
			p := Start(t, "circumstance", x.Options...)
			p.Expect(fmt.Sprintf("%v, %v, %d P", refused, refused, ps))
			p.Expect(unix.EPERM.Error())
			p.WaitExit(0)
		})
	}
	if waitv() != unix.EINVAL {
		t.Errorf("futex_waitv is refused to the test: %v", waitv())
	}
}

func TestTimes(t *testing.T) {
	var d Times
	for i := range 100 {
		d = append(d, time.Duration(100-i)*time.Microsecond)
	}
	d = ParseTimes(t, d.Line())
	if got, want := d.String(), "median 51µs, p99 100µs, worst 100µs of 100"; got != want {
		t.Errorf("%s, not %s", got, want)
	}
	if d[0] != 100*time.Microsecond || d.At(0) != time.Microsecond || (Times{}).At(1) != 0 {
		t.Errorf("%v", d)
	}
}

// On a machine that is busier than it has CPUs, waiting for one does not count; being
// asleep does.
func TestAWindow(t *testing.T) {
	const nap = 20 * time.Millisecond
	Until(t, "a sleep that counts", func() bool { // another thread may wait for a CPU meanwhile
		w := Begin()
		time.Sleep(nap)
		return w.Took(Now()) > nap/2
	})
	if read("/proc/self", "schedstat") == "" {
		Excuse("spins")
		t.Skip("the kernel does not tell who waits for a CPU")
	}
	for range runtime.NumCPU() + 1 {
		Start(t, "spins").Expect("here")
	}
	w := Begin()
	Until(t, "one of them to wait for a CPU", func() bool { return w.Less(time.Hour) < time.Hour-nap })
}

func TestUsage(t *testing.T) {
	before := Used()
	for Used().CPU < before.CPU+20*time.Millisecond { // however long that takes here
	}
	if percent, switches := Used().Since(before); percent <= 0 || percent > 100*float64(runtime.NumCPU()+1) || switches < 0 {
		t.Errorf("a busy loop takes %.1f %% of a CPU and sleeps %.1f times a second", percent, switches)
	}
	over := make(chan bool)
	defer close(over)
	for range 10 {
		ready := make(chan bool)
		go func() {
			runtime.LockOSThread()
			ready <- true
			<-over
		}()
		<-ready
	}
	if n := Threads(os.Getpid()); n < 10 || n > 1000 {
		t.Errorf("%d threads, of which 10 are held by goroutines", n)
	}
}
