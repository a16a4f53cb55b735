package scenario

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"interlock/mutex"
	"interlock/seqlock"
	"interlock/stress/internal/arena"
)

// rowsArea is a table that everybody reads nearly always and now and then updates. An
// update changes one object of a row and then the other, so whoever reads the second and
// then the first finds the second never ahead.
//
// A value is its row and how many updates there were, in every word but the last, a
// checksum: so what a writer that died in the middle was about to write is known, and
// whoever comes writes it.
type rowsArea struct {
	Rows   [rowCount]row
	Repair mutex.Mutex // one repairing Store at a time
	_      [24]byte
	Scans  atomic.Uint64 // of the whole table, that came to their end
	Mended atomic.Uint64 // torn values, written again
	Pairs  atomic.Uint64 // rows of which both objects were read
}

// row is two objects: in even rows the Seqlock is changed first, in odd ones last.
type row struct {
	Lock    seqlock.Seqlock[large]
	Buffer  seqlock.DoubleBuffer[large]
	Account [2]rowAccount
}

// rowAccount is what is known of the versions of one object.
type rowAccount struct {
	Begun     atomic.Uint64 // the latest that a writer was about to write; changed under the writers' lock
	Confirmed atomic.Uint64 // updates that returned
	Perhaps   atomic.Uint64 // whose writer died before it had said so
	_         [40]byte
}

const (
	rowCount   = 64
	updateEach = 100  // operations
	scanEach   = 1000 // likewise
	pairEach   = 8    // reads
)

// The objects of a row.
const (
	inLock = iota
	inBuffer
)

// first is the object of a row that is changed first.
func first(i int) int { return i % 2 }

// value is what version n of either object of a row has in its words.
func rowValue(i int, n uint64) uint64 { return uint64(i)<<48 | n }

// A lane's record.
const recUpdating = 0 // 1 + row*2+object that it is about to update; 0: none

// Labels of the table.
const (
	labelUpdating = LabelOwn + iota // in Update, with the writers' lock
	labelOneUpdated
	labelMending
)

func readMostlyPlan() *Plan {
	return &Plan{
		Name:     "read-mostly",
		About:    "a table of 64 rows, 99 reads for each update: nothing torn, stale or out of order, every update counted, dead writers' too",
		Labels:   []string{"updating", "one of two updated", "mending"},
		Duration: time.Second,
		Shape:    Shape{Procs: 4, Lanes: 2},
		Least:    Shape{Procs: 1, Lanes: 1},
		Traps:    []uint32{labelUpdating, labelOneUpdated},
		Marks:    []string{"E-Q", "E-M2", "E-M3", "E-M5", "E-M7 inherited"}, // it hardly ever comes to a repair
		Area:     func(procs, lanes int) int { return arena.SizeOf[rowsArea]() },
		Attach: func(w *Worker) (Body, error) {
			t := rowsOf(w.Arena)
			t.Repair.OnOwnerDeath(func(pid int) error { return nil }) // it guards a sequence of calls, no data
			own := make([]rowsReader, w.Arena.Lanes.Load())
			return Body{Step: func(l *Lane) error { return t.step(l, &own[l.ID%len(own)]) }}, nil
		},
		Conduct: func(st Stage) {
			for p := newProgress(st); st.Sleep(10*time.Millisecond) && p.look(); {
			}
			quiesce(st, &rowsOf(st.Arena()).Scans)
		},
		Settle: settleRows,
		Check:  func(a *arena.Arena, f *Findings) { rowsOf(a).check(f) },
		Words:  func(a *arena.Arena) []Word { return rowsOf(a).words() },
	}
}

func rowsOf(a *arena.Arena) *rowsArea { return arena.At[rowsArea](a.Scenario(), 0) }

// rowsReader is what a lane has read: a copy, and the latest version of each object.
type rowsReader struct {
	copy large
	seen [rowCount][2]uint64
}

