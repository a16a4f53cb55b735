// What holds for the loads of a Seqlock and a DoubleBuffer while others write:
//   - none is torn, at any size, however it ends (T51, P-Q2, P-Q3, INV-Q3, INV-Q4);
//   - versions never go backwards;
//   - a fast writer may lap a slow reader: then the reader notices (T55, P-Q5);
//   - writers in two processes exclude each other and lose no update (T52, P-Q2).
//
// Writer and readers are processes: with two CPUs, copy meets copy. What a load
// returned is looked at only where the load said that it is good.
package seqlock

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"time"

	"interlock/internal/proctest"
	"interlock/internal/race"
	"interlock/internal/spin"
)

// A kind is one type under test, with the children's parts.
type kind struct {
	name   string
	loads  int // by each reader
	write  func(c *proctest.Child)
	read   func(c *proctest.Child)
	update func(c *proctest.Child)
	test   func(t *testing.T, k *kind)
	count  func(t *testing.T, k *kind)
}

var kinds = []*kind{
	newKind[Seqlock[b8], b8]("Seqlock of 8 B", 3_000_000),
	newKind[Seqlock[b64], b64]("Seqlock of 64 B", 3_000_000),
	newKind[Seqlock[b4k], b4k]("Seqlock of 4 KiB + 5", 50_000),
	newKind[Seqlock[b4101], b4101]("Seqlock of 4101 bytes", 20_000),
	newKind[Seqlock[b64k], b64k]("Seqlock of 64 KiB", 2_000),
	newKind[DoubleBuffer[b8], b8]("DoubleBuffer of 8 B", 3_000_000),
	newKind[DoubleBuffer[b64], b64]("DoubleBuffer of 64 B", 3_000_000),
	newKind[DoubleBuffer[b4k], b4k]("DoubleBuffer of 4 KiB + 5", 50_000),
	newKind[DoubleBuffer[b4101], b4101]("DoubleBuffer of 4101 bytes", 20_000),
	newKind[DoubleBuffer[b64k], b64k]("DoubleBuffer of 64 KiB", 2_000),
}

func newKind[S, T any, P payload[T]](name string, loads int) *kind {
	k := &kind{
		name: name, loads: loads,
		write: writeForEver[S, T, P], read: readMany[S, T, P], update: updateMany[S, T, P],
		test: testTorn[S, T, P], count: testUpdates[S, T, P],
	}
	proctest.Register("write "+name, k.write)
	proctest.Register("read "+name, k.read)
	proctest.Register("update "+name, k.update)
	return k
}

// writeForEver stores one version after the other, with pauses of all lengths.
func writeForEver[S, T any, P payload[T]](c *proctest.Child) {
	s := any(lay[S](c.Memory(0))).(store[T])
	c.Say("writes")
	v := new(T)
	for n := uint64(1); ; n++ {
		P(v).fill(n & 0xffffff)
		c.Check(s.Store(context.Background(), v))
		if n%4 == 0 {
			spin.Pause(rand.Uint32N(200))
		}
	}
}

// slow is how many times less is done under the race detector, which sees nothing
// of other processes.
var slow = map[bool]int{false: 1, true: 10}[race.Enabled]

// enough versions must be seen, so that reading and writing did meet: where CPUs
// are few a reader can make a million loads while the writer waits for one.
var enough = uint64(1000 / slow)

// readMany makes so many loads, or more, and tells what was wrong.
func readMany[S, T any, P payload[T]](c *proctest.Child) {
	s := any(lay[S](c.Memory(0))).(store[T])
	c.Say(readLoop[T, P](s, c.Int(0)))
}

func readLoop[T any, P payload[T]](s store[T], loads int) string {
	v := new(T)
	var last, torn, back, versions uint64
	for i := 0; i < loads/slow || versions < enough; i++ {
		if err := s.load(context.Background(), v); err != nil {
			return err.Error()
		}
		n, whole := P(v).read()
		if !whole {
			torn++
		}
		if n < last {
			back++
		}
		if n != last {
			versions++
		}
		last = n
		if i >= loads/slow {
			time.Sleep(10 * time.Microsecond) // so that the writer runs, and is interrupted
		}
	}
	return fmt.Sprintf("%d torn, %d backwards, %d versions seen", torn, back, versions)
}

func testTorn[S, T any, P payload[T]](t *testing.T, k *kind) {
	f, _, s := share[S, T, P](t)
	w := proctest.Start(t, "write "+k.name, proctest.Files(f))
	w.Expect("writes")
	r := proctest.Start(t, "read "+k.name, proctest.Files(f), proctest.Args(strconv.Itoa(k.loads)))
	for who, line := range map[string]string{
		"this process": readLoop[T, P](any(s).(store[T]), k.loads),
		"a child":      r.Line(),
	} {
		t.Logf("at least %d loads of %s: %s", k.loads/slow, who, line)
		if !strings.HasPrefix(line, "0 torn, 0 backwards, ") {
			t.Errorf("%s: %s", who, line)
		}
	}
	w.Kill()
}

