// What holds for System V segments between processes:
//   - the kernel counts a killed process out, and what it wrote stays;
//   - mutex, condition variable, semaphore and seqlock work in it as elsewhere,
//     at different addresses, and a killed holder is recovered from;
//   - in a read-only attachment what must write returns its error;
//   - two attachments in one process are one object, for goroutines that wait
//     and for the race detector.
package shm

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"interlock/condvar"
	"interlock/internal/proctest"
	"interlock/internal/region"
	"interlock/mutex"
	"interlock/semaphore"
	"interlock/seqlock"
)

// A sysvBoard has one of each primitive.
type sysvBoard struct {
	Mu    mutex.Mutex
	Count uint64 // guarded by Mu
	Cond  condvar.Cond
	Turn  uint32 // guarded by Mu
	_     [4]byte
	Sem   semaphore.Semaphore
	Pair  seqlock.Seqlock[[2]uint64]
}

func init() {
	// arg: identifier, the parent's address, what to do
	children["sysv"] = func(arg []string) error {
		id, err1 := strconv.Atoi(arg[0])
		theirs, err2 := strconv.ParseUint(arg[1], 0, 64)
		s, err3 := SysVOpenID(id)
		if err := errors.Join(err1, err2, err3); err != nil {
			return err
		}
		if lo, _ := span(s.Bytes()); lo == uintptr(theirs) { // no randomisation: move
			first := s
			if s, err3 = SysVOpenID(id); err3 != nil {
				return err3
			}
			if err := first.Close(); err != nil {
				return err
			}
		}
		b, err := At[sysvBoard](s.Bytes(), 0)
		if err != nil {
			return err
		}
		if err := sysvTasks[arg[2]](b, s, bufio.NewReader(os.Stdin)); err != nil {
			return err
		}
		return s.Close()
	}
}

const sysvRounds = 2000

var sysvTasks = map[string]func(b *sysvBoard, s *Segment, in *bufio.Reader) error{
	"write": func(b *sysvBoard, s *Segment, in *bufio.Reader) error {
		s.Bytes()[s.Size()-1] = 42
		fmt.Println("written")
		in.ReadString('\n') // until killed
		return errors.New("not killed")
	},
	"hold": func(b *sysvBoard, _ *Segment, in *bufio.Reader) error {
		b.Mu.Lock()
		fmt.Println("locked")
		in.ReadString('\n')
		return errors.New("not killed")
	},
	"count": func(b *sysvBoard, _ *Segment, _ *bufio.Reader) error {
		for range sysvRounds {
			b.Mu.Lock()
			b.Count++
			b.Mu.Unlock()
		}
		return nil
	},
	"play": func(b *sysvBoard, _ *Segment, _ *bufio.Reader) error { return b.play(1) },
}

// play takes turns with the other process, by condition variable, semaphore
// and seqlock: one of the two has side 0.
func (b *sysvBoard) play(side uint32) error {
	ctx := context.Background()
	for i := range uint64(200) {
		b.Mu.Lock()
		for b.Turn%2 != side {
			b.Cond.Wait(&b.Mu)
		}
		pair := [2]uint64{2*i + uint64(side), 2*i + uint64(side)}
		if err := b.Pair.Store(ctx, &pair); err != nil {
			return err
		}
		b.Turn++
		b.Mu.Unlock()
		b.Cond.Broadcast()
		if err := b.Sem.Release(); err != nil {
			return err
		}
		if err := b.Pair.Load(ctx, &pair); err != nil {
			return err
		}
		if least := 2*i + uint64(side); pair[0] != pair[1] || pair[0] < least || pair[0] > least+1 {
			return fmt.Errorf("read %v after the write of %d", pair, least)
		}
		if err := b.Sem.Acquire(ctx); err != nil {
			return err
		}
	}
	return nil
}

func newBoard(t *testing.T) (*Segment, int, *sysvBoard) {
	t.Helper()
	s, id := newSysV(t, 8000)
	return s, id, must[*sysvBoard](t)(At[sysvBoard](s.Bytes(), 0))
}

func startTask(t *testing.T, s *Segment, task string) *proctest.Proc {
	t.Helper()
	id, _ := s.SysVID()
	lo, _ := span(s.Bytes())
	return sysvChild(t, "sysv", []string{fmt.Sprint(id), fmt.Sprintf("%#x", lo), task})
}

func TestSysVKilledWhileAttached(t *testing.T) { // T75
	s, id, _ := newBoard(t)
	for range 3 {
		s.Bytes()[s.Size()-1] = 0
		p := startTask(t, s, "write")
		p.Expect("written")
		if info := must[SysVInfo](t)(SysVStat(id)); info.Attached != 2 || info.LastPID != p.Pid || info.CreatorPID != os.Getpid() {
			t.Errorf("%+v", info)
		}
		p.Kill()
		info := must[SysVInfo](t)(SysVStat(id))
		if info.Attached != 1 || info.DetachTime.IsZero() || s.Bytes()[s.Size()-1] != 42 {
			t.Errorf("after a kill: %+v", info)
		}
	}
}

