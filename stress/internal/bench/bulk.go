package bench

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"interlock/semaphore"
	"interlock/stress/internal/arena"
	"interlock/stress/internal/bench/work"
)

// bulkBoard is a ring of slots that follow it, as in examples/ring: two semaphores
// count the slots that are free and those that are full.
type bulkBoard struct {
	Free semaphore.Semaphore
	_    [32]byte
	Full semaphore.Semaphore
	_    [32]byte
}

// ringBytes is about the size of all slots together: more than a CPU's own cache
// holds, and less than the one that the CPUs share. Bytes that have gone there by
// the time they are read come several times faster than out of the other CPU's own.
const (
	ringBytes  = 4 << 20
	leastSlots = 4
	mostSlots  = 16384
)

func slots(size int) int { return min(mostSlots, max(leastSlots, ringBytes/size)) }

// A message is the same number in all of its words, so that all of it has to be
// written and to be read; the last one of a slice says so.
const last = uint64(1) << 63

// step is how many bytes check does at a time; messages are multiples of it.
const step = 64

// block is how much of a message fill copies from its beginning: wide stores keep
// more cache lines on their way than the stores of single words do.
const block = 512

func fill(message []byte, n uint64) {
	head := message[:min(block, len(message))]
	for w := head; len(w) > 0; w = w[8:] {
		binary.NativeEndian.PutUint64(w, n)
	}
	for rest := message[len(head):]; len(rest) > 0; {
		rest = rest[copy(rest, head):]
	}
}

// differ is not 0 if a word of the message is not n.
func differ(message []byte, n uint64) (bits uint64) {
	for ; len(message) >= step; message = message[step:] {
		w := message[:step:step]
		bits |= xor(w[0:], n) | xor(w[8:], n) | xor(w[16:], n) | xor(w[24:], n) |
			xor(w[32:], n) | xor(w[40:], n) | xor(w[48:], n) | xor(w[56:], n)
	}
	return bits
}

func xor(w []byte, n uint64) uint64 { return binary.NativeEndian.Uint64(w) ^ n }

func check(message []byte, n uint64) (isLast bool, err error) {
	if isLast = binary.NativeEndian.Uint64(message)&last != 0; isLast {
		n |= last
	}
	if differ(message, n) != 0 {
		return false, fmt.Errorf("%w: message %d is not whole", work.ErrBroke, n&^last)
	}
	return isLast, nil
}

// A road is how messages get from the producer to the consumer: put makes number n
// and sends it, get waits for one and looks at all of it.
type road interface {
	put(n uint64) error
	get(n uint64) (isLast bool, err error)
}

// ring is a road through shared memory: a message is made, and looked at, where it is.
type ring struct {
	b    *bulkBoard
	mem  []byte
	size int
	at   int // the slot whose turn it is
}

func (g *ring) next() []byte {
	slot := g.mem[g.at*g.size:][:g.size]
	g.at = (g.at + 1) % slots(g.size)
	return slot
}

func (g *ring) put(n uint64) error {
	if err := g.b.Free.Acquire(context.Background()); err != nil {
		return err
	}
	fill(g.next(), n)
	return g.b.Full.Release()
}

func (g *ring) get(n uint64) (bool, error) {
	if err := g.b.Full.Acquire(context.Background()); err != nil {
		return false, err
	}
	isLast, err := check(g.next(), n)
	return isLast, errors.Join(err, g.b.Free.Release())
}

// copied is a ring for who has the data elsewhere and wants it elsewhere: one copy in
// and one out, as the kernel makes.
type copied struct {
	ring
	buf []byte
}

func (g *copied) put(n uint64) error {
	fill(g.buf, n)
	if err := g.b.Free.Acquire(context.Background()); err != nil {
		return err
	}
	copy(g.next(), g.buf)
	return g.b.Full.Release()
}

func (g *copied) get(n uint64) (bool, error) {
	if err := g.b.Full.Acquire(context.Background()); err != nil {
		return false, err
	}
	copy(g.buf, g.next())
	if err := g.b.Free.Release(); err != nil {
		return false, err
	}
	return check(g.buf, n)
}

// stream is a road by way of a descriptor.
type stream struct {
	fd  int
	buf []byte
}

func (s *stream) put(n uint64) error {
	fill(s.buf, n)
	return all(unix.Write, s.fd, s.buf)
}

func (s *stream) get(n uint64) (bool, error) {
	if err := all(unix.Read, s.fd, s.buf); err != nil {
		return false, err
	}
	return check(s.buf, n)
}

