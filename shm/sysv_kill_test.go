//go:build amd64 || arm64

// What holds when a System V segment's maker dies, and when many want to make one
// at once. A segment with a key cannot be completed before it is seen, as a named
// object can: shmget makes it visible and empty in one step. So:
//   - SysVCreate, killed at each of its system calls, leaves nothing or a whole
//     segment of its size, all zero, attached nowhere, with its mode or, where that
//     bars the owner, with the owner's bits added; SysVOpen attaches it, SysVCreate
//     says who made it, SysVRemove frees the key;
//   - of any number that create one key, exactly one does;
//   - who initialises under a mutex in the segment (doc of SysVCreate) initialises
//     exactly once, whoever is killed where.
package shm

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"interlock/internal/proctest"
	"interlock/mutex"
)

func argKey(text string) (Key, error) {
	n, err := strconv.ParseUint(text, 0, 32)
	return Key(n), err
}

func init() {
	// arg: key, mode in octal
	children["traced sysv maker"] = func(arg []string) error {
		key, err1 := argKey(arg[0])
		perm, err2 := strconv.ParseUint(arg[1], 8, 32)
		if err := errors.Join(err1, err2); err != nil {
			return err
		}
		return underTrace(func() error {
			mark(1)
			_, err := SysVCreate(key, raceSize, Mode(os.FileMode(perm)), Populate, Mlock)
			mark(2)
			return err
		})
	}
}

func TestSysVMakerIsKilledAtEachSystemCall(t *testing.T) { // T62, T75
	for perm, results := range map[os.FileMode]int{0o600: 2, 0o040: 3} {
		t.Run(fmt.Sprintf("%04o", perm), func(t *testing.T) {
			seen := map[string]bool{}
			for n := 1; ; n++ {
				key, begun, at := newKey(t), false, ""
				left := n
				err := trace(t, child(t, "traced sysv maker", key.String(), fmt.Sprintf("%o", perm)), func(c sysCall) verdict {
					m, isMark := c.mark()
					if isMark && m == 1 {
						begun = true
						return verdict{}
					}
					if !begun || !isMark && c.ofRuntime() {
						return verdict{} // the second mark is the end, and counts
					}
					if left--; left != 0 {
						return verdict{}
					}
					if at = callName(c); isMark {
						at = "the end"
					}
					return verdict{kill: true}
				})
				if at == "" {
					if err != nil || n < 5 {
						t.Errorf("%d calls were seen: %v", n-1, err)
					}
					break
				}
				what := judgeLeft(t, at, key, perm)
				t.Logf("killed at %-14s leaves %s", at, what)
				seen[what] = true
			}
			if len(seen) != results {
				t.Errorf("it leaves %v, want %d different things", seen, results)
			}
		})
	}
}

// judgeLeft looks at what a killed maker has left, as the next comer would, and
// removes it.
func judgeLeft(t *testing.T, at string, key Key, perm os.FileMode) string {
	t.Helper()
	id, err := SysVID(key)
	if errors.Is(err, ErrNotExist) {
		s := must[*Segment](t)(SysVCreate(key, raceSize))
		id, _ = s.SysVID()
		if err := errors.Join(SysVRemove(id), s.Close()); err != nil {
			t.Error(err)
		}
		return "nothing"
	}
	info, err2 := statOrList(id)
	if err := errors.Join(err, err2); err != nil {
		t.Fatal(err)
	}
	if info.Size != raceSize || info.Attached != 0 || info.Removed || info.Mode != perm && info.Mode != perm|0o600 {
		t.Errorf("killed at %s: %+v", at, info)
	}
	want(t, failed(SysVCreate(key, raceSize)), ErrExist, fmt.Sprint("pid ", info.CreatorPID), fmt.Sprintf("SysVRemove(%d)", id))
	if os.Getuid() == 0 || info.Mode&0o600 == 0o600 {
		s := must[*Segment](t)(SysVOpen(key))
		if !bytes.Equal(s.Bytes(), make([]byte, raceSize)) {
			t.Errorf("killed at %s: not zero", at)
		}
		closeNow(t, s)
	}
	if err := SysVRemove(id); err != nil {
		t.Errorf("killed at %s: %v", at, err)
	}
	want(t, failed(SysVID(key)), ErrNotExist)
	return fmt.Sprintf("a segment of mode %04o", info.Mode)
}

// A sysvRecord is initialised as the doc comment of SysVCreate says.
type sysvRecord struct {
	Mu   mutex.Mutex
	Made uint32 // guarded by Mu, as all of it: 1 when V is initialised
	_    uint32
	V    raceT
}

