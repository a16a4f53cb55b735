package shm_test

import (
	"fmt"
	"log"
	"os"
	"path/filepath"

	"interlock/shm"
)

// The System V program that attaches a segment twice, at two addresses. What is in
// it must be right at both: no addresses, but offsets.
func ExampleAtAddress() {
	seg, err := shm.SysVCreate(shm.Private, 4096)
	if err != nil {
		log.Fatal(err)
	}
	defer seg.Close()
	id, _ := seg.SysVID()
	defer shm.SysVRemove(id)
	copy(seg.Bytes(), "Hello, world.")

	const elsewhere = 0x5000000
	again, err := shm.SysVOpenID(id, shm.AtAddress(elsewhere+1), shm.Round)
	if err != nil {
		fmt.Println(err) // what lies there
		return
	}
	defer again.Close()
	fmt.Printf("%p: %s\n", again.Bytes(), again.Bytes()[:13])

	_, err = shm.SysVOpenID(id, shm.AtAddress(elsewhere)) // nothing is ever mapped over
	fmt.Println(err != nil)
	// Output:
	// 0x5000000: Hello, world.
	// true
}

// A mapped file: what is stored in the memory is in the file, for everybody and at
// once. Sync is for the disk.
func ExampleOpenFile() {
	dir, err := os.MkdirTemp("", "interlock-example-")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "notes")

	seg, err := shm.OpenFile(path, 4096, shm.CreateFile)
	if err != nil {
		log.Fatal(err)
	}
	defer seg.Close()
	copy(seg.Bytes(), "stored")

	b, err := os.ReadFile(path) // another program, cat perhaps
	fmt.Printf("%s, %v\n", b[:6], err)
	fmt.Println("on the disk:", seg.Sync())
	// Output:
	// stored, <nil>
	// on the disk: <nil>
}
