// What holds for the conversation: what one side writes the other reads, and
// anything else is an error; batches are as many as there is time for.
package work

import (
	"bytes"
	"io"
	"strings"
	"testing"
	"time"

	"interlock/stress/internal/arena"
)

func TestOrdersAndAnswers(t *testing.T) {
	o := Order{For: 3 * time.Millisecond, At: 12345, Mode: "timed"}
	if got, err := parseOrder(o.String()); err != nil || got != o {
		t.Errorf("%+v, %v", got, err)
	}
	a := Answer{Ops: 7, Elapsed: time.Second, Best: 1.5, Middle: 2.25, Waits: NewWaits()}
	for _, ns := range []int64{1, 1, 100, 40_000, 1_000_000} {
		if err := a.Waits.RecordValue(ns); err != nil {
			t.Fatal(err)
		}
	}
	got, err := ParseAnswer(a.String())
	if err != nil || got.Ops != 7 || got.Elapsed != time.Second || got.Best != 1.5 || got.Middle != 2.25 {
		t.Errorf("%+v, %v", got, err)
	}
	if !got.Waits.Equals(a.Waits) {
		t.Errorf("waits %v, not %v", got.Waits.Distribution(), a.Waits.Distribution())
	}
	for _, text := range []string{"", "ops", "ops 1 ns 2 best 3 middle 4 waits 5", "ops 1 ns 2 best 3 middle 4 waits x:1,"} {
		if _, err := ParseAnswer(text); err == nil {
			t.Errorf("%q is an answer", text)
		}
	}
}

func TestServe(t *testing.T) {
	var out bytes.Buffer
	c := NewConn(strings.NewReader("for 1 at 0 mode a\nfor 2 at 0 mode b\n"), &out)
	modes := ""
	err := c.Serve(func(o Order) (Answer, error) {
		modes += o.Mode
		return Answer{Ops: uint64(o.For)}, nil
	})
	if err != nil || modes != "ab" || strings.Count(out.String(), "\n") != 2 {
		t.Errorf("%v, modes %s, said %q", err, modes, &out)
	}
	bad := NewConn(strings.NewReader("go on\n"), io.Discard)
	if err := bad.Serve(func(Order) (Answer, error) { return Answer{}, nil }); err == nil {
		t.Error("nonsense is an order")
	}
}

func TestBatches(t *testing.T) {
	n := uint64(0)
	o := Order{For: 20 * time.Millisecond, At: arena.Now() + int64(time.Millisecond)}
	a := o.Batches(func(k int) {
		n += uint64(k)
		for end := arena.Now() + int64(k)*10_000; arena.Now() < end; {
		}
	})
	if a.Ops == 0 || a.Ops > n || a.Elapsed < 15*time.Millisecond || a.Best < 10_000 || a.Middle < a.Best {
		t.Errorf("%s for operations of 10 µs", a)
	}
	if arena.Now() < o.At {
		t.Error("it began too early")
	}
}
