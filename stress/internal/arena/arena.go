package arena

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// FD is the descriptor under which a worker inherits the arena.
const FD = 3

const pageSize = 4096

// Arena is a mapping of the control segment.
type Arena struct {
	*Header
	mem  []byte
	file *os.File
	area int
}

// Create makes an arena for procs workers of lanes goroutines each, with size
// bytes for the scenario.
func Create(procs, lanes, size int) (*Arena, error) { return CreateKeeping(procs, lanes, size, 0) }

// CreateKeeping is Create with rings for so many operations of each lane.
func CreateKeeping(procs, lanes, size, keep int) (*Arena, error) {
	fd, err := unix.MemfdCreate("interlock-stress", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("arena: memfd_create: %w", err)
	}
	file := os.NewFile(uintptr(fd), "interlock-stress")
	rings := procs * lanes * keep * SizeOf[Operation]()
	area := (SlotsOffset() + procs*groupSize(lanes) + rings + pageSize - 1) &^ (pageSize - 1)
	total := (area + size + pageSize - 1) &^ (pageSize - 1)
	if err := unix.Fallocate(fd, 0, 0, int64(total)); err != nil {
		file.Close()
		return nil, fmt.Errorf("arena: reserving %d bytes: %w", total, err)
	}
	a, err := mapFile(file, total)
	if err != nil {
		file.Close()
		return nil, err
	}
	a.area = area
	a.Procs.Store(uint32(procs))
	a.Lanes.Store(uint32(lanes))
	a.Keep.Store(uint32(keep))
	a.Area.Store(uint64(area))
	a.Size.Store(uint64(total))
	a.Magic.Store(magic)
	return a, nil
}

// Open maps the arena that this worker inherited.
func Open() (*Arena, error) {
	file := os.NewFile(FD, "interlock-stress")
	if file == nil {
		return nil, fmt.Errorf("arena: no descriptor %d: workers are started by stress itself", FD)
	}
	unix.CloseOnExec(FD)
	info, err := file.Stat()
	if err != nil {
		return nil, fmt.Errorf("arena: descriptor %d: %w: workers are started by stress itself", FD, err)
	}
	if info.Size() < int64(SlotsOffset()) {
		return nil, fmt.Errorf("arena: descriptor %d is no control segment", FD)
	}
	a, err := mapFile(file, int(info.Size()))
	if err != nil {
		return nil, err
	}
	if a.Magic.Load() != magic || a.Size.Load() != uint64(len(a.mem)) {
		return nil, fmt.Errorf("arena: descriptor %d is no control segment", FD)
	}
	a.area = int(a.Area.Load())
	return a, nil
}

func mapFile(file *os.File, size int) (*Arena, error) {
	mem, err := unix.Mmap(int(file.Fd()), 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("arena: mmap %d bytes: %w", size, err)
	}
	return &Arena{Header: At[Header](mem, 0), mem: mem, file: file}, nil
}

// File is the memfd, for a worker to inherit.
func (a *Arena) File() *os.File { return a.file }

// Image is the whole memory, for a dump.
func (a *Arena) Image() []byte { return a.mem }

// Scenario is the scenario's part of the memory.
func (a *Arena) Scenario() []byte { return a.mem[a.area:] }

// Close unmaps the arena and closes the memfd.
func (a *Arena) Close() error {
	err := unix.Munmap(a.mem)
	a.mem, a.Header = nil, nil
	if cerr := a.file.Close(); err == nil {
		err = cerr
	}
	return err
}

func pointsOffset() int { return SizeOf[Header]() + GraveCount*SizeOf[Grave]() }

// SlotsOffset is where the first slot begins.
func SlotsOffset() int { return pointsOffset() + SizeOf[Points]() }