// step reads a row, or updates it, or reads all.
func (t *rowsArea) step(l *Lane, own *rowsReader) (err error) {
	l.Label.Store(LabelWaiting)
	i := l.Rand.IntN(rowCount >> l.Rand.IntN(6)) // the lower, the more often
	switch {
	case l.Rand.Uint32N(scanEach) == 0:
		for i = range rowCount {
			if err = t.readBoth(l, own, i); err != nil {
				return err
			}
		}
		t.Scans.Add(1)
	case l.Rand.Uint32N(updateEach) == 0:
		err = t.updateBoth(l, i)
	case l.Rand.Uint32N(pairEach) == 0:
		err = t.readBoth(l, own, i)
	default:
		begin := l.Begin()
		_, _, err = t.read(l, own, i, l.Rand.IntN(2))
		l.Took(arena.Wait, begin)
	}
	l.Ops.Add(1)
	l.Label.Store(LabelIdle)
	return err
}

// updateBoth changes both objects of a row, one after the other.
func (t *rowsArea) updateBoth(l *Lane, i int) error {
	begin := l.Begin()
	if err := t.update(l, i, first(i)); err != nil {
		return err
	}
	l.Reach(labelOneUpdated)
	err := t.update(l, i, 1-first(i))
	l.Took(arena.Hold, begin)
	return err
}

func (t *rowsArea) update(l *Lane, i, obj int) (err error) {
	r, ctx := &t.Rows[i], context.Background()
	change := func(v *large) { r.change(l, i, obj, v) }
	l.Rec[recUpdating].Store(uint64(1 + 2*i + obj))
	if obj == inBuffer {
		err = r.Buffer.Update(ctx, change)
	} else {
		for err = r.Lock.Update(ctx, change); errors.Is(err, seqlock.ErrWriterDead); err = r.Lock.Update(ctx, change) {
			if err := t.mend(l, i); err != nil {
				return err
			}
		}
	}
	if err != nil {
		return err
	}
	r.Account[obj].Confirmed.Add(1)
	l.Rec[recUpdating].Store(0)
	return nil
}

// change makes the next version of what Update was given, which is the one before it: the
// last one that was begun, or, if its writer died before it wrote, the one before that.
func (r *row) change(l *Lane, i, obj int, v *large) {
	l.Reach(labelUpdating)
	n, ok := rowVersion(i, v)
	begun := r.Account[obj].Begun.Load()
	if !ok || n != begun && n+1 != begun {
		l.Fault("read-mostly: Update of row %d was given %#x … %#x, after version %d was begun", i, v.W[0], v.W[len(v.W)-1], begun)
	}
	r.Account[obj].Begun.Store(n + 1)
	fill(v.W[:], rowValue(i, n+1))
}

// rowVersion is how many updates a value of row i has; not ok: it is torn, or another row's.
func rowVersion(i int, v *large) (n uint64, ok bool) {
	value, ok := whole(v.W[:])
	n = value & (1<<48 - 1)
	return n, ok && (value == 0 || value == rowValue(i, n))
}

// mend writes what a dead writer was about to write. While the value is torn every Update
// fails, so from the look to the Store nobody changes it.
func (t *rowsArea) mend(l *Lane, i int) error {
	l.Label.Store(labelMending)
	r, ctx := &t.Rows[i], context.Background()
	if l.W.Arena.Kills.Load() == 0 {
		l.Fault("read-mostly: a writer of row %d is said to be dead, but nobody was killed", i)
	}
	if err := t.Repair.LockContext(ctx); err != nil {
		return err
	}
	defer t.Repair.Unlock()
	err := r.Lock.Update(ctx, func(*large) {})
	if !errors.Is(err, seqlock.ErrWriterDead) {
		return err // somebody else was quicker
	}
	var v large
	fill(v.W[:], rowValue(i, r.Account[inLock].Begun.Load()))
	t.Mended.Add(1)
	return r.Lock.Store(ctx, &v)
}

// readBoth reads the object of a row that is changed last, and then the one that is
// changed first.
func (t *rowsArea) readBoth(l *Lane, own *rowsReader, i int) error {
	last, ok, err := t.read(l, own, i, 1-first(i))
	if err != nil || !ok {
		return err
	}
	lead, ok, err := t.read(l, own, i, first(i))
	if err != nil || !ok {
		return err
	}
	if t.Pairs.Add(1); lead < last {
		l.Fault("read-mostly: row %d: version %d was seen where it is changed last, and then %d where it is changed first", i, last, lead)
	}
	return nil
}

