package include

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"interlock/internal/proctest"
	"interlock/seqlock"
	"interlock/shm"
)

func init() {
	proctest.Register("writer", func(c *proctest.Child) {
		b, seg, err := shm.Share[board](context.Background(), c.Args[0], nil)
		c.Check(err)
		defer seg.Close()
		c.Say("ready")
		c.Check(updates(b, c.Int(1)))
		c.Say("ok")
	})
}

// updates is what updates in testdata/peer.c is.
func updates(b *board, n int) error {
	ctx := context.Background()
	next := func(q *quote) { *q = quoteOf(q.Number + 1) }
	for range n {
		err := b.Price.Update(ctx, next)
		if errors.Is(err, seqlock.ErrWriterDead) {
			anew := quoteOf(0)
			err = b.Price.Store(ctx, &anew)
		}
		if err == nil {
			err = b.Table.Update(ctx, next)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func TestWritersOfBothKindsTearNothing(t *testing.T) {
	each(t, func(t *testing.T, d desk) {
		const rounds = 20000
		watcher, writer := d.peer(t), d.peer(t)
		other := proctest.Start(t, "writer", proctest.Args(d.name, fmt.Sprint(rounds)))
		watcher.Send("watch")
		other.Expect("ready")
		writer.Send(fmt.Sprintf("updates %d", rounds))
		loads := 0
		var q quote
		for price := uint64(0); price < 2*rounds; loads++ {
			if err := d.Price.Load(context.Background(), &q); err != nil || q != quoteOf(q.Number) || q.Number < price {
				t.Fatalf("seqlock after %d: %+v, %v", price, q, err)
			}
			price = q.Number
			if d.Table.Load(&q); q != quoteOf(q.Number) {
				t.Fatalf("double buffer: %+v", q)
			}
		}
		writer.Expect("ok")
		other.Expect("ok")
		if d.Table.Load(&q); q != quoteOf(2*rounds) {
			t.Errorf("after %d updates the double buffer holds %d", 2*rounds, q.Number)
		}
		d.halt(t, watcher)
		t.Logf("%d loads in Go, none torn", loads)
	})
}

// halt ends a watcher, who must have seen whole values only.
func (d desk) halt(t *testing.T, watcher peer) {
	t.Helper()
	d.Mu.Lock()
	d.Stop = 1
	d.Mu.Unlock()
	if line := watcher.Line(); !strings.HasPrefix(line, "ok ") || line == "ok 0" {
		t.Errorf("C saw: %s", line)
	}
}

// P-Q1: killed between E-Q1 and E-Q2, by whatever language.
func TestAWriterInCDiesInItsWrite(t *testing.T) {
	each(t, func(t *testing.T, d desk) {
		p, ctx := d.peer(t), context.Background()
		var q quote
		for i := range uint64(10) {
			p.do(fmt.Sprintf("store %d", 100+i), "ok", "load 0", "ok", "table", fmt.Sprint(100+i))
			victim := d.peer(t)
			victim.Send("tear")
			victim.WaitKilled(9)
			if err := d.Price.Load(ctx, &q); !errors.Is(err, seqlock.ErrWriterDead) {
				t.Fatalf("Load: %v", err)
			}
			p.do("load 1000", "EOWNERDEAD", "update", "EOWNERDEAD", "load 0", "EOWNERDEAD", "table", fmt.Sprint(100+i)) // the write that was begun never happened
			if d.Table.Load(&q); q != quoteOf(100+i) {
				t.Errorf("double buffer: %+v", q)
			}
			if i%2 == 0 { // Go repairs; else C does, at the next round's store
				if err := d.Price.Update(ctx, func(*quote) {}); !errors.Is(err, seqlock.ErrWriterDead) {
					t.Errorf("Update: %v", err)
				}
				q = quoteOf(5)
				if err := errors.Join(d.Price.Store(ctx, &q), d.Table.Store(ctx, &q)); err != nil {
					t.Fatal(err)
				}
				p.do("load 0", "ok", "table", "5")
			}
		}
	})
}

// Writers of both kinds, killed wherever they are, while both kinds read.
func TestKilledWritersTearNothing(t *testing.T) {
	each(t, func(t *testing.T, d desk) {
		watcher := d.peer(t)
		watcher.Send("watch")
		dead := 0
		var q quote
		for i := range 60 {
			var victim *proctest.Proc
			if i%2 == 0 {
				p := d.peer(t)
				p.Send("updates 1000000000")
				victim = p.Proc
			} else {
				victim = proctest.Start(t, "writer", proctest.Args(d.name, "1000000000"))
				victim.Expect("ready")
			}
			var before, now quote
			d.Table.Load(&before)
			proctest.Until(t, "a write", func() bool { d.Table.Load(&now); return now != before })
			victim.Kill()
			err := d.Price.Load(context.Background(), &q)
			if err == nil && q != quoteOf(q.Number) || err != nil && !errors.Is(err, seqlock.ErrWriterDead) {
				t.Fatalf("after the death of %d: %+v, %v", victim.Pid, q, err)
			}
			if err != nil {
				dead++
			}
		}
		d.halt(t, watcher)
		t.Logf("60 killed, %d of them in a write", dead)
	})
}
