// What holds for memory whose file gets shorter:
//   - a read or a write there, by whatever instruction and on any goroutine, is a
//     panic of that goroutine, and recover gets it; the address is kept (T69, P-K6);
//   - memory that this package was not told of, or was told to forget, is a fatal
//     fault as ever; so is a nil pointer a nil pointer;
//   - spans may touch, overlap, and be forgotten in parts.
package sigbus

import (
	"errors"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

const page = 64 << 10 // of any kernel

// child is what a re-executed test binary is to do.
const child = "INTERLOCK_SIGBUS_CHILD"

// short is memory of three pages, of which its file has the first.
func short() []byte {
	fd, err := unix.MemfdCreate("sigbus", unix.MFD_CLOEXEC)
	if err != nil {
		panic(err)
	}
	defer unix.Close(fd)
	if err := unix.Ftruncate(fd, page); err != nil {
		panic(err)
	}
	mem, err := unix.Mmap(fd, 0, 3*page, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		panic(err)
	}
	return mem
}

func contain(mem []byte) {
	Contain(addr(mem), addr(mem)+uintptr(len(mem)))
}

func fault(f func()) (err error) {
	defer Caught(&err, Faults())
	f()
	return nil
}

func TestAFaultIsAPanic(t *testing.T) { // T69
	mem := short()
	contain(mem)
	mem[0] = 1
	var wg sync.WaitGroup
	for name, f := range map[string]func(heap []byte){
		"a write":        func([]byte) { mem[page] = 1 },
		"a read":         func(heap []byte) { heap[0] = mem[2*page] },
		"copy to it":     func(heap []byte) { copy(mem, heap) },
		"copy from it":   func(heap []byte) { copy(heap[:100], mem[page:]) },
		"clear":          func([]byte) { clear(mem[page-1:]) },
		"a large struct": func(heap []byte) { *(*[page]byte)(heap) = *(*[page]byte)(mem[page:]) },
	} {
		for range 20 {
			wg.Add(1)
			go func() {
				defer wg.Done()
				heap := make([]byte, 2*page)
				var e *Error
				if err := fault(func() { f(heap) }); !errors.Is(err, ErrTruncated) || !errors.As(err, &e) ||
					e.Addr < addr(mem)+page || e.Addr >= addr(mem)+3*page {
					t.Errorf("%s: %v", name, err)
				}
				debug.SetPanicOnFault(true) // as others may have it
				if err := fault(func() { f(heap) }); !errors.Is(err, ErrTruncated) {
					t.Errorf("%s, with SetPanicOnFault: %v", name, err)
				}
			}()
		}
	}
	wg.Wait()
	runtime.GC()
}

func TestOtherPanicsAreNotCaught(t *testing.T) {
	defer func() {
		if r := recover(); r != "mine" {
			t.Errorf("recovered %v", r)
		}
	}()
	t.Error(fault(func() { panic("mine") }))
}

func TestANilPointerStaysOne(t *testing.T) {
	defer func() {
		if r, ok := recover().(runtime.Error); !ok || !strings.Contains(r.Error(), "nil pointer") {
			t.Errorf("recovered %v", r)
		}
	}()
	var p *int
	t.Error(fault(func() { *p = 1 }))
}

// Each of these ends its process, with the runtime's report.
var fatal = map[string]func(){
	"never told": func() {
		mem := short()
		contain(short())
		mem[page] = 1
	},
	"forgotten": func() {
		mem := short()
		contain(mem)
		Forget(addr(mem), addr(mem)+3*page)
		mem[page] = 1
	},
	"a part forgotten": func() {
		mem := short()
		contain(mem)
		Forget(addr(mem)+page, addr(mem)+2*page)
		if err := fault(func() { mem[2*page] = 1 }); err != nil {
			mem[page] = 1
		}
	},
	"unmapped": func() { // SIGSEGV
		mem := short()
		contain(mem)
		if err := unix.Mprotect(mem, unix.PROT_NONE); err == nil {
			mem[0] = 1
		}
	},
}

func TestMain(m *testing.M) {
	if f := fatal[os.Getenv(child)]; f != nil { // before any test: a child starts no children
		_ = fault(func() { f() })
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func TestOtherMemoryIsNotContained(t *testing.T) {
	for name := range fatal {
		t.Run(name, func(t *testing.T) {
			cmd := exec.Command(os.Args[0])
			cmd.Env = append(os.Environ(), child+"="+name)
			out, err := cmd.CombinedOutput()
			if noAddress(out) || err == nil && addressesAreLost() {
				t.Skip("this emulator tells Go no address with a fault: all are as of nil pointers")
			}
			if err == nil || !strings.Contains(string(out), "unexpected fault address") {
				t.Errorf("%v, and it said %s", err, out)
			}
		})
	}
}

// noAddress recognises the report of a fault that Go takes for a nil pointer's. qemu-user
// for arm64 leaves the address out where Go reads it.
func noAddress(report []byte) bool {
	return strings.Contains(string(report), "signal SIGBUS: bus error code=0x2 addr=0x0")
}

func addressesAreLost() bool {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), child+"=never told")
	out, _ := cmd.CombinedOutput()
	return noAddress(out)
}

// On arm64 the kernel tells the address twice, and Go reads the one in the ucontext. No
// emulator shows whether the handler changes it, so this looks at where it stores.
func TestWhereTheAddressStandsOnArm64(t *testing.T) {
	const cc = "aarch64-linux-gnu-gcc"
	if _, err := exec.LookPath(cc); err != nil {
		t.Skip(err)
	}
	source, err := os.ReadFile("handler_arm64.s")
	if err != nil {
		t.Fatal(err)
	}
	store := regexp.MustCompile(`(?m)^\tMOVD ZR, (\d+)\(R2\)$`).FindSubmatch(source)
	if store == nil {
		t.Fatal("the handler leaves the address in the ucontext as it is, and Go reads that one")
	}
	cmd := exec.Command(cc, "-fsyntax-only", "-x", "c", "-")
	cmd.Stdin = strings.NewReader(`#include <signal.h>
#include <ucontext.h>
#include <stddef.h>
_Static_assert(offsetof(ucontext_t, uc_mcontext.fault_address) == ` + string(store[1]) + `, "fault_address");
_Static_assert(offsetof(siginfo_t, si_addr) == 16, "si_addr");
`)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestSpans(t *testing.T) {
	defer Forget(0, ^uintptr(0))
	Forget(0, ^uintptr(0))
	for _, step := range []struct {
		f      func(lo, hi uintptr)
		lo, hi uintptr
		want   []span
	}{
		{Contain, 10, 20, []span{{10, 20}}},
		{Contain, 30, 40, []span{{10, 20}, {30, 40}}},
		{Contain, 5, 5, []span{{10, 20}, {30, 40}}},
		{Contain, 32, 38, []span{{10, 20}, {30, 40}}},
		{Contain, 20, 25, []span{{10, 25}, {30, 40}}},
		{Contain, 1, 3, []span{{1, 3}, {10, 25}, {30, 40}}},
		{Contain, 24, 31, []span{{1, 3}, {10, 40}}},
		{Forget, 12, 15, []span{{1, 3}, {10, 12}, {15, 40}}},
		{Forget, 11, 16, []span{{1, 3}, {10, 11}, {16, 40}}},
		{Forget, 4, 9, []span{{1, 3}, {10, 11}, {16, 40}}},
		{Contain, 0, 50, []span{{0, 50}}},
		{Forget, 0, 50, nil},
	} {
		step.f(step.lo, step.hi)
		if !slices.Equal(spans, step.want) {
			t.Fatalf("%d to %d: %v, want %v", step.lo, step.hi, spans, step.want)
		}
		for addr := range uintptr(60) {
			in := slices.ContainsFunc(spans, func(s span) bool { return s.lo <= addr && addr < s.hi })
			if Contains(addr) != in {
				t.Errorf("Contains(%d) with %v", addr, spans)
			}
		}
	}
}

// What the containment would cost each call of a lock if it were asked for there.
func BenchmarkSetPanicOnFault(b *testing.B) {
	for range b.N {
		debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	}
}

func BenchmarkMutex(b *testing.B) {
	var m sync.Mutex
	for range b.N {
		m.Lock()
		m.Unlock()
	}
}