// read reads one object in one of the ways there are, and checks what it finds against all
// that is known. Not ok: a single attempt was refused.
func (t *rowsArea) read(l *Lane, own *rowsReader, i, obj int) (n uint64, ok bool, err error) {
	r, known := &t.Rows[i], &t.Rows[i].Account[obj]
	confirmed := known.Confirmed.Load()
	if obj == inBuffer {
		r.Buffer.Load(&own.copy)
	} else {
		words, err := load[large](l, &r.Lock, &own.copy)
		if errors.Is(err, seqlock.ErrWriterDead) {
			l.Errors.Add(1)
			return 0, false, t.mend(l, i)
		}
		if err != nil || words == nil {
			return 0, false, err
		}
	}
	n, ok = rowVersion(i, &own.copy)
	switch seen, begun := own.seen[i][obj], known.Begun.Load(); {
	case !ok:
		l.Fault("read-mostly: torn read of row %d: first word %#x, last %#x", i, own.copy.W[0], own.copy.W[len(own.copy.W)-1])
	case n < confirmed:
		l.Fault("read-mostly: row %d is at version %d for lane %d, after %d updates had returned", i, n, l.ID, confirmed)
	case n < seen:
		l.Fault("read-mostly: row %d went back from version %d to %d for lane %d", i, seen, n, l.ID)
	case n > begun:
		l.Fault("read-mostly: row %d is at version %d for lane %d, and only %d were begun", i, n, l.ID, begun)
	}
	own.seen[i][obj] = n
	return n, ok, nil
}

// settleRows notes the updates of which nobody can say whether they were made.
func settleRows(a *arena.Arena, slot int) {
	t := rowsOf(a)
	for j := range int(a.Lanes.Load()) {
		rec := &a.Lane(slot, j).Rec[recUpdating]
		if at := rec.Load(); at != 0 {
			t.Rows[(at-1)/2].Account[(at-1)%2].Perhaps.Add(1)
		}
		rec.Store(0)
	}
}

func (t *rowsArea) words() (words []Word) {
	for i := range t.Rows {
		r := &t.Rows[i]
		for name, state := range map[string][2]uint32{
			"Seqlock":      {arena.Word(&r.Lock, 0), arena.Word(&r.Lock, 2)},
			"DoubleBuffer": {arena.Word(&r.Buffer, 0), arena.Word(&r.Buffer, 2)},
		} {
			if state[0]&1 != 0 || state[1] != 0 {
				words = append(words, Word{fmt.Sprintf("row %d %s", i, name), seqWord(state[0], state[1])})
			}
		}
	}
	return words
}

func (t *rowsArea) check(f *Findings) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	var updates, perhaps uint64
	for i := range t.Rows {
		r := &t.Rows[i]
		var v [2]large
		if err := r.Lock.Load(ctx, &v[inLock]); err != nil {
			f.Faults = append(f.Faults, fmt.Sprintf("read-mostly: all have left in good order, but row %d is not whole: %v", i, err))
			continue
		}
		r.Buffer.Load(&v[inBuffer])
		var n [2]uint64
		for obj := range v {
			ok, known := false, &r.Account[obj]
			n[obj], ok = rowVersion(i, &v[obj])
			made, maybe := known.Confirmed.Load(), known.Perhaps.Load()
			if !ok || n[obj] < made || n[obj] > made+maybe {
				f.Faults = append(f.Faults, fmt.Sprintf("read-mostly: row %d is at version %d (whole: %v) after %d updates and %d of which nobody knows", i, n[obj], ok, made, maybe))
			}
			updates, perhaps = updates+made, perhaps+maybe
		}
		if n[first(i)] < n[1-first(i)] {
			f.Faults = append(f.Faults, fmt.Sprintf("read-mostly: row %d is at version %d, and at %d where it is changed last", i, n[first(i)], n[1-first(i)]))
		}
	}
	f.Notes = append(f.Notes, fmt.Sprintf("updates %d (%d perhaps) torn 0 mended %d pairs %d", updates, perhaps, t.Mended.Load(), t.Pairs.Load()))
	f.Metric("updates", float64(updates))
}
