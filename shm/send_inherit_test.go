package shm

import (
	"bufio"
	"errors"
	"os"
	"os/exec"
	"testing"
	"time"
)

func init() {
	// Makes a memfd, starts an heir with it, and waits to be killed.
	children["testator"] = func([]string) error {
		m, err := Memfd("m", 100)
		if err != nil {
			return err
		}
		m.Bytes()[0] = 42
		cmd := exec.Command("/proc/self/exe")
		cmd.Env = append(os.Environ(), "SHM_CHILD=heir")
		cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
		cmd.ExtraFiles = []*os.File{m.File()}
		if err := cmd.Start(); err != nil {
			return err
		}
		time.Sleep(time.Hour)
		return nil
	}
}

// T77: the maker is killed, and its child goes on with the memory.
func TestInheritedFromTheDead(t *testing.T) {
	cmd := child(t, "testator")
	theirs, in, e1 := os.Pipe() // not the Cmd's: Wait would close them
	r, w, e2 := os.Pipe()
	if err := errors.Join(e1, e2); err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer in.Close()
	cmd.Stdin, cmd.Stdout = theirs, w
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	theirs.Close()
	w.Close()
	out := bufio.NewScanner(r)
	expect := func(want string) {
		t.Helper()
		if !out.Scan() || out.Text() != want {
			t.Errorf("%q, want %q", out.Text(), want)
		}
	}
	expect("ready 42")
	cmd.Process.Kill()
	if err := cmd.Wait(); !killedBy(err) {
		t.Error(err)
	}
	in.WriteString("x")
	expect("after 42")
	in.WriteString("x")
	expect("end 2")
}
