package seqlock

import (
	"context"
	"testing"

	"interlock/internal/race/racetest"
)

// A raceValue is either type, over one number.
type raceValue interface {
	Store(ctx context.Context, src *uint64) error
	Update(ctx context.Context, f func(v *uint64)) error
}

// A raceKind is a type of this package, and the ways to read it.
type raceKind struct {
	name  string
	at    func(mem []byte) raceValue
	reads map[string]func(s *racetest.Stage, v raceValue) uint64
}

var raceContext = context.Background()

var raceKinds = []raceKind{
	{"Seqlock", func(mem []byte) raceValue { return racetest.At[Seqlock[uint64]](mem, 0) },
		map[string]func(s *racetest.Stage, v raceValue) uint64{
			"Load": func(s *racetest.Stage, v raceValue) (n uint64) {
				s.Check(v.(*Seqlock[uint64]).Load(raceContext, &n))
				return n
			},
			"TryLoad": func(s *racetest.Stage, v raceValue) (n uint64) {
				for !v.(*Seqlock[uint64]).TryLoad(&n) {
				}
				return n
			},
		}},
	{"DoubleBuffer", func(mem []byte) raceValue { return racetest.At[DoubleBuffer[uint64]](mem, 0) },
		map[string]func(s *racetest.Stage, v raceValue) uint64{
			"Load": func(_ *racetest.Stage, v raceValue) (n uint64) {
				v.(*DoubleBuffer[uint64]).Load(&n)
				return n
			},
		}},
}

// The ways to write.
var raceWrites = map[string]func(s *racetest.Stage, v raceValue, n uint64){
	"Store": func(s *racetest.Stage, v raceValue, n uint64) { s.Check(v.Store(raceContext, &n)) },
	"Update": func(s *racetest.Stage, v raceValue, n uint64) {
		s.Check(v.Update(raceContext, func(v *uint64) { *v = n }))
	},
}

// seen is a value as two goroutines see it: the same one, at one address or two.
func (k raceKind) seen(s *racetest.Stage) (a, b raceValue) {
	a, b = k.at(s.A), k.at(s.B)
	for _, v := range []raceValue{a, b} { // what is done once in a process, and for each value, is done
		raceWrites["Store"](s, v, 0)
		k.reads["Load"](s, v)
	}
	return a, b
}

// passed are the cases of a write and a read.
func (k raceKind) passed(name string, write func(s *racetest.Stage, v raceValue, n uint64), read func(s *racetest.Stage, v raceValue) uint64) []racetest.Case {
	return []racetest.Case{
		{Name: name + ", written before it", Run: func(s *racetest.Stage) {
			a, b := k.seen(s)
			s.InTurn(
				func() { *s.Data = 1; write(s, a, 1) },
				func() { write(s, a, 2) }, // takes nothing away from the first
				func() { read(s, b); *s.Data = 2 })
		}},
		// The reader may come at any moment, also just when the value is whole.
		{Name: name + ", written before it, at once", Run: func(s *racetest.Stage) {
			const n = 10_000
			a, b := k.seen(s)
			published := make([]uint64, n+1)
			s.AtOnce(
				func() {
					for i := range uint64(n) {
						published[i+1] = i + 1
						write(s, a, i+1)
					}
				},
				func() {
					for i := uint64(0); i < n; {
						i = read(s, b)
						s.Must(published[i] == i, "what was published is there")
					}
				})
		}},
		{Name: name + ", written after it", Report: true, Run: func(s *racetest.Stage) {
			a, b := k.seen(s)
			s.InTurn(
				func() { write(s, a, 1); *s.Data = 1 },
				func() { read(s, b); *s.Data = 2 })
		}},
		{Name: name + ", a reader releases nothing", Report: true, Run: func(s *racetest.Stage) {
			a, b := k.seen(s)
			s.InTurn(
				func() { *s.Data = 1; read(s, a) },
				func() { write(s, b, 1); read(s, b); *s.Data = 2 })
		}},
	}
}

