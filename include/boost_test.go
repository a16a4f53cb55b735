package include

import (
	"context"
	"errors"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"interlock/internal/proctest"
	"interlock/mutex"
	"interlock/semaphore"
	"interlock/shm"
)

// What holds between us and Boost.Interprocess: docs/interop.md has it as a table.
func TestBoostInterprocess(t *testing.T) {
	bin := filepath.Join(t.TempDir(), "boost")
	if err := exec.Command("g++", "-E", "-o", "/dev/null", "-x", "c++", "-include", "boost/interprocess/sync/interprocess_mutex.hpp", "/dev/null").Run(); err != nil {
		t.Skipf("no g++, or no headers of Boost: %v", err)
	}
	if out, err := exec.Command("g++", "-std=c++17", "-O1", "-pthread", "-o", bin, "testdata/boost.cpp", "-lrt").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	f, mem := proctest.Memfd(t, 4096)
	m, s := mutexIn(mem), semaphoreIn(mem, 64)
	p := peer{proctest.StartProgram(t, bin, proctest.Files(f))}

	p.do("make-mutex", "ok")
	if err := m.LockContext(context.Background()); !errors.Is(err, mutex.ErrNotShared) {
		t.Errorf("an interprocess_mutex: %v", err)
	}

	s.Init(1) // made by us
	p.do("try", "yes", "try", "no")
	p.do("make-semaphore", "ok") // made by Boost, with 2
	if !s.TryAcquire() || s.Value() != 1 {
		t.Errorf("of Boost's two permits one is to be left: %d", s.Value())
	}
	p.do("try", "yes")
	p.asleep(t, "wait")
	if err := s.Release(); err != nil {
		t.Fatal(err)
	}
	p.Expect("ok")
	taken := make(chan error)
	go func() { taken <- s.Acquire(context.Background()) }()
	proctest.Until(t, "a sleeper", func() bool { return field[uint64](s, "data")>>32 == 1 })
	start := time.Now()
	p.do("post", "ok")
	if err := <-taken; err != nil {
		t.Fatal(err)
	}
	proctest.Within(t, "from Boost to Go", start)

	name := proctest.ShmName(t)
	n, err := semaphore.Open(name, semaphore.Create(1))
	if err != nil {
		t.Fatal(err)
	}
	p.do("named "+name[1:], "yes")
	if n.TryAcquire() {
		t.Error("one permit was taken twice")
	}
	if err := errors.Join(n.Close(), semaphore.Unlink(name)); err != nil {
		t.Error(err)
	}
	seg, err := shm.Create(name, 4096)
	if err != nil {
		t.Fatal(err)
	}
	copy(seg.Bytes(), "hello")
	p.do("map "+name[1:], "hello")
	if err := errors.Join(seg.Close(), shm.Remove(name)); err != nil {
		t.Error(err)
	}
}
