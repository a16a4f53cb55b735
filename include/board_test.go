// What holds between Go and interlock.h, in C and in C++:
//   - the header compiles without a warning, for x86-64 and arm64, and on arm64 has its
//     barriers where they must be;
//   - sizes and offsets are those of docs/abi.md, on both sides;
//   - ilk_open lets in who agrees on T, and refuses as shm.Share does;
//   - signals and broadcasts reach the other side, and time-outs end a wait;
//   - a wake that died is made up for within 100 ms: by the header, and not by glibc;
//   - values are never torn, whoever writes, and a dead writer is noticed and repaired;
//   - storms of both kinds of processes, killed at random, keep exact accounts.
package include

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"interlock/condvar"
	"interlock/internal/proctest"
	"interlock/mutex"
	"interlock/semaphore"
	"interlock/seqlock"
	"interlock/shm"
)

func TestMain(m *testing.M) { proctest.Main(m) }

const (
	room  = 3 // tokens that may lie there
	crowd = 8
)

type quote struct {
	Number, Twice uint64
	Text          [45]uint8
	Pad           [3]uint8
}

// A ledger counts twice, so that a death between the two shows.
type ledger struct {
	N    uint64
	Mine [crowd]uint64
}

// A board is what testdata/peer.c calls struct board.
type board struct {
	Mu           mutex.Mutex
	Made, Taken  condvar.Cond
	Stop         uint64
	Inside       uint64
	Broken       uint64
	Makes, Takes ledger
	Price        seqlock.Seqlock[quote]
	Table        seqlock.DoubleBuffer[quote]
	Permits      semaphore.Semaphore
}

func quoteOf(number uint64) quote {
	q := quote{Number: number, Twice: 2 * number}
	for i := range q.Text {
		q.Text[i] = byte(number)
	}
	return q
}

// compilers is how peers are built: as C11 and as C++17.
var compilers = map[string][]string{
	"C":   {"gcc", "-std=c11", "-D_GNU_SOURCE"},
	"C++": {"g++", "-std=c++17", "-x", "c++"},
}

var strict = []string{"-O2", "-Wall", "-Wextra", "-Werror", "-pedantic", "-pthread"}

// built are the programs by language: once for all tests.
var built = map[string]func() (string, error){}

func init() {
	for language, argv := range compilers {
		built[language] = sync.OnceValues(func() (string, error) {
			dir, err := os.MkdirTemp("", "interlock-peer-")
			if err != nil {
				return "", err
			}
			bin := filepath.Join(dir, "peer")
			argv := append(append(argv[:len(argv):len(argv)], strict...), "-o", bin, "testdata/peer.c")
			if out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput(); err != nil {
				os.RemoveAll(dir)
				return string(out), err
			}
			program, err := os.ReadFile(bin)
			os.RemoveAll(dir)
			return string(program), err
		})
	}
}

// program returns the peer's executable, or skips the test where there is no compiler.
func program(t *testing.T, language string) string {
	t.Helper()
	if _, err := exec.LookPath(compilers[language][0]); err != nil {
		proctest.Excuse("writer", "storm")
		t.Skipf("no %s peer: %v", language, err)
	}
	text, err := built[language]()
	if err != nil {
		t.Fatalf("%v: %v\n%s", compilers[language], err, text)
	}
	bin := filepath.Join(t.TempDir(), "peer")
	if err := os.WriteFile(bin, []byte(text), 0o700); err != nil {
		t.Fatal(err)
	}
	return bin
}

type peer struct{ *proctest.Proc }

// do sends orders and expects their answers: pairs of order and answer.
func (p peer) do(ordersAndAnswers ...string) {
	for i := 0; i < len(ordersAndAnswers); i += 2 {
		p.Send(ordersAndAnswers[i])
		p.Expect(ordersAndAnswers[i+1])
	}
}

// asleep sends an order that must block, and returns when it does.
func (p peer) asleep(t *testing.T, order string) {
	t.Helper()
	p.Send(order)
	proctest.AwaitSleepers(t, p.Pid, 1)
}

// A desk is a board in a segment of its own, and the program that joins it.
type desk struct {
	*board
	name, bin string
}

// text is the layout as C states it: the first word is free.
const text = "board 592 {Mu mutex.Mutex@0 40; Made condvar.Cond@40 16; Taken condvar.Cond@56 16; " +
	"Stop uint64@72 8; Inside uint64@80 8; Broken uint64@88 8; " +
	"Makes include.ledger@96 72 {N uint64@0 8; Mine [8]uint64@8 64}; " +
	"Takes include.ledger@168 72 {N uint64@0 8; Mine [8]uint64@8 64}; " +
	"Price seqlock.Seqlock[interlock/include.quote]@240 128; " +
	"Table seqlock.DoubleBuffer[interlock/include.quote]@368 192; Permits semaphore.Semaphore@560 32}"

// newDesk is for one language.
func newDesk(t *testing.T, language string) desk {
	t.Helper()
	bin := program(t, language)
	name := proctest.ShmName(t)
	b, seg, err := shm.Share[board](context.Background(), name, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := shm.Remove(name); err != nil {
			t.Error(err)
		}
		if err := seg.Close(); err != nil {
			t.Error(err)
		}
	})
	b.Permits.Init(0)
	return desk{b, name, bin}
}

// peer starts the program on the board.
func (d desk) peer(t *testing.T) peer {
	t.Helper()
	p := peer{proctest.StartProgram(t, d.bin)}
	p.do("open "+d.name+" 0 0 "+text, "ok")
	return p
}

// each runs a test with peers of each language.
func each(t *testing.T, f func(t *testing.T, d desk)) {
	for _, language := range []string{"C", "C++"} {
		t.Run(strings.ReplaceAll(language, "+", "p"), func(t *testing.T) { f(t, newDesk(t, language)) })
	}
}
