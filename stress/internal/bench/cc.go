package bench

import (
	"context"
	"embed"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"interlock/stress/internal/cc"
)

// glibc is the other side of many comparisons: C programs against the machine's own
// C library. They travel inside the binary, so that an installed one has them.
//
//go:embed testdata/*.c testdata/*.h
var glibc embed.FS

// tools are the programs that have to be built first: once, when a line wants them.
type tools struct {
	glibc  func() (string, error)
	rivals func() (string, error)
}

func newTools(ctx context.Context, dir string) *tools {
	return &tools{
		glibc:  sync.OnceValues(func() (string, error) { return compile(ctx, filepath.Join(dir, "c")) }),
		rivals: sync.OnceValues(func() (string, error) { return buildRivals(ctx, filepath.Join(dir, "rivals")) }),
	}
}

// compile builds the C programs, all of them into one.
func compile(ctx context.Context, dir string) (string, error) {
	if err := os.CopyFS(dir, glibc); err != nil {
		return "", err
	}
	sources, err := filepath.Glob(filepath.Join(dir, "testdata", "*.c"))
	if err != nil {
		return "", err
	}
	bin := filepath.Join(dir, "glibc")
	if err := cc.Build(ctx, bin, append(sources, "-lrt")...); err != nil {
		return "", skip{firstLine(err.Error())}
	}
	return bin, nil
}

// glibc starts n C programs in a role. Where there can be none, the error is a skip.
func (r *Rig) glibc(n int, role string, args []string, files ...*os.File) ([]*proc, error) {
	bin, err := r.tools.glibc()
	if err != nil {
		return nil, err
	}
	return r.programs(n, bin, append([]string{role}, args...), files...)
}

// firstLine is as much of a message as fits into a table.
func firstLine(text string) string {
	first, _, _ := strings.Cut(strings.TrimSpace(text), "\n")
	return first
}