// The last process dies: a removed segment goes with it, another stays.
func TestSysVKilledLast(t *testing.T) { // T75
	s := must[*Segment](t)(SysVCreate(newKey(t), 8000))
	id, _ := s.SysVID()
	p := startTask(t, s, "write")
	p.Expect("written")
	closeNow(t, s)
	p.Kill()
	if info := must[SysVInfo](t)(SysVStat(id)); info.Attached != 0 || info.Removed {
		t.Errorf("after the kill: %+v", info)
	}
	s = must[*Segment](t)(SysVOpenID(id))
	if s.Bytes()[7999] != 42 {
		t.Error("what the dead wrote is gone")
	}
	p = startTask(t, s, "write")
	p.Expect("written")
	closeNow(t, s)
	if err := SysVRemove(id); err != nil {
		t.Fatal(err)
	}
	p.Kill()
	want(t, failed(SysVStat(id)), ErrNotExist)
}

func TestSysVPrimitivesBetweenProcesses(t *testing.T) { // T75
	s, _, b := newBoard(t)
	proctest.Watchdog(t, time.Minute, nil)
	a, c := startTask(t, s, "count"), startTask(t, s, "count")
	if err := sysvTasks["count"](b, s, nil); err != nil {
		t.Fatal(err)
	}
	a.WaitExit(0)
	c.WaitExit(0)
	if b.Count != 3*sysvRounds {
		t.Errorf("counted %d, want %d", b.Count, 3*sysvRounds)
	}
	p := startTask(t, s, "play")
	if err := b.play(0); err != nil {
		t.Fatal(err)
	}
	p.WaitExit(0)
	if b.Turn != 400 || b.Sem.Value() != 0 {
		t.Errorf("turn %d, %d permits", b.Turn, b.Sem.Value())
	}
}

func TestSysVKilledHolderIsRecovered(t *testing.T) { // T75
	s, _, b := newBoard(t)
	proctest.Watchdog(t, time.Minute, nil)
	for range 3 {
		p := startTask(t, s, "hold")
		p.Expect("locked")
		died := 0
		b.Mu.OnOwnerDeath(func(pid int) error { died = pid; return nil })
		want(t, b.Mu.LockContext(soon(t)), context.DeadlineExceeded)
		locked := make(chan bool)
		go func() {
			b.Mu.Lock()
			close(locked)
		}()
		proctest.AwaitSleepers(t, os.Getpid(), 1)
		p.Kill()
		<-locked
		if died != p.Pid {
			t.Errorf("process %d died, not %d", died, p.Pid)
		}
		want(t, s.Close(), ErrBusy) // held by us
		b.Mu.Unlock()
	}
}

func soon(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	t.Cleanup(cancel)
	return ctx
}

func TestSysVPrimitivesReadOnly(t *testing.T) { // T75, T66
	s, id, b := newBoard(t)
	pair := [2]uint64{3, 4}
	if err := b.Pair.Store(bg, &pair); err != nil {
		t.Fatal(err)
	}
	r := must[*Segment](t)(SysVOpenID(id, ReadOnly))
	defer closeNow(t, r)
	v := must[*sysvBoard](t)(At[sysvBoard](r.Bytes(), 0))
	pair = [2]uint64{}
	if err := v.Pair.Load(bg, &pair); err != nil || pair != [2]uint64{3, 4} {
		t.Error(pair, err)
	}
	want(t, v.Mu.LockContext(bg), unix.EFAULT)
	want(t, v.Sem.Acquire(bg), semaphore.ErrReadOnly)
	want(t, v.Sem.Release(), semaphore.ErrReadOnly)
	want(t, v.Pair.Store(bg, &pair), seqlock.ErrReadOnly)
	func() {
		defer func() {
			if r := recover(); r == nil {
				t.Error("Signal in read-only memory does nothing")
			}
		}()
		v.Cond.Signal()
	}()
	if b.Sem.Value() != 0 || s.Removed() == nil {
		t.Error("changed")
	}
}

// Goroutines that wait must learn that their memory is attached once more.
func TestSysVTwoAttachmentsAreOneObject(t *testing.T) { // T75, T60
	s, id, b := newBoard(t)
	lo, _ := span(s.Bytes())
	if region.Aliased(lo) {
		t.Error("attached once, and known as twice")
	}
	r := must[*Segment](t)(SysVOpenID(id))
	v := must[*sysvBoard](t)(At[sysvBoard](r.Bytes(), 0))
	if b == v || !region.Aliased(lo) {
		t.Error("attached twice, and known as once")
	}
	proctest.Watchdog(t, time.Minute, nil)
	onHeap := 0 // the race detector sees this, and not the memory
	var wg sync.WaitGroup
	for _, m := range []*mutex.Mutex{&b.Mu, &v.Mu, &b.Mu, &v.Mu} {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for range sysvRounds {
				m.Lock()
				onHeap++
				m.Unlock()
			}
		}()
	}
	wg.Wait()
	if onHeap != 4*sysvRounds {
		t.Errorf("counted %d, want %d", onHeap, 4*sysvRounds)
	}
	closeNow(t, r)
	if region.Aliased(lo) {
		t.Error("attached once again, and known as twice")
	}
}
