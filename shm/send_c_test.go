// What holds between descriptors passed here and in C, both ways: what
// testdata/passing.c sends, Receive takes; what Send sends, recvmsg takes; what a
// C program inherits, it maps. The C side is linked with the machine's own C
// library, and written as the tutorials write it.
package shm

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"interlock/internal/proctest"
)

type cProgram struct{ *proctest.Proc }

// inC builds testdata/passing.c and starts it with f as descriptor 3.
func inC(t *testing.T, f *os.File) cProgram {
	t.Helper()
	gcc, err := exec.LookPath("gcc")
	if err != nil {
		t.Skip("needs gcc, for a program in C")
	}
	prog := filepath.Join(t.TempDir(), "passing")
	if out, err := exec.Command(gcc, "-O2", "-Wall", "-o", prog, "testdata/passing.c").CombinedOutput(); err != nil {
		t.Fatalf("gcc cannot build testdata/passing.c: %v\n%s", err, out)
	}
	return cProgram{proctest.StartProgram(t, prog, proctest.Files(f))}
}

func (c cProgram) do(command, answer string) {
	c.Send(command)
	c.Expect(answer)
}

func (c cProgram) maps(prot int, answer string) { c.do(fmt.Sprintf("map %d", prot), answer) }

func TestWhatCSendsIsReceived(t *testing.T) { // T72
	for _, x := range socketTypes {
		t.Run(x.name, func(t *testing.T) {
			a, b := pair(t, x.typ)
			f := must[*os.File](t)(b.File())
			defer f.Close()
			c := inC(t, f)
			c.do("make 0", "made")
			c.do("write hello from C", "hello from C")
			c.do("send", "sent")
			leavesNoDescriptor(t, "unsealed", func() {
				if _, err := Receive(a); !errors.Is(err, ErrUnsealed) {
					t.Error(err)
				}
			})
			c.do("send", "sent")
			s := must[*Segment](t)(Receive(a, AllowUnsealed))
			talk(t, c, s)
			c.do(fmt.Sprintf("make %d", unix.F_SEAL_SHRINK|unix.F_SEAL_GROW), "made")
			c.do("write hello from C", "hello from C")
			c.do("send", "sent")
			talk(t, c, must[*Segment](t)(Receive(a, RequireSeals(SealShrink|SealGrow))))
			if x.typ != unix.SOCK_STREAM { // packets may have no bytes; that is not the end
				c.do("send 0", "sent")
				closeNow(t, must[*Segment](t)(Receive(a)))
			}
		})
	}
}

// talk reads what C wrote, and lets C read what this process writes.
func talk(t *testing.T, c cProgram, s *Segment) {
	t.Helper()
	if s.Size() != 8192 || string(s.Bytes()[:12]) != "hello from C" {
		t.Errorf("%d bytes: %q", s.Size(), s.Bytes()[:12])
	}
	copy(s.Bytes(), "hello from Go\x00")
	closeNow(t, s)
	c.do("read", "hello from Go")
}

func TestWhatIsSentIsReceivedInC(t *testing.T) { // T72
	a, b := pair(t, unix.SOCK_STREAM)
	f := must[*os.File](t)(b.File())
	defer f.Close()
	c := inC(t, f)
	m := must[*Segment](t)(Memfd("from-go", 8192))
	defer closeNow(t, m)
	copy(m.Bytes(), "hello from Go")
	if err := errors.Join(m.Seal(SealShrink|SealGrow), Send(a, m), Send(a, m, ReadOnly)); err != nil {
		t.Fatal(err)
	}
	c.do("recv", "received")
	c.do("seals", fmt.Sprint(int(must[Seals](t)(m.Seals()))))
	c.maps(unix.PROT_READ|unix.PROT_WRITE, "8192")
	c.do("read", "hello from Go")
	c.do("write hello from C", "hello from C")
	if string(m.Bytes()[:12]) != "hello from C" {
		t.Errorf("%q", m.Bytes()[:12])
	}
	c.do("recv", "received") // the read-only one
	c.maps(unix.PROT_READ|unix.PROT_WRITE, "mmap: Permission denied")
	c.maps(unix.PROT_READ, "8192")
	copy(m.Bytes(), "still alive\x00")
	c.do("read", "still alive")

	sealed := must[*Segment](t)(Sealed("s", []byte("immutable\x00")))
	if err := Send(a, sealed); err != nil {
		t.Fatal(err)
	}
	closeNow(t, sealed)
	c.do("recv", "received")
	c.maps(unix.PROT_READ, "10")
	c.do("read", "immutable")
}

func TestWhatCInherits(t *testing.T) { // T77
	m := must[*Segment](t)(Memfd("from-go", 8192))
	copy(m.Bytes(), "hello from Go")
	c := inC(t, m.File())
	c.do("inherit", "fd 3")
	c.maps(unix.PROT_READ|unix.PROT_WRITE, "8192")
	c.do("read", "hello from Go")
	c.do("write hello from C", "hello from C")
	if string(m.Bytes()[:12]) != "hello from C" {
		t.Errorf("%q", m.Bytes()[:12])
	}
	closeNow(t, m)
	c.do("read", "hello from C")
}
