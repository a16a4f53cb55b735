package scenario

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"
	"time"

	"interlock/mutex"
	"interlock/seqlock"
	"interlock/stress/internal/arena"
)

// The payloads: the same number in every word, but for the last, which is a
// checksum. A mixture of two writes shows.
type (
	small struct{ W [8]uint64 }    // 64 B
	large struct{ W [512]uint64 }  // 4 KiB
	huge  struct{ W [8192]uint64 } // 64 KiB: long enough to be killed in the middle of
)

func (p *small) words() []uint64 { return p.W[:] }
func (p *large) words() []uint64 { return p.W[:] }
func (p *huge) words() []uint64  { return p.W[:] }

// private is a lane's own copies: large values do not belong on its stack.
type private struct {
	small small
	large large
	huge  huge
}

type payload[T any] interface {
	*T
	words() []uint64
}

// checksum of version 0 is 0: fresh memory is a whole value.
func checksum(version uint64) uint64 { return version * 0x9E3779B97F4A7C15 }

func fill(words []uint64, version uint64) {
	for i := range words {
		words[i] = version
	}
	words[len(words)-1] = checksum(version)
}

// whole is the version that words hold; false: they are torn.
func whole(words []uint64) (version uint64, ok bool) {
	version = words[0]
	for _, w := range words[:len(words)-1] {
		if w != version {
			return 0, false
		}
	}
	return version, words[len(words)-1] == checksum(version)
}

// seqArea is the objects under test. Many writers update the small ones; the
// larger ones have one writer, which stores.
type seqArea struct {
	Lock    seqlock.Seqlock[small]
	Buffer  seqlock.DoubleBuffer[small]
	LargeL  seqlock.Seqlock[large]
	LargeB  seqlock.DoubleBuffer[large]
	HugeL   seqlock.Seqlock[huge]
	Repair  mutex.Mutex // one repairing Store at a time, or versions would go back
	Issued  [seqObjects]counter
	Dead    atomic.Uint64 // loads that returned ErrWriterDead
	Mended  atomic.Uint64 // Stores that repaired a torn value
	Retried atomic.Uint64 // TryLoads that were refused
	AtEnd   atomic.Uint64 // values that were torn at the end, of writers whose successors had not come to them
}

type counter struct {
	N atomic.Uint64
	_ [56]byte
}

const (
	objLock = iota
	objBuffer
	objLargeLock
	objLargeBuffer
	objHugeLock
	seqObjects
)

var seqNames = [seqObjects]string{"Seqlock 64B", "DoubleBuffer 64B", "Seqlock 4KiB", "DoubleBuffer 4KiB", "Seqlock 64KiB"}

// Rec[obj] is the latest version that a writer's lane stored and returned
// from, or that a reader's lane saw: nothing older may be seen later.
// Rec[recSeqBegun+obj] is the latest that a writer's lane began to store.

const recSeqBegun = seqObjects

func seqlockPlan() *Plan {
	return &Plan{
		Name:     "seqlock",
		About:    "Seqlock and DoubleBuffer, 64 B to 64 KiB: no torn read, versions never go back, dead writers repaired",
		Duration: 1600 * time.Millisecond,
		Shape:    Shape{Procs: 4, Lanes: 2},
		Least:    Shape{Procs: 2, Lanes: 1},
		Traps:    []uint32{LabelInside},
		Marks:    []string{"E-Q", "E-M"},
		Area:     func(procs, lanes int) int { return arena.SizeOf[seqArea]() },
		Attach: func(w *Worker) (Body, error) {
			s := arena.At[seqArea](w.Arena.Scenario(), 0)
			s.Repair.OnOwnerDeath(func(pid int) error { return nil }) // it guards a sequence of calls, no data
			act := s.read
			if w.Index < int(w.Arena.Procs.Load())/2 {
				act = s.write
			}
			own := make([]private, w.Arena.Lanes.Load())
			return Body{Step: func(l *Lane) error { return act(l, &own[l.ID%len(own)]) }}, nil
		},
		Check: checkSeqlock,
		// The supervisor stores, too; see mendAtEnd.
		Cleanup: func(a *arena.Arena) error { return mutex.Detach(a.Scenario()) },
		Words: func(a *arena.Arena) []Word {
			s := arena.At[seqArea](a.Scenario(), 0)
			return []Word{
				{seqNames[objLock], seqWord(arena.Word(&s.Lock, 0), arena.Word(&s.Lock, 2))},
				{seqNames[objBuffer], seqWord(arena.Word(&s.Buffer, 0), arena.Word(&s.Buffer, 2))},
				{seqNames[objLargeLock], seqWord(arena.Word(&s.LargeL, 0), arena.Word(&s.LargeL, 2))},
				{seqNames[objLargeBuffer], seqWord(arena.Word(&s.LargeB, 0), arena.Word(&s.LargeB, 2))},
				{seqNames[objHugeLock], seqWord(arena.Word(&s.HugeL, 0), arena.Word(&s.HugeL, 2))},
			}
		},
	}
}

