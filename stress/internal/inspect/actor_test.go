// What holds for stress inspect:
//   - it tells the states of real primitives in real processes: held, stopped, killed,
//     condemned, torn, deadlocked, waited for (scene_test.go);
//   - what it reads from the bytes is what the primitives' own methods say;
//   - any bytes in the memory, and any text in the header, are only wrong
//     (hostile_test.go);
//   - it finds what it is asked for, and says what right is missing (source_test.go);
//   - it changes nothing.
//
// The other processes are actors: children that do what they are told with a board in
// shared memory.
package inspect

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"interlock/condvar"
	"interlock/internal/proctest"
	"interlock/mutex"
	"interlock/semaphore"
	"interlock/seqlock"
	"interlock/shm"
)

func TestMain(m *testing.M) { proctest.Main(m) }

// wide takes so long to write that a stop nearly always finds it half written.
type wide [1 << 20]uint64

// board is what the actors share.
type board struct {
	Mu    [4]mutex.Mutex
	Users [3]struct {
		ID uint32
		Mu mutex.Mutex
	}
	Sem    semaphore.Semaphore
	Cond   condvar.Cond
	Config seqlock.Seqlock[struct {
		A uint64
		B [3]uint32
	}]
	Wide seqlock.Seqlock[wide]
	Twin seqlock.DoubleBuffer[wide]
}

func init() {
	proctest.Register("actor", func(c *proctest.Child) {
		b, _, err := shm.Share[board](context.Background(), c.Args[0], nil)
		c.Check(err)
		c.Say("ready")
		act(c, b)
	})
}

// act does what it is told until it is killed: VERB and a number.
func act(c *proctest.Child, b *board) {
	ctx := context.Background()
	for {
		verb, arg, _ := strings.Cut(c.Recv(), " ")
		n, _ := strconv.Atoi(arg)
		switch verb {
		case "lock":
			b.Mu[n].Lock()
		case "unlock":
			b.Mu[n].Unlock()
		case "want": // in the background: it may take for ever
			go func() { _ = b.Mu[n].LockContext(ctx) }()
		case "condemn":
			b.Mu[n].OnOwnerDeath(func(int) error { return mutex.ErrNotRecoverable })
			c.Sayf("%v", b.Mu[n].LockContext(ctx) != nil)
			continue
		case "repair": // never comes to its end
			b.Mu[n].OnOwnerDeath(func(int) error {
				c.Say("repairing")
				select {}
			})
			go func() { _ = b.Mu[n].LockContext(ctx) }()
			continue
		case "acquire":
			go func() { _ = b.Sem.Acquire(ctx) }()
		case "release":
			c.Check(b.Sem.Release())
		case "wait":
			go func() {
				b.Mu[3].Lock()
				b.Cond.Wait(&b.Mu[3])
			}()
		case "write": // without end, so that it can be stopped in a write
			go func() {
				for {
					_ = b.Wide.Store(ctx, new(wide))
					_ = b.Twin.Store(ctx, new(wide))
				}
			}()
		}
		c.Say("done")
	}
}

// stage is a board in shared memory and how to look at it.
type stage struct {
	*board
	t    *testing.T
	name string
}

func newStage(t *testing.T) *stage {
	t.Helper()
	name := fmt.Sprintf("interlock-inspect.%d.%d", os.Getpid(), time.Now().UnixNano())
	b, seg, err := shm.Share[board](context.Background(), name, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = seg.Close()
		_ = shm.Remove(name)
	})
	proctest.Watchdog(t, 3*time.Minute, nil)
	return &stage{b, t, name}
}

func (s *stage) actor(opts ...proctest.Option) *proctest.Proc {
	s.t.Helper()
	p := proctest.Start(s.t, "actor", append(opts, proctest.Args(s.name))...)
	p.Expect("ready")
	return p
}

func do(p *proctest.Proc, orders ...string) {
	for _, order := range orders {
		p.Send(order)
		p.Expect("done")
	}
}

// look is one call of Inspect.
func (s *stage) look(opts Options) *Scene {
	s.t.Helper()
	src, err := Open(s.name)
	if err != nil {
		s.t.Fatal(err)
	}
	defer src.Close()
	sub, err := Study(src, nil, true)
	if err != nil {
		s.t.Fatal(err)
	}
	scene, err := Inspect(context.Background(), []*Subject{sub}, opts)
	if err != nil {
		s.t.Fatal(err)
	}
	return scene
}

// item looks until the item at a path is in a state, which it then returns: an actor
// has said that it is about to wait, and /proc has no event for when it does.
func (s *stage) item(path, state string, also func(*Item) bool) *Item {
	s.t.Helper()
	var it *Item
	var last string
	proctest.Until(s.t, path+" "+state, func() bool {
		scene := s.look(Options{All: true, Long: time.Hour})
		last = print(scene)
		it = find(scene, path)
		if it == nil {
			s.t.Fatalf("no item %s in\n%s", path, last)
		}
		return it.State == state && (also == nil || also(it))
	})
	return it
}

func find(scene *Scene, path string) *Item {
	for _, it := range scene.Objects[0].Items {
		if it.Path == path {
			return it
		}
	}
	return nil
}

func print(s *Scene) string {
	var b strings.Builder
	Write(&b, s, false)
	return b.String()
}

// says fails the test unless a text has all these parts.
func says(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(text, part) {
			t.Errorf("no %q in\n%s", part, text)
		}
	}
}