// written are the cases of a way to write: writers are ordered by themselves.
func (k raceKind) written(name string, write func(s *racetest.Stage, v raceValue, n uint64)) []racetest.Case {
	return []racetest.Case{
		{Name: name + ", one after the other", Run: func(s *racetest.Stage) {
			a, b := k.seen(s)
			s.InTurn(
				func() { *s.Data = 1; write(s, a, 1) },
				func() { write(s, b, 2); *s.Data = 2 })
		}},
		{Name: name + ", one after the other, unguarded", Report: true, Run: func(s *racetest.Stage) {
			a, b := k.seen(s)
			s.InTurn(
				func() { write(s, a, 1); *s.Data = 1 },
				func() { write(s, b, 2); *s.Data = 2 })
		}},
	}
}

// refused are the cases of writes that fail, which publish nothing.
func (k raceKind) refused() []racetest.Case {
	read := k.reads["Load"]
	return []racetest.Case{
		{Name: k.name + ", a Store that is cancelled", Report: true, Run: func(s *racetest.Stage) {
			a, b := k.seen(s)
			cancelled, cancel := context.WithCancel(raceContext)
			cancel()
			s.InTurn(
				func() { *s.Data = 1; s.Must(a.Store(cancelled, new(uint64)) != nil, "it is cancelled") },
				func() { read(s, b); *s.Data = 2 })
		}},
		{Name: k.name + ", an Update that panics", Report: true, Run: func(s *racetest.Stage) {
			a, b := k.seen(s)
			s.InTurn(
				func() {
					defer func() { s.Must(recover() != nil, "it panics") }()
					*s.Data = 1
					_ = a.Update(raceContext, func(*uint64) { panic("as it should") })
				},
				func() { read(s, b); *s.Data = 2 })
		}},
		{Name: k.name + ", inside of Update", Run: func(s *racetest.Stage) {
			a, b := k.seen(s)
			s.InTurn(
				func() { s.Check(a.Update(raceContext, func(*uint64) { *s.Data = 1 })) },
				func() { s.Check(b.Update(raceContext, func(*uint64) { *s.Data = 2 })) })
		}},
	}
}

// tornCases are the cases of reads that fail: a writer has died in its write.
var tornCases = []racetest.Case{
	{Name: "Seqlock, a TryLoad that fails", Report: true, Run: func(s *racetest.Stage) {
		tornBefore(s, func(b *Seqlock[uint64]) { s.Must(!b.TryLoad(new(uint64)), "the value is torn") })
	}},
	{Name: "Seqlock, a Load that fails", Report: true, Run: func(s *racetest.Stage) {
		tornBefore(s, func(b *Seqlock[uint64]) {
			s.Must(b.Load(raceContext, new(uint64)) == ErrWriterDead, "the value is torn")
		})
	}},
	{Name: "Seqlock, an Update that finds it torn", Report: true, Run: func(s *racetest.Stage) {
		k := raceKinds[0]
		a, b := k.seen(s)
		s.InTurn(
			func() { a.(*Seqlock[uint64]).seq.Add(1) },
			func() { *s.Data = 1; s.Must(a.Update(raceContext, nil) == ErrWriterDead, "the value is torn") },
			func() { a.(*Seqlock[uint64]).seq.Add(1) }, // as a Store would, of which nothing is known here
			func() { k.reads["Load"](s, b); *s.Data = 2 })
	}},
}

// tornBefore writes Data, publishes it, tears the value and lets it be read.
func tornBefore(s *racetest.Stage, read func(b *Seqlock[uint64])) {
	a, b := raceKinds[0].seen(s)
	s.InTurn(
		func() { *s.Data = 1; raceWrites["Store"](s, a, 1) },
		func() { a.(*Seqlock[uint64]).seq.Add(1) },
		func() { read(b.(*Seqlock[uint64])); *s.Data = 2 })
}

var raceCases = func() []racetest.Case {
	all := tornCases
	for _, k := range raceKinds {
		all = append(all, k.refused()...)
		for how, write := range raceWrites {
			all = append(all, k.written(k.name+", "+how, write)...)
			for reading, read := range k.reads {
				all = append(all, k.passed(k.name+", "+how+" and "+reading, write, read)...)
			}
		}
	}
	return all
}()

func init() { racetest.Register(raceCases...) }

func TestTheRaceDetectorTellsTheTruth(t *testing.T) { racetest.Judge(t, raceCases...) } // T60, P-G4
