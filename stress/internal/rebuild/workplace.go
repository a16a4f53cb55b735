package rebuild

import (
	"context"
	"os"

	"interlock/stress/internal/leftover"
)

// A Workplace is where programs are built from the module's source, or from a variant.
type Workplace struct {
	Root string // of the module
	Dir  string
}

// NewWorkplace finds the module, and makes a directory.
func NewWorkplace(ctx context.Context, of leftover.Kind) (*Workplace, error) {
	root, err := FindModule(ctx)
	if err != nil {
		return nil, err
	}
	dir, err := leftover.MakeDir(of)
	return &Workplace{root, dir}, err
}

// Close removes the directory.
func (w *Workplace) Close() { os.RemoveAll(w.Dir) }
