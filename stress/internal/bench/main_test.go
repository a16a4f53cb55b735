package bench

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// The test binary is its own worker: see Rig.worker.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == WorkerCommand {
		os.Exit(Work(os.Args[2:]))
	}
	code := m.Run()
	if left, _ := filepath.Glob(filepath.Join(os.TempDir(), fmt.Sprintf("interlock-stress-bench.%d.*", os.Getpid()))); len(left) > 0 {
		fmt.Println("left behind:", left)
		code = 1
	}
	os.Exit(code)
}
