package cc

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestBuild(t *testing.T) {
	if _, err := exec.LookPath("gcc"); err != nil {
		t.Skip(err)
	}
	dir := t.TempDir()
	source, program := filepath.Join(dir, "a.c"), filepath.Join(dir, "a")
	for text, want := range map[string]string{
		"int main(void) { return 7; }":       "",
		"int main(void) { return nothing; }": "nothing",
	} {
		if err := os.WriteFile(source, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		err := Build(context.Background(), program, source)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", text, err)
		}
	}
	t.Setenv("PATH", dir)
	if err := Build(context.Background(), program, source); !errors.Is(err, ErrNone) {
		t.Errorf("without a compiler: %v", err)
	}
}