// serveBulk is the producer or the consumer: args are which, the road, and the size.
func serveBulk(c *work.Conn, args []string) error {
	size, err := strconv.Atoi(args[2])
	if err != nil {
		return err
	}
	var way road
	switch buf := make([]byte, size); args[1] {
	case "stream":
		if err := unix.SetNonblock(firstFile, false); err != nil {
			return err
		}
		way = &stream{firstFile, buf}
	default:
		b, mem, err := inherit[bulkBoard]()
		if err != nil {
			return err
		}
		g := ring{b: b, mem: mem[arena.SizeOf[bulkBoard]():], size: size}
		if way = &g; args[1] == "copied" {
			way = &copied{g, buf}
		}
	}
	if err := c.Say("ready"); err != nil {
		return err
	}
	h := &hauler{way: way, size: size}
	return c.Serve(map[string]func(work.Order) (work.Answer, error){"produce": h.produce, "consume": h.consume}[args[0]])
}

// hauler is one end of a road. Messages are numbered through all slices.
type hauler struct {
	way  road
	size int
	n    uint64
}

func (h *hauler) produce(o work.Order) (a work.Answer, err error) {
	end := o.Await()
	often := max(1, 1<<20/16/h.size) // messages between two looks at the clock
	for arena.Now() < end {
		for range often {
			h.n++
			if err := h.way.put(h.n); err != nil {
				return a, err
			}
		}
	}
	h.n++
	return a, h.way.put(h.n | last)
}

// consume counts what has arrived, from the first message to the last.
func (h *hauler) consume(work.Order) (a work.Answer, err error) {
	var begin int64
	for {
		h.n++
		isLast, err := h.way.get(h.n)
		if err != nil {
			return a, err
		}
		if begin == 0 {
			begin = arena.Now()
		}
		a.Ops++
		if isLast {
			a.Elapsed = time.Duration(max(1, arena.Now()-begin))
			return a, nil
		}
	}
}

// haul starts a producer and a consumer, each on its CPU where there are two. It
// measures bytes per second.
func (r *Rig) haul(way string, size int) (gauge, error) {
	var ends [2]*os.File // the consumer's and the producer's
	switch way {
	case "pipe":
		var err error
		if ends[0], ends[1], err = os.Pipe(); err != nil {
			return nil, err
		}
		r.keepOpen(ends[0], ends[1])
	case "unix":
		_, files, err := socketPair(r, way)
		if err != nil {
			return nil, err
		}
		ends = [2]*os.File{files[0][0], files[1][0]}
	default:
		g, err := memory[bulkBoard](r, slots(size)*size)
		if err != nil {
			return nil, err
		}
		g.at.Free.Init(uint32(slots(size)))
		ends = [2]*os.File{g.file, g.file}
	}
	kind := way
	if way == "pipe" || way == "unix" {
		kind = "stream"
	}
	var two []*proc
	for i, role := range []string{"consume", "produce"} {
		p, err := r.worker("bulk", []string{role, kind, strconv.Itoa(size)}, ends[i])
		if err != nil {
			return nil, err
		}
		if err := p.expect("ready"); err != nil {
			return nil, err
		}
		two = append(two, p)
	}
	messages := rate("bulk", spread(two)...)
	return func(d time.Duration) (float64, error) {
		x, err := messages(d)
		return x * float64(size), err
	}, nil
}

func runBulk(r *Rig) error {
	for _, size := range []int{64, 512, 4 << 10, 64 << 10, 1 << 20} {
		var gauges []gauge
		for _, way := range []string{"ring", "copied", "pipe", "unix"} {
			g, err := r.haul(way, size)
			if err != nil {
				return err
			}
			gauges = append(gauges, g)
		}
		got, err := r.contest(gauges...)
		if err != nil {
			return err
		}
		reach := atLeast(5)
		if size < 4<<10 {
			reach = atLeast(1)
		}
		for i, against := range []string{"pipe", "Unix socket"} {
			row := &Row{Name: "messages of " + Size.format(float64(size)), Unit: Throughput, Ours: got[0], Against: against, Peer: got[2+i], Reach: reach}
			row.note("copied in and out of shared memory %s: %.2f×", Throughput.format(median(got[1])), median(got[1])/row.Their())
			if err := r.add(row); err != nil {
				return err
			}
		}
		r.dismiss()
	}
	return nil
}
