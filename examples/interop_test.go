package examples

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"interlock/internal/proctest"
	"interlock/shm"
)

// The output of each language's example is what docs/interop.md shows.
func TestInterop(t *testing.T) {
	run := build(t, "interop")
	shown := read(t, "../docs/interop.md")
	for lang, tools := range map[string][]string{"c": {"gcc"}, "c++": {"g++"}, "python": {"python3", "gcc"}, "rust": {"rustc"}} {
		t.Run(lang, func(t *testing.T) {
			for _, tool := range tools {
				if err := exec.Command(tool, "--version").Run(); err != nil {
					t.Skipf("no %s: %v", tool, err)
				}
			}
			want := "    go run ./examples/interop " + lang + "\n\n```\n" + output(t, run(lang)) + "```\n"
			if !strings.Contains(shown, want) {
				t.Errorf("docs/interop.md does not show\n%s", want)
			}
		})
	}
}

// What our example avoids, and what avoids it.
func TestPythonsTrackerRemovesWhatItOnlyOpened(t *testing.T) {
	const attach = `
import sys
from multiprocessing import resource_tracker, shared_memory
seg = shared_memory.SharedMemory(sys.argv[1])
if sys.argv[2] == "unregister":
    resource_tracker.unregister(seg._name, "shared_memory")
seg.close()
`
	if err := exec.Command("python3", "-c", "import sys; sys.exit(sys.version_info >= (3, 13) or sys.version_info < (3, 8))").Run(); err != nil {
		t.Skipf("needs Python 3.8 to 3.12: %v", err)
	}
	for how, left := range map[string]bool{"unregister": true, "as it is": false} {
		name := proctest.ShmName(t)
		s, err := shm.Create(name, 4096)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		out, err := exec.Command("python3", "-W", "ignore", "-c", attach, name[1:], how).CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		path := filepath.Join("/dev/shm", name)
		gone := func() bool { _, err := os.Stat(path); return err != nil }
		if left && gone() { // the tracker has ended: it held the output open
			t.Errorf("%s: the tracker has removed it", how)
		}
		if !left { // by the tracker, which ends after its process
			proctest.Until(t, "Python's tracker to remove it", gone)
			t.Logf("%s: %s is gone, while this process has it mapped", how, path)
			continue
		}
		if err := shm.Remove(name); err != nil {
			t.Error(err)
		}
	}
}
