package semaphore

import (
	"context"
	"os/exec"
	"strconv"
	"testing"
	"time"

	"interlock/internal/proctest"
)

// multiprocessing makes a semaphore as its users do, says its name, and does as it is
// told. With the start methods spawn and forkserver the name stays.
const multiprocessing = `
import multiprocessing, sys
sem = multiprocessing.get_context(sys.argv[1]).Semaphore(int(sys.argv[2]))
print(sem._semlock.name, flush=True)
for line in sys.stdin:
    order = line.strip()
    if order == "acquire":
        print(sem.acquire(), flush=True)
    elif order == "try":
        print(sem.acquire(block=False), flush=True)
    elif order == "release":
        sem.release()
        print("ok", flush=True)
    elif order == "end":
        break
    elif order == "value":
        print(sem.get_value(), flush=True)
`

func TestPythonsMultiprocessingSemaphoresOpenByName(t *testing.T) {
	if err := exec.Command("python3", "-c", "import _multiprocessing; _multiprocessing.SemLock").Run(); err != nil {
		t.Skipf("no Python with semaphores: %v", err)
	}
	for _, method := range []string{"spawn", "forkserver"} {
		t.Run(method, func(t *testing.T) {
			interpreter, err := exec.LookPath("python3")
			if err != nil {
				t.Skip(err)
			}
			p := peer{t, proctest.StartProgram(t, interpreter, proctest.Args("-c", multiprocessing, method, "2"))}
			s, err := Open(p.Line())
			if err != nil {
				t.Fatal(err)
			}
			expectValue(t, s.Semaphore, 2)
			p.expect("acquire", "True")
			take(t, s.Semaphore)
			p.expect("try", "False")
			if s.TryAcquire() {
				t.Fatal("one permit was taken twice")
			}
			p.Send("acquire")
			proctest.AwaitSleepers(t, p.Pid, 1)
			start := time.Now()
			give(t, s.Semaphore)
			if got := p.Line(); got != "True" {
				t.Fatalf("acquire: %s", got)
			}
			proctest.Within(t, "from Go to Python", start)
			got, _ := queue(t, context.Background(), s.Semaphore, 1)
			start = time.Now()
			p.expect("release", "ok")
			<-got
			proctest.Within(t, "from Python to Go", start)
			p.expect("value", strconv.Itoa(0))
			if err := s.Close(); err != nil {
				t.Error(err)
			}
			p.Send("end") // which unlinks the semaphore
			p.WaitExit(0)
		})
	}
}
