package scenario

import (
	_ "embed"
	"fmt"
	"os"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"interlock/include"
	"interlock/stress/internal/arena"
	"interlock/stress/internal/cc"
)

//go:embed testdata/interop.c
var interopSource string

// interopBuilt is the C worker, built once.
var interopBuilt = sync.OnceValues(func() (*os.File, error) {
	files := map[string]string{"interop.c": interopSource, "interlock.h": include.Header}
	f, err := cc.InMemory("interop", files, defines()...)
	if err != nil {
		return nil, fmt.Errorf("there is no C worker: %w", err)
	}
	return f, nil
})

// interopMissing is why there is no C worker.
func interopMissing() string {
	if _, err := interopBuilt(); err != nil {
		return err.Error()
	}
	return ""
}

// interopProgram is where workers find the C worker.
func interopProgram() string {
	f, err := interopBuilt()
	if err != nil {
		return ""
	}
	return fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), f.Fd())
}

// becomeC makes this process a C worker: the same process, parent and descriptors.
func (s *interopArea) becomeC(w *Worker) error {
	path, _, _ := strings.Cut(string(s.Program[:]), "\x00")
	base := arena.Address(arena.At[byte](w.Arena.Image(), 0))
	argv := []string{"stress-interop-c"}
	for _, n := range []uint64{
		arena.Address(w.Slot) - base, uint64(w.Index), uint64(w.Arena.Lanes.Load()),
		arena.Address(s) - base, uint64(len(w.Arena.Image())), w.Arena.Seed.Load()&0xffff<<8 + uint64(w.Gen),
	} {
		argv = append(argv, fmt.Sprint(n))
	}
	if _, err := unix.FcntlInt(w.Arena.File().Fd(), unix.F_SETFD, 0); err != nil { // it outlives the exec
		return err
	}
	return fmt.Errorf("exec of the C worker: %w", syscall.Exec(path, argv, os.Environ()))
}

// defines tells the C worker the arena's layout and words.
func defines() []string {
	d := map[string]uintptr{
		"HEADER_SIZE": uintptr(arena.SizeOf[arena.Header]()), "GRAVES": arena.GraveCount, "GRAVE_SIZE": uintptr(arena.SizeOf[arena.Grave]()),
		"SLOTS": uintptr(arena.SlotsOffset()),
		"LANES": uintptr(arena.SizeOf[arena.Slot]()), "LANE_SIZE": uintptr(arena.SizeOf[arena.Lane]()),
		"BEHIND_LANES": uintptr(arena.BehindLanes()),
		"SLOT_READY":   uintptr(arena.SlotReady), "SLOT_LEFT": uintptr(arena.SlotLeft),
		"PHASE_START": uintptr(arena.PhaseStart), "PHASE_RUN": uintptr(arena.PhaseRun),
		"PHASE_PAUSE": uintptr(arena.PhasePause), "PHASE_STOP": uintptr(arena.PhaseStop),
		"IDLE": uintptr(LabelIdle), "PARKED": uintptr(LabelParked), "WAITING": uintptr(LabelWaiting),
		"OPEN": uintptr(labelInteropOpen), "HALF": uintptr(labelInteropHalf), "DONE": uintptr(labelInteropDone),
		"ROOM": interopRoom, "OP_WAIT": opWait, "OP_SIGNAL": opSignal, "GIVING": uintptr(LabelGiving),
	}
	cc.Offsets[arena.Header](d, map[string]string{"HEADER_PHASE": "Phase", "HEADER_FAULTS": "Faults", "HEADER_KILLS": "Kills", "HEADER_PROCS": "Procs"})
	cc.Offsets[arena.Grave](d, map[string]string{"GRAVE_PID": "PID", "GRAVE_REPAIRED": "Repaired"})
	cc.Offsets[arena.Slot](d, map[string]string{"SLOT_STATE": "State", "SLOT_COMMAND": "Command", "SLOT_REPLY": "Reply", "SLOT_TRAP": "Trap", "SLOT_TRAPPED": "Trapped"})
	cc.Offsets[arena.Lane](d, map[string]string{"LANE_OPS": "Ops", "LANE_LABEL": "Label", "LANE_REC": "Rec"})
	cc.Offsets[interopArea](d, map[string]string{
		"AREA_MU": "Mu", "AREA_MADE": "Made", "AREA_TAKEN": "Taken", "AREA_N": "N", "AREA_INSIDE": "Inside",
		"AREA_REPAIRS_C": "RepairsC", "AREA_TORN": "Torn", "AREA_TICKETS": "Tickets", "AREA_PRICE": "Price", "AREA_TABLE": "Table",
	})
	return cc.Defines(d)
}
