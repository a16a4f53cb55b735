package include

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// compile compiles a text that includes the header, or skips.
func compile(t *testing.T, text string, argv ...string) (object string) {
	t.Helper()
	if _, err := exec.LookPath(argv[0]); err != nil {
		t.Skipf("no compiler: %v", err)
	}
	dir := t.TempDir()
	source := filepath.Join(dir, "x.c")
	if err := os.WriteFile(source, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	object = filepath.Join(dir, "x.o")
	argv = append(argv[:len(argv):len(argv)], "-I.", "-o", object, source)
	if said, err := exec.Command(argv[0], argv[1:]...).CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", argv, err, said)
	}
	return object
}

// everything is a warning that some program's makefile turns on.
var everything = append(append([]string{}, strict...), "-Wshadow", "-Wcast-qual", "-Wcast-align", "-Wundef", "-Wconversion",
	"-Wno-sign-conversion", "-c")

func TestTheHeaderCompilesWithoutAWarning(t *testing.T) {
	for name, argv := range map[string][]string{
		"C11":         {"gcc", "-std=c11", "-D_GNU_SOURCE"},
		"C17":         {"gcc", "-std=gnu17", "-D_GNU_SOURCE"},
		"C++17":       {"g++", "-std=c++17", "-x", "c++"},
		"C++20":       {"g++", "-std=c++20", "-x", "c++"},
		"clang":       {"clang", "-std=c11", "-D_GNU_SOURCE"},
		"arm64":       {"aarch64-linux-gnu-gcc", "-std=c11", "-D_GNU_SOURCE"},
		"unoptimised": {"gcc", "-O0", "-std=c11", "-D_GNU_SOURCE"},
	} {
		t.Run(name, func(t *testing.T) {
			compile(t, "#include \"interlock.h\"\nint here(void);\nint here(void) { return 0; }\n", append(argv, everything...)...)
		})
	}
}

// P-Q3 on the architecture where it matters.
func TestArm64HasItsBarriers(t *testing.T) {
	object := compile(t, `#include "interlock.h"
struct price { struct ilk_seqlock lock; uint64_t v[2]; };
int reader(struct price *p, uint64_t *to); void writer(struct price *p, uint64_t *from);
int reader(struct price *p, uint64_t *to) { return ilk_seqlock_tryload(&p->lock, to, 16); }
void writer(struct price *p, uint64_t *from) { ilk_seqlock_write_(&p->lock, from, 16); }
`, append([]string{"aarch64-linux-gnu-gcc", "-std=c11", "-D_GNU_SOURCE"}, everything...)...)
	out, err := exec.Command("aarch64-linux-gnu-objdump", "-d", "--no-show-raw-insn", object).Output()
	if err != nil {
		t.Skipf("no disassembler: %v", err)
	}
	for function, want := range map[string][]string{
		// the sequence, the two words, the barrier, the sequence
		"reader": {`ldar\s+x\d+, \[x0\]`, `ldr\s`, `ldr\s`, `dmb\s+ishld`, `ldr\s+x\d+, \[x0\]`},
		// and who sees the sequence odd sees the mutex taken (INV-Q2): stlr, not str
		"writer": {`stlr\s+x\d+, \[x0\]`, `dmb\s+ish\b`, `str\s`, `str\s`, `stlr\s+x\d+, \[x0\]`},
	} {
		_, code, _ := strings.Cut(string(out), "<"+function+">:")
		code, _, _ = strings.Cut(code, "\n\n")
		rest := code
		for _, pattern := range want {
			at := regexp.MustCompile(pattern).FindStringIndex(rest)
			if at == nil {
				t.Fatalf("%s: no %q in its place, in:\n%s", function, pattern, code)
			}
			rest = rest[at[1]:]
		}
	}
}