func seqWord(seq, lock uint32) string {
	state := "even"
	if seq&1 != 0 {
		state = "odd: being written, or torn"
	}
	return fmt.Sprintf("sequence …%d (%s), its writers' lock %s", seq, state, lockWord(lock))
}

// write does a burst of writes to one object, and then lets the readers have
// the CPU: a writer that never pauses may keep readers retrying.
func (s *seqArea) write(l *Lane, own *private) error {
	obj := l.Rand.IntN(seqObjects)
	if l.ID != 0 {
		obj = l.Rand.IntN(objLargeLock) // the larger ones have one writer
	}
	for range 16 {
		l.Label.Store(LabelWaiting)
		begin := l.Begin()
		version, err := s.writeOne(l, obj, own)
		l.Took(arena.Hold, begin)
		if err != nil {
			return err
		}
		l.Rec[obj].Store(version)
		l.Ops.Add(1)
		l.Label.Store(LabelIdle)
	}
	runtime.Gosched()
	return nil
}

func (s *seqArea) writeOne(l *Lane, obj int, own *private) (version uint64, err error) {
	ctx := context.Background()
	issued := &s.Issued[obj].N
	switch obj {
	case objLock:
		err = s.Lock.Update(ctx, updater[small](l, obj, issued, &version))
		if errors.Is(err, seqlock.ErrWriterDead) {
			return s.mend(l, issued)
		}
		return version, err
	case objBuffer:
		err = s.Buffer.Update(ctx, updater[small](l, obj, issued, &version))
		return version, err
	}
	version = l.issue(obj, issued)
	switch obj {
	case objLargeLock:
		fill(own.large.W[:], version)
		err = s.LargeL.Store(ctx, &own.large)
	case objLargeBuffer:
		fill(own.large.W[:], version)
		err = s.LargeB.Store(ctx, &own.large)
	case objHugeLock:
		fill(own.huge.W[:], version)
		err = s.HugeL.Store(ctx, &own.huge)
	}
	return version, err
}

// issue is the next version, of which l writes down that it begins to store it.
func (l *Lane) issue(obj int, issued *atomic.Uint64) (version uint64) {
	version = issued.Add(1)
	l.Rec[recSeqBegun+obj].Store(version)
	return version
}

// updater checks the version that it is given and makes the next. It runs
// under the writers' lock, so versions are issued in the order of the writes.
func updater[T any, P payload[T]](l *Lane, obj int, issued *atomic.Uint64, version *uint64) func(v *T) {
	return func(v *T) {
		l.Reach(LabelInside)
		words := P(v).words()
		if old, ok := whole(words); !ok {
			l.Fault("seqlock: Update was given a torn value: %#x … %#x", words[0], words[len(words)-1])
		} else if last := issued.Load(); old > last {
			l.Fault("seqlock: Update was given version %d, but only %d were issued", old, last)
		}
		*version = l.issue(obj, issued)
		fill(words, *version)
	}
}

// mend repairs what a dead writer left torn. While it is torn every Update
// fails, so between two looks under the repair lock nobody stores but the one
// who repairs, and its version is the highest.
func (s *seqArea) mend(l *Lane, issued *atomic.Uint64) (version uint64, err error) {
	ctx := context.Background()
	if l.W.Arena.Kills.Load() == 0 {
		l.Fault("seqlock: Update says that a writer died, but nobody was killed")
	}
	if err := s.Repair.LockContext(ctx); err != nil {
		return 0, err
	}
	defer s.Repair.Unlock()
	err = s.Lock.Update(ctx, updater[small](l, objLock, issued, &version))
	if !errors.Is(err, seqlock.ErrWriterDead) {
		return version, err // somebody else was quicker
	}
	var v small
	version = l.issue(objLock, issued)
	fill(v.W[:], version)
	s.Mended.Add(1)
	return version, s.Lock.Store(ctx, &v)
}

// read does a burst of reads of one object.
func (s *seqArea) read(l *Lane, own *private) error {
	obj := l.Rand.IntN(seqObjects)
	for range 16 {
		l.Label.Store(LabelWaiting)
		begin := l.Begin()
		words, err := s.readOne(l, obj, own)
		l.Took(arena.Wait, begin)
		l.Label.Store(LabelIdle)
		if errors.Is(err, seqlock.ErrWriterDead) {
			if l.W.Arena.Kills.Load() == 0 {
				l.Fault("seqlock: Load says that a writer died, but nobody was killed")
			}
			l.Errors.Add(1)
			s.Dead.Add(1)
			time.Sleep(50 * time.Microsecond) // let a writer come
			return nil
		}
		if err != nil {
			return err
		}
		if words == nil {
			s.Retried.Add(1)
			continue
		}
		s.examine(l, obj, words)
		l.Ops.Add(1)
	}
	return nil
}

