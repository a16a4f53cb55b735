// Package cc builds the C programs that stress runs beside its own: the peers of a
// comparison, and the workers of the scenario interop.
package cc

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
)

// ErrNone says that this machine has no C compiler.
var ErrNone = errors.New("no C compiler, gcc")

// Build builds program with gcc from what args name. An error of the compiler's begins
// with its first complaint.
func Build(ctx context.Context, program string, args ...string) error {
	gcc, err := exec.LookPath("gcc")
	if err != nil {
		return ErrNone
	}
	args = append([]string{"-O2", "-Wall", "-pthread", "-o", program}, args...)
	if out, err := exec.CommandContext(ctx, gcc, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("gcc: %w: %s", err, strings.TrimSpace(string(out)))
	}
	return nil
}
