// Reattach is the tutorials' System V program: make a segment, attach it, write,
// detach, attach it again somewhere else, read, remove it.
//
//	go run ./examples/reattach
//
// The text is still there, and at another address: what lies in shared memory must
// not hold addresses. Here it holds an offset, which is right wherever the memory
// is.
package main

import (
	"fmt"
	"log"

	"interlock/shm"
)

// elsewhere is the address that the C program asks for. It is free here; no
// address is sure to be, and then SysVOpenID says what lies there.
const elsewhere = 0x5000000

type Note struct {
	At, Len uint32 // where the text is, counted from the beginning of the segment
}

func main() {
	if err := run(); err != nil {
		log.Fatal(err)
	}
}

func run() error {
	seg, err := shm.SysVCreate(shm.Private, 0x6400) // shmget and shmat
	if err != nil {
		return err
	}
	id, _ := seg.SysVID()
	defer shm.SysVRemove(id) // or it stays until the machine restarts
	info, err := shm.SysVStat(id)
	if err != nil {
		return err
	}
	fmt.Printf("attached at %p, %d bytes\n", seg.Bytes(), info.Size)
	if err := write(seg, "Hello, world."); err != nil {
		return err
	}
	if err := seg.Close(); err != nil { // shmdt
		return err
	}

	seg, err = shm.SysVOpenID(id, shm.AtAddress(elsewhere))
	if err != nil {
		return err
	}
	defer seg.Close()
	fmt.Printf("attached at %p\n", seg.Bytes())
	text, err := read(seg)
	fmt.Println(text)
	return err
}

func write(seg *shm.Segment, text string) error {
	note, err := shm.At[Note](seg.Bytes(), 0)
	if err != nil {
		return err
	}
	note.At = 64
	note.Len = uint32(copy(seg.Bytes()[note.At:], text))
	return nil
}

func read(seg *shm.Segment) (string, error) {
	note, err := shm.At[Note](seg.Bytes(), 0)
	if err != nil {
		return "", err
	}
	text, err := shm.Slice[byte](seg.Bytes(), int(note.At), int(note.Len)) // never beyond the end
	return string(text), err
}