// readOne returns nil words if a single attempt failed.
func (s *seqArea) readOne(l *Lane, obj int, own *private) (words []uint64, err error) {
	switch obj {
	case objLock:
		return load[small](l, &s.Lock, &own.small)
	case objBuffer:
		s.Buffer.Load(&own.small)
		return own.small.words(), nil
	case objLargeLock:
		return load[large](l, &s.LargeL, &own.large)
	case objLargeBuffer:
		s.LargeB.Load(&own.large)
		return own.large.words(), nil
	}
	return load[huge](l, &s.HugeL, &own.huge)
}

// load reads in one of the ways there are.
func load[T any, P payload[T]](l *Lane, s *seqlock.Seqlock[T], dst P) (words []uint64, err error) {
	if l.Rand.Uint32N(8) != 0 {
		return dst.words(), s.Load(context.Background(), dst)
	}
	if !s.TryLoad(dst) {
		return nil, nil
	}
	return dst.words(), nil
}

// examine checks what was read against what this lane read before.
func (s *seqArea) examine(l *Lane, obj int, words []uint64) {
	version, ok := whole(words)
	if !ok {
		l.Fault("seqlock: torn read of %s: first word %#x, last %#x", seqNames[obj], words[0], words[len(words)-1])
		return
	}
	if last := l.Rec[obj].Load(); version < last {
		l.Fault("seqlock: %s went back from version %d to %d", seqNames[obj], last, version)
	}
	l.Rec[obj].Store(version)
}

// cutShort says that the latest write to obj that there is any trace of was cut short by a
// death: a lane began it, and neither it nor any later one came to its end. Versions are
// issued in the order of the writes.
func cutShort(a *arena.Arena, obj int) bool {
	var begun, known uint64
	for id := range a.LaneCount() {
		rec := &a.LaneByID(id).Rec
		begun, known = max(begun, rec[recSeqBegun+obj].Load()), max(known, rec[obj].Load())
	}
	return begun > known
}

// mendAtEnd does for the dead what nobody has come to do: a writer may have been killed in
// the middle of the last write of all. What is torn otherwise stays so, and is found.
func mendAtEnd[T any, P payload[T]](a *arena.Arena, s *seqArea, obj int, lock *seqlock.Seqlock[T], f *Findings) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	v := new(T)
	if err := lock.Load(ctx, v); !errors.Is(err, seqlock.ErrWriterDead) || !cutShort(a, obj) {
		return
	}
	fill(P(v).words(), s.Issued[obj].N.Add(1))
	if err := lock.Store(ctx, v); err != nil {
		f.Faults = append(f.Faults, fmt.Sprintf("seqlock: a Store to %s behind a dead writer: %v", seqNames[obj], err))
	}
	s.AtEnd.Add(1)
}

func checkSeqlock(a *arena.Arena, f *Findings) {
	s := arena.At[seqArea](a.Scenario(), 0)
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	var sm [2]small
	var lg [2]large
	var hg huge
	mendAtEnd(a, s, objLock, &s.Lock, f)
	mendAtEnd(a, s, objLargeLock, &s.LargeL, f)
	mendAtEnd(a, s, objHugeLock, &s.HugeL, f)
	s.Buffer.Load(&sm[1])
	s.LargeB.Load(&lg[1])
	errs := [seqObjects]error{
		objLock: s.Lock.Load(ctx, &sm[0]), objLargeLock: s.LargeL.Load(ctx, &lg[0]), objHugeLock: s.HugeL.Load(ctx, &hg),
	}
	words := [seqObjects][]uint64{sm[0].words(), sm[1].words(), lg[0].words(), lg[1].words(), hg.words()}
	for obj := range seqObjects {
		if errs[obj] != nil {
			f.Faults = append(f.Faults, fmt.Sprintf("seqlock: all writers have left in good order, but %s is not whole: %v", seqNames[obj], errs[obj]))
			continue
		}
		version, ok := whole(words[obj])
		if !ok {
			f.Faults = append(f.Faults, fmt.Sprintf("seqlock: %s is torn at rest", seqNames[obj]))
		}
		for id := range a.LaneCount() {
			if last := a.LaneByID(id).Rec[obj].Load(); last > version {
				f.Faults = append(f.Faults, fmt.Sprintf("seqlock: %s ends at version %d, but %d had been stored or read", seqNames[obj], version, last))
				break
			}
		}
	}
	f.Notes = append(f.Notes, fmt.Sprintf("torn 0 ErrWriterDead %d mended %d", s.Dead.Load(), s.Mended.Load()+s.AtEnd.Load()))
	f.Metric("mended_at_end", float64(s.AtEnd.Load()))
	f.Metric("tryload_refused", float64(s.Retried.Load()))
}