// openRecord opens or makes the segment of a key, initialised by init. The
// attachments are for the process's lifetime.
func openRecord(key Key, init func(v *raceT)) (r *sysvRecord, s *Segment, made bool, err error) {
	s, err = SysVCreate(key, 16<<10)
	if made = err == nil; errors.Is(err, ErrExist) {
		s, err = SysVOpen(key)
	}
	if err == nil {
		r, err = At[sysvRecord](s.Bytes(), 0)
	}
	if err != nil {
		return nil, nil, made, err
	}
	r.Mu.OnOwnerDeath(func(int) error {
		if r.Made == 0 { // it died in init
			r.V.Runs.Store(0)
			clear(r.V.Fill[:])
		}
		return nil
	})
	r.Mu.Lock()
	defer r.Mu.Unlock()
	if r.Made == 0 {
		init(&r.V)
		r.Made = 1
	}
	return r, s, made, r.V.whole()
}

func init() {
	// A key in. Two goroutines make it. Out: the identifier that both have, and
	// how many have made it and initialised it.
	children["sysv racer"] = func([]string) error {
		for in := bufio.NewScanner(os.Stdin); in.Scan(); {
			key, err := argKey(in.Text())
			if err != nil {
				return err
			}
			var wg sync.WaitGroup
			var makers, inits atomic.Int32
			var views [2]*Segment
			var errs [2]error
			for i := range views {
				wg.Add(1)
				go func() {
					defer wg.Done()
					var made bool
					_, views[i], made, errs[i] = openRecord(key, func(v *raceT) { v.finish(7); inits.Add(1) })
					if made {
						makers.Add(1)
					}
				}()
			}
			wg.Wait()
			if err := errors.Join(errs[:]...); err != nil {
				return err
			}
			one, _ := views[0].SysVID()
			two, _ := views[1].SysVID()
			if one != two {
				return fmt.Errorf("segments %d and %d", one, two)
			}
			fmt.Println(one, makers.Load(), inits.Load())
			if err := errors.Join(views[0].Close(), views[1].Close()); err != nil {
				return err
			}
		}
		return nil
	}
}

func TestSysVExactlyOneCreates(t *testing.T) { // T61, T75
	proctest.Watchdog(t, time.Minute, nil)
	procs := make([]*proctest.Proc, 8)
	for i := range procs {
		procs[i] = sysvChild(t, "sysv racer", nil)
	}
	for round := range proctest.Scaled(300, 50) {
		key := newKey(t)
		for _, p := range procs {
			p.Send(key.String())
		}
		makers, inits, id := 0, 0, -1
		for _, p := range procs {
			var got, m, n int
			if _, err := fmt.Sscan(p.Line(), &got, &m, &n); err != nil {
				t.Fatal(err)
			}
			if makers, inits = makers+m, inits+n; id >= 0 && got != id {
				t.Errorf("round %d: segments %d and %d", round, id, got)
			}
			id = got
		}
		if makers != 1 || inits != 1 {
			t.Fatalf("round %d: %d have made it, %d initialised it", round, makers, inits)
		}
		if err := SysVRemove(id); err != nil {
			t.Fatal(err)
		}
	}
}

func init() {
	// arg: key, how many words to fill before it dies; it dies in any case.
	children["sysv dying maker"] = func(arg []string) error {
		key, err1 := argKey(arg[0])
		words, err2 := strconv.Atoi(arg[1])
		if err := errors.Join(err1, err2); err != nil {
			return err
		}
		_, _, _, err := openRecord(key, func(v *raceT) {
			for i := range words {
				v.Fill[i] = 99
			}
			fmt.Println("inside")
			unix.Kill(os.Getpid(), unix.SIGKILL)
			select {}
		})
		return fmt.Errorf("alive: %w", err)
	}
}

// A maker dies in the midst of initialising: the next starts over, on zeroed
// memory, and within a second.
func TestSysVMakerIsKilledWhileItInitialises(t *testing.T) { // T62, T75
	proctest.Watchdog(t, time.Minute, nil)
	for _, words := range []int{0, 1, 500, 1000} {
		key := newKey(t)
		for range 2 { // the second finds what the first has begun
			if out, err := child(t, "sysv dying maker", key.String(), strconv.Itoa(words)).Output(); !killedBy(err) || string(out) != "inside\n" {
				t.Fatalf("%v: %s", err, out)
			}
		}
		start, inits := time.Now(), 0
		r, s, made, err := openRecord(key, func(v *raceT) {
			for _, x := range v.Fill {
				if x != 0 {
					t.Error("init got memory that was not zero")
					break
				}
			}
			v.finish(3)
			inits++
		})
		if err != nil || made || inits != 1 || r.V.Fill[999] != 3 || time.Since(start) > time.Second {
			t.Errorf("made: %v, %d inits, %v, in %v", made, inits, err, time.Since(start))
		}
		closeNow(t, s)
	}
}