// A slot is followed by what belongs to it: its lanes, its spreads, and then its tally.
func spreadsOffset(lanes int) int { return SizeOf[Slot]() + lanes*SizeOf[Lane]() }
func tallyOffset(lanes int) int   { return spreadsOffset(lanes) + int(Measures)*SizeOf[Spread]() }
func groupSize(lanes int) int     { return tallyOffset(lanes) + SizeOf[Tally]() }

// BehindLanes is the size of what follows the lanes of a slot.
func BehindLanes() int { return groupSize(0) - spreadsOffset(0) }

// group is where slot i begins.
func (a *Arena) group(i int) int { return SlotsOffset() + i*groupSize(int(a.Lanes.Load())) }

// Points are the library's marks.
func (a *Arena) Points() *Points { return At[Points](a.mem, pointsOffset()) }

// Tally is what worker slot i has passed.
func (a *Arena) Tally(i int) *Tally {
	return At[Tally](a.mem, a.group(i)+tallyOffset(int(a.Lanes.Load())))
}

// Passed is how often all workers together have come by a point.
func (a *Arena) Passed(point int) (sum uint64) {
	for i := range int(a.Procs.Load()) {
		sum += a.Tally(i).Passed[point].Load()
	}
	return sum
}

// Slot is worker slot i.
func (a *Arena) Slot(i int) *Slot {
	return At[Slot](a.mem, a.group(i))
}

// Lane is goroutine j of worker slot i.
func (a *Arena) Lane(i, j int) *Lane {
	return At[Lane](a.mem, a.group(i)+SizeOf[Slot]()+j*SizeOf[Lane]())
}

// Spread is what the lanes of worker slot i have told of a measure.
func (a *Arena) Spread(i int, m Measure) *Spread {
	return At[Spread](a.mem, a.group(i)+spreadsOffset(int(a.Lanes.Load()))+int(m)*SizeOf[Spread]())
}

// LaneByID is the lane with the given number across all slots.
func (a *Arena) LaneByID(id int) *Lane {
	n := int(a.Lanes.Load())
	return a.Lane(id/n, id%n)
}

// LaneCount is the number of lanes of all slots together.
func (a *Arena) LaneCount() int { return int(a.Procs.Load()) * int(a.Lanes.Load()) }

// Grave is ring entry i.
func (a *Arena) Grave(i int) *Grave {
	return At[Grave](a.mem, SizeOf[Header]()+(i%GraveCount)*SizeOf[Grave]())
}

// Bury records that pid is about to be killed, and whether it is known to
// hold the lock. Only the supervisor calls it, and before that harvests what the
// grave holds that is used again.
func (a *Arena) Bury(pid int, held bool) *Grave {
	g := a.Grave(int(a.Kills.Load()))
	g.Repaired.Store(0)
	g.Held.Store(0)
	if held {
		g.Held.Store(1)
	}
	g.PID.Store(uint32(pid))
	g.At.Store(Now())
	a.Kills.Add(1)
	return g
}

// GraveOf is the newest grave of pid, nil if nobody killed it: pids come round again, but
// not within the ring.
func (a *Arena) GraveOf(pid int) *Grave {
	n := int(a.Kills.Load())
	for i := n - 1; i >= 0 && i > n-GraveCount; i-- {
		if g := a.Grave(i); g.PID.Load() == uint32(pid) {
			return g
		}
	}
	return nil
}

// Mourn stamps the repair that somebody begins on behalf of pid.
func (a *Arena) Mourn(pid int) (found bool) {
	g := a.GraveOf(pid)
	if g != nil {
		g.Repaired.CompareAndSwap(0, Now())
	}
	return g != nil
}

// Ops is the number of operations finished so far.
func (a *Arena) Ops() uint64 {
	var sum uint64
	for id := range a.LaneCount() {
		sum += a.LaneByID(id).Ops.Load()
	}
	return sum
}

// Sum adds up record word i of every lane.
func (a *Arena) Sum(i int) uint64 {
	var sum uint64
	for id := range a.LaneCount() {
		sum += a.LaneByID(id).Rec[i].Load()
	}
	return sum
}
