// Config hands a configuration to another process as memory that nobody can change
// any more: whoever has it may check it once, and rely on it.
//
//	go run ./examples/config         a text of its own
//	go run ./examples/config FILE    that of FILE
//
// The kernel keeps it so, by seals on a memfd. A lock would not: who has the
// memory need not ask for it.
package main

import (
	"fmt"
	"log"
	"os"
	"os/exec"

	"interlock/shm"
)

const child = "read it from descriptor 3"

func main() {
	work := publish
	if len(os.Args) > 1 && os.Args[1] == child {
		work = read
	}
	if err := work(); err != nil {
		log.Fatal(err)
	}
}

func publish() error {
	text, err := []byte("colour = blue\n"), error(nil)
	if len(os.Args) > 1 {
		text, err = os.ReadFile(os.Args[1])
	}
	if err != nil {
		return err
	}
	config, err := shm.Sealed("config", text)
	if err != nil {
		return err
	}
	defer config.Close()
	reader := exec.Command("/proc/self/exe", child)
	reader.ExtraFiles = []*os.File{config.File()} // descriptor 3 there; a socket does it too: shm.Send
	reader.Stdout, reader.Stderr = os.Stdout, os.Stderr
	return reader.Run()
}

func read() error {
	f := os.NewFile(3, "config")
	config, err := shm.FromFile(f, shm.ReadOnly, shm.RequireSeals(shm.SealShrink|shm.SealGrow|shm.SealWrite))
	if err != nil {
		return err
	}
	defer config.Close()
	fmt.Printf("process %d may rely on %d bytes: %q\n", os.Getpid(), config.Size(), config.Bytes())
	_, err = f.WriteAt([]byte("red"), 0)
	fmt.Println("changing them:", err)
	return nil
}
