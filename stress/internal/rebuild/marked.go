package rebuild

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"syscall"

	"interlock/stress/internal/leftover"
)

// Marked builds this program from the source at root with the marks in the library and becomes it, with the same
// arguments. It returns only if that fails.
func Marked(ctx context.Context, root string) error {
	program, err := marked(ctx, root)
	if err != nil {
		return err
	}
	// Nothing of it is left on any disk, and it closes itself when it is executed.
	err = syscall.Exec(fmt.Sprintf("/proc/self/fd/%d", program.Fd()), os.Args, os.Environ())
	return fmt.Errorf("executing what was built: %w", err)
}

// marked is the program with marks, open and without a name.
func marked(ctx context.Context, root string) (*os.File, error) {
	runtime.LockOSThread() // see Command
	defer runtime.UnlockOSThread()
	dir, err := leftover.MakeDir(leftover.Rebuild)
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "stress")
	if err := Build(ctx, root, path, "-tags", "marks"); err != nil {
		return nil, err
	}
	return os.Open(path)
}
