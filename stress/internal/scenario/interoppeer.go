package scenario

import (
	"context"
	_ "embed"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"interlock/include"
	"interlock/stress/internal/arena"
	"interlock/stress/internal/cc"
	"interlock/stress/internal/leftover"
)

//go:embed testdata/interop.c
var interopSource string

// interopBuilt is the C worker: built once, in memory, so that nothing stays behind.
var interopBuilt = sync.OnceValues(func() (*os.File, error) {
	dir, err := leftover.MakeDir(leftover.Interop)
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	source, program := filepath.Join(dir, "interop.c"), filepath.Join(dir, "interop")
	for path, text := range map[string]string{source: interopSource, filepath.Join(dir, "interlock.h"): include.Header} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			return nil, err
		}
	}
	args := append([]string{"-std=c11", "-D_GNU_SOURCE", "-Wextra", "-Werror", source}, defines()...)
	if err := cc.Build(context.Background(), program, args...); err != nil {
		return nil, fmt.Errorf("there is no C worker: %w", err)
	}
	text, err := os.ReadFile(program)
	if err != nil {
		return nil, err
	}
	return executable(text)
})

// executable is a file without a name. It must be open for reading only when it is run.
func executable(text []byte) (*os.File, error) {
	fd, err := unix.MemfdCreate("interlock-stress-interop", unix.MFD_CLOEXEC|unix.MFD_EXEC)
	if err == unix.EINVAL { // before Linux 6.3
		fd, err = unix.MemfdCreate("interlock-stress-interop", unix.MFD_CLOEXEC)
	}
	if err != nil {
		return nil, fmt.Errorf("memfd_create: %w", err)
	}
	f := os.NewFile(uintptr(fd), "the C worker")
	defer f.Close()
	if _, err := f.Write(text); err != nil {
		return nil, err
	}
	return os.Open(fmt.Sprintf("/proc/self/fd/%d", fd))
}

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
		"ROOM": interopRoom,
	}
	offsets[arena.Header](d, map[string]string{"HEADER_PHASE": "Phase", "HEADER_FAULTS": "Faults", "HEADER_KILLS": "Kills", "HEADER_PROCS": "Procs"})
	offsets[arena.Grave](d, map[string]string{"GRAVE_PID": "PID", "GRAVE_REPAIRED": "Repaired"})
	offsets[arena.Slot](d, map[string]string{"SLOT_STATE": "State", "SLOT_TRAP": "Trap", "SLOT_TRAPPED": "Trapped"})
	offsets[arena.Lane](d, map[string]string{"LANE_OPS": "Ops", "LANE_LABEL": "Label", "LANE_REC": "Rec"})
	offsets[interopArea](d, map[string]string{
		"AREA_MU": "Mu", "AREA_MADE": "Made", "AREA_TAKEN": "Taken", "AREA_N": "N", "AREA_INSIDE": "Inside",
		"AREA_REPAIRS_C": "RepairsC", "AREA_TORN": "Torn", "AREA_PRICE": "Price", "AREA_TABLE": "Table",
	})
	var flags []string
	for name, v := range d {
		flags = append(flags, fmt.Sprintf("-D%s=%d", name, v))
	}
	return flags
}

// offsets adds the offsets of fields of T.
func offsets[T any](to map[string]uintptr, names map[string]string) {
	for name, field := range names {
		f, ok := reflect.TypeFor[T]().FieldByName(field)
		if !ok {
			panic("scenario: no field " + field)
		}
		to[name] = f.Offset
	}
}
