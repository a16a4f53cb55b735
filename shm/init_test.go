package shm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A waiter gives up when its context says so, names the holder, and takes
// over when the holder dies.
func TestWaitingForAnInitialiser(t *testing.T) {
	name := newName(t)
	cmd := child(t, "hang", name)
	out := must[interface{ Read([]byte) (int, error) }](t)(pipe(cmd))
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	out.Read(make([]byte, 1)) // it is inside init
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	_, err := OpenOrCreate(ctx, name, 64, nil)
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), fmt.Sprint("pid ", cmd.Process.Pid)) {
		t.Error(err)
	}
	if _, err := Open(name); !errors.Is(err, ErrNotExist) {
		t.Error(err) // nothing half made under the name
	}
	if err := Remove(name); !errors.Is(err, ErrNotExist) {
		t.Error(err)
	}
	if len(leftovers(shmDir)) != 1 {
		t.Error("Remove took away the lock of a live initialiser")
	}
	done := make(chan error, 1)
	go func() {
		s, err := OpenOrCreate(context.Background(), name, 64, func(s *Segment) error {
			if s.Bytes()[0] != 0 {
				return errors.New("not zero")
			}
			return nil
		})
		if err == nil {
			err = s.Close()
		}
		done <- err
	}()
	cmd.Process.Kill()
	cmd.Wait()
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(breach):
		t.Error("no takeover")
	}
}

func pipe(cmd *exec.Cmd) (interface{ Read([]byte) (int, error) }, error) { return cmd.StdoutPipe() }

func init() {
	children["hang"] = func(arg []string) error {
		_, err := OpenOrCreate(context.Background(), arg[0], 64, func(s *Segment) error {
			s.Bytes()[0] = 1
			fmt.Print("x")
			time.Sleep(time.Hour)
			return nil
		})
		return err
	}
}

func init() {
	// Publishes when a byte arrives, and then gets the signal in arg[1]:
	// before it could unlink its lock file.
	children["published"] = func(arg []string) error {
		sig, err := strconv.Atoi(arg[1])
		if err != nil {
			return err
		}
		step = func(what string) {
			if what == "publish" {
				unix.Kill(os.Getpid(), unix.Signal(sig))
				time.Sleep(time.Hour)
			}
		}
		_, err = openRace(context.Background(), arg[0], true, func(v *raceT) error {
			fmt.Print("x")
			os.Stdin.Read(make([]byte, 1))
			v.finish(7)
			return nil
		})
		return err
	}
}

// A waiter needs no more help from an initialiser that has published, be it
// killed or stopped (INV-N3); and it does not initialise again.
func TestInitialiserStopsAfterPublishing(t *testing.T) {
	for _, sig := range []unix.Signal{unix.SIGKILL, unix.SIGSTOP} {
		name := newName(t)
		cmd := child(t, "published", name, strconv.Itoa(int(sig)))
		in := must[interface{ Write([]byte) (int, error) }](t)(cmd.StdinPipe())
		out := must[interface{ Read([]byte) (int, error) }](t)(pipe(cmd))
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		out.Read(make([]byte, 1)) // it is inside init
		done := make(chan error, 4)
		for range cap(done) {
			go func() {
				s, err := openRace(context.Background(), name, true, func(*raceT) error { return errors.New("init ran again") })
				if err == nil {
					err = s.Close()
				}
				done <- err
			}()
		}
		time.Sleep(30 * time.Millisecond) // usually enough for them to wait
		in.Write([]byte("x"))
		for range cap(done) {
			select {
			case err := <-done:
				if err != nil {
					t.Errorf("%v: %v", sig, err)
				}
			case <-time.After(breach):
				t.Errorf("%v: a waiter hangs", sig)
			}
		}
		cmd.Process.Kill()
		cmd.Wait()
	}
}

func TestInitFails(t *testing.T) {
	name, bang, ctx := newName(t), errors.New("bang"), context.Background()
	before := ownMaps(t)
	if _, err := OpenOrCreate(ctx, name, 64, func(s *Segment) error {
		s.Bytes()[0] = 1
		if err := s.Close(); !errors.Is(err, ErrBusy) {
			t.Errorf("Close inside init: %v", err)
		}
		return bang
	}); !errors.Is(err, bang) {
		t.Error(err)
	}
	for _, give := range []error{ErrExist, ErrNotExist} { // our own sentinels as init's errors
		if _, err := OpenOrCreate(ctx, name, 64, func(*Segment) error { return give }); !errors.Is(err, give) {
			t.Error(err)
		}
	}
	func() {
		defer func() {
			if recover() != bang {
				t.Error("init's panic was lost")
			}
		}()
		Share(ctx, name, func(*uint64) error { panic(bang) })
	}()
	if l := leftovers(shmDir); len(l) > 0 {
		t.Errorf("left: %v", l)
	}
	if after := ownMaps(t); after != before {
		t.Errorf("%d mappings left", after-before)
	}
	s := must[*Segment](t)(OpenOrCreate(ctx, name, 64, nil))
	if s.Bytes()[0] != 0 {
		t.Error("not zero")
	}
	closeNow(t, s)
	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := OpenOrCreate(cancelled, newName(t), 64, nil); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// Someone without the lock makes the object while init runs: theirs wins.
func TestLostRace(t *testing.T) {
	name := newName(t)
	s := must[*Segment](t)(OpenOrCreate(context.Background(), name, 64, func(s *Segment) error {
		s.Bytes()[0] = 1
		c, err := Create(name, 128)
		if err == nil {
			c.Bytes()[0] = 2
			err = c.Close()
		}
		return err
	}))
	if s.Size() != 128 || s.Bytes()[0] != 2 {
		t.Error("not theirs")
	}
	closeNow(t, s)
	if len(leftovers(shmDir)) != 1 {
		t.Error("left", leftovers(shmDir))
	}
}

func ownMaps(t testing.TB) int {
	return bytes.Count(must[[]byte](t)(os.ReadFile("/proc/self/maps")), []byte(shmDir))
}
