package procfs

import (
	"os"
	"os/exec"
	"testing"
	"time"
)

func TestAsleep(t *testing.T) {
	if Asleep(os.Getpid()) {
		t.Error("this process says that it sleeps")
	}
	cmd := exec.Command("sleep", "60")
	if err := cmd.Start(); err != nil {
		t.Skip("no sleep command: ", err)
	}
	for limit := time.Now().Add(5 * time.Second); !Asleep(cmd.Process.Pid); time.Sleep(time.Millisecond) {
		if time.Now().After(limit) {
			t.Fatal("sleep does not sleep")
		}
	}
	threads := Threads(cmd.Process.Pid)
	if len(threads) != 1 || threads[0].State != "S" {
		t.Errorf("%+v", threads)
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	if Asleep(cmd.Process.Pid) || len(Threads(cmd.Process.Pid)) != 0 {
		t.Error("a process that is gone sleeps")
	}
}