func TestNoLoadIsTornAndNoneGoesBack(t *testing.T) { // T51
	for _, k := range kinds {
		t.Run(k.name, func(t *testing.T) { k.test(t, k) })
	}
}

var updates = 3000 / slow

func updateMany[S, T any, P payload[T]](c *proctest.Child) {
	s := any(lay[S](c.Memory(0))).(store[T])
	c.Say("updates")
	c.Say(updateLoop[T, P](s))
}

func updateLoop[T any, P payload[T]](s store[T]) string {
	torn := 0
	for range updates {
		err := s.Update(context.Background(), func(v *T) {
			n, whole := P(v).read()
			if !whole {
				torn++
			}
			P(v).fill(n + 1)
		})
		if err != nil {
			return err.Error()
		}
	}
	return fmt.Sprintf("%d torn", torn)
}

func testUpdates[S, T any, P payload[T]](t *testing.T, k *kind) {
	f, _, s := share[S, T, P](t)
	both := any(s).(store[T])
	p := proctest.Start(t, "update "+k.name, proctest.Files(f))
	p.Expect("updates")
	if line := updateLoop[T, P](both); line != "0 torn" {
		t.Errorf("this process: %s", line)
	}
	p.Expect("0 torn")
	p.WaitExit(0)
	expect[T, P](t, both, uint64(2*updates))
}

func TestTwoWritersExcludeEachOther(t *testing.T) { // T52, P-Q2
	for _, k := range kinds {
		t.Run(k.name, func(t *testing.T) { k.count(t, k) })
	}
}

// Stopped somewhere in its copy, the reader goes on when the writer has made one,
// two or three versions more.
func TestAReaderThatWasOvertakenNotices(t *testing.T) { // T55, P-Q5
	f, _, s := share[DoubleBuffer[b1m], b1m](t)
	r := proctest.Start(t, "slow reader", proctest.Files(f))
	r.Expect("reads")
	version := uint64(0)
	for round := range 60 {
		r.Stop()
		for range 1 + round%3 {
			version++
			put[b1m](t, s, version)
		}
		r.Cont()
		r.Send("how is it?") // answered after at least one more load
		if line := r.Line(); line != "0 torn, 0 backwards" {
			t.Fatalf("round %d: %s", round, line)
		}
	}
}

// Stopped in its copy of version n, the reader goes on where the writer is stopped
// in the middle of version n+2: the last moment at which there is something wrong.
func TestAReaderNoticesTheWriteThatOvertakesItJustNow(t *testing.T) { // T55, INV-Q4
	f, _, b := share[DoubleBuffer[b16m], b16m](t)
	w := start(t, f, "counter", "writes")
	r := start(t, f, "slow reader of 16 MiB", "reads")
	met := 0
	for range 40 {
		r.Stop()
		w.Stop()
		want := b.seq.Load()/2*2 + 3
		w.Cont()
		for b.seq.Load() < want {
			time.Sleep(10 * time.Microsecond) // where there is one CPU, the writer needs that
		}
		spin.Pause(rand.Uint32N(50_000))
		w.Stop()
		if b.seq.Load() == want {
			met++
		}
		r.Cont()
		r.Send("how is it?")
		if line := r.Line(); line != "0 torn, 0 backwards" {
			t.Fatalf("seq %d, wanted %d: %s", b.seq.Load(), want, line)
		}
		w.Cont()
	}
	t.Logf("met in %d of 40 rounds", met)
}

func init() {
	proctest.Register("counter", func(c *proctest.Child) {
		s := lay[DoubleBuffer[b16m]](c.Memory(0))
		v := new(b16m)
		c.Say("writes")
		for n := uint64(1); ; n++ {
			v.fill(n)
			c.Check(s.Store(context.Background(), v))
		}
	})
	proctest.Register("slow reader", slowReader[b1m])
	proctest.Register("slow reader of 16 MiB", slowReader[b16m])
}

// slowReader loads for ever, and tells how it went when it is asked.
func slowReader[T any, P payload[T]](c *proctest.Child) {
	s := lay[DoubleBuffer[T]](c.Memory(0))
	c.Say("reads")
	asked := make(chan bool)
	go func() {
		for {
			c.Recv()
			asked <- true
		}
	}()
	v := new(T)
	var last, torn, back uint64
	for {
		s.Load(v)
		n, whole := P(v).read()
		if !whole {
			torn++
		}
		if n < last {
			back++
		}
		last = n
		select {
		case <-asked:
			c.Sayf("%d torn, %d backwards", torn, back)
		default:
		}
	}
}
