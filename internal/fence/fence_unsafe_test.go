// What holds for the fences (T56):
//   - the compiler keeps the accesses on both sides where they are: the machine
//     code says so, and on arm64 has the barrier between them;
//   - message passing and a one-word-apart seqlock never show the forbidden
//     outcome. On amd64 no machine could show it; the runs are worth their time on
//     arm64 (under an emulator too they at least prove that nothing crashes).
package fence

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// pair is two words on two cache lines, outside the Go heap so that -race, which
// would rightly object to plain accesses, leaves them alone (P-G4).
type pair struct {
	seq  atomic.Uint64
	_    [56]byte
	data [8]uint64
}

func newPair(t *testing.T) *pair {
	mem, err := unix.Mmap(-1, 0, 4096, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_ANON)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Munmap(mem) })
	return (*pair)(unsafe.Pointer(&mem[0]))
}

// TestReadersNeverAcceptATornCopy is a seqlock in its smallest form.
func TestReadersNeverAcceptATornCopy(t *testing.T) {
	p := newPair(t)
	var stop atomic.Bool
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for n := uint64(1); !stop.Load(); n++ {
			p.seq.Add(1)
			Stores()
			for i := range p.data {
				p.data[i] = n
			}
			p.seq.Add(1)
		}
	}()
	accepted := 0
	for end := time.Now().Add(200 * time.Millisecond); time.Now().Before(end); {
		s := p.seq.Load()
		data := p.data
		Loads()
		if s&1 == 0 && p.seq.Load() == s {
			accepted++
			for _, v := range data {
				if v != data[0] {
					t.Fatalf("a torn copy was accepted: %v", data)
				}
			}
		}
	}
	stop.Store(true)
	<-ended
	t.Logf("%d copies accepted", accepted)
}

// The two functions whose machine code TestCompilerKeepsOrder reads.

//go:noinline
func readThenLook(p *pair) (a, b, seq uint64) {
	a, b = p.data[0], p.data[7]
	Loads()
	return a, b, p.seq.Load()
}

//go:noinline
func openThenWrite(p *pair, v uint64) {
	p.seq.Store(v)
	Stores()
	p.data[0], p.data[7] = v, v
}

func TestTheTwoFunctionsWork(t *testing.T) { // and the linker keeps them
	p := newPair(t)
	openThenWrite(p, 7)
	if a, b, seq := readThenLook(p); a != 7 || b != 7 || seq != 7 {
		t.Fatal(a, b, seq)
	}
}

// orders says what the machine code of a function must show, in this order.
var orders = map[string]map[string][]string{
	"amd64": {
		"readThenLook":  {`MOVQ 0x40\(AX\)`, `MOVQ 0x78\(AX\)`, `MOVQ 0\(AX\)`},
		"openThenWrite": {`XCHGQ .*0\(AX\)`, `MOVQ .*, 0x40\(AX\)`, `MOVQ .*, 0x78\(AX\)`},
	},
	"arm64": {
		"readThenLook":  {`MOVD 64\(R0\)`, `MOVD 120\(R0\)`, `CALL .*fence\.Loads`, `LDAR`},
		"openThenWrite": {`STLR`, `CALL .*fence\.Stores`, `MOVD .*, 64\(`, `MOVD .*, 120\(`},
		"Loads":         {`DMB \$9|DMB ISHLD`, `RET`},
		"Stores":        {`DMB \$10|DMB ISHST`, `RET`},
	},
}

func TestCompilerKeepsOrder(t *testing.T) {
	if testing.Short() {
		t.Skip("compiles for two architectures")
	}
	for arch, functions := range orders {
		t.Run(arch, func(t *testing.T) {
			bin := compileFor(t, arch)
			for name, want := range functions {
				code := disassemble(t, bin, name)
				if at := missing(code, want); at >= 0 {
					t.Errorf("%s: no %q, in its place, in:\n%s", name, want[at], code)
				}
			}
		})
	}
}

// missing returns the index of the first pattern that does not follow the ones
// before it, or -1.
func missing(code string, want []string) int {
	for i, pattern := range want {
		loc := regexp.MustCompile(pattern).FindStringIndex(code)
		if loc == nil {
			return i
		}
		code = code[loc[1]:]
	}
	return -1
}

func TestMissingSeesAWrongOrder(t *testing.T) {
	if missing("A\nB\nC", []string{"A", "C"}) != -1 || missing("B\nA", []string{"A", "B"}) != 1 {
		t.Fatal("missing accepts what it must not, or the reverse")
	}
}

func compileFor(t *testing.T, arch string) string {
	t.Helper()
	bin := filepath.Join(t.TempDir(), "fence.test")
	cmd := exec.Command("go", "test", "-c", "-o", bin, ".")
	cmd.Env = append(os.Environ(), "GOARCH="+arch, "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Skipf("no go command, or it cannot build for %s here: %v\n%s", arch, err, out)
	}
	return bin
}

func disassemble(t *testing.T, bin, name string) string {
	t.Helper()
	out, err := exec.Command("go", "tool", "objdump", "-s", `fence\.`+name+`(\.abi0)?$`, bin).Output()
	if err != nil {
		t.Skipf("no go tool objdump: %v", err)
	}
	var code []string
	for _, line := range strings.Split(string(out), "\n") {
		if f := strings.Fields(line); len(f) > 3 && strings.HasPrefix(f[1], "0x") {
			code = append(code, strings.Join(f[3:], " ")) // after file:line, address, bytes
		}
	}
	if len(code) == 0 {
		t.Fatalf("%s is not in the test binary", name)
	}
	return strings.Join(code, "\n")
}

func BenchmarkLoads(b *testing.B) {
	for range b.N {
		Loads()
	}
}
