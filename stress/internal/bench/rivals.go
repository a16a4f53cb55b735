package bench

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"interlock/stress/internal/rebuild"
)

// peersDir is where the program is that uses other people's packages. It is a
// module of its own, so that this one does not depend on them; and so it cannot be
// embedded, and there is none without the source.
const peersDir = "stress/internal/bench/peers"

// findRivals is the directory of that program: in the module that this program was
// built from, or in that of the current directory.
func findRivals(ctx context.Context) string {
	var roots []string
	if _, file, _, ok := runtime.Caller(0); ok && filepath.IsAbs(file) {
		roots = append(roots, strings.TrimSuffix(filepath.Dir(file), filepath.Dir(peersDir)))
	}
	if out, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", "interlock").Output(); err == nil {
		roots = append(roots, strings.TrimSpace(string(out)))
	}
	for _, root := range roots {
		dir := filepath.Join(root, peersDir)
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
	}
	return ""
}

// buildRivals builds it. It may have to fetch their packages.
func buildRivals(ctx context.Context, bin string) (string, error) {
	if _, err := exec.LookPath("go"); err != nil {
		return "", skip{"no go command"}
	}
	dir := findRivals(ctx)
	if dir == "" {
		return "", skip{"no source of " + peersDir}
	}
	ctx, cancel := context.WithTimeout(ctx, 3*time.Minute)
	defer cancel()
	env := []string{"GOWORK=off", "GOTOOLCHAIN=local", "CGO_ENABLED=0"}
	if err := rebuild.GoBuild(ctx, dir, bin, env, "."); err != nil {
		what, why, _ := strings.Cut(err.Error(), "\n")
		return "", skip{what + ": " + firstLine(why)}
	}
	return bin, nil
}

// rival starts that program in a role. Where there can be none, the error is a skip.
func (r *Rig) rival(role string, args []string, files ...*os.File) (*proc, error) {
	bin, err := r.tools.rivals()
	if err != nil {
		return nil, err
	}
	return r.program(bin, append([]string{role}, args...), files...)
}
