package inspect

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"interlock/internal/proctest"
	"interlock/mutex"
	"interlock/semaphore"
	"interlock/shm"
)

func init() {
	// An inspector of another user, who may do what its user may.
	proctest.Register("inspector", func(c *proctest.Child) {
		becomeNobody(c)
		src, err := Open(c.Args[0])
		var right *RightError
		if err != nil {
			c.Sayf("%v %v", errors.As(err, &right), err)
			return
		}
		sub, err := Study(src, nil, false)
		c.Check(err)
		scene, err := Inspect(context.Background(), []*Subject{sub}, Options{})
		c.Check(err)
		c.Say(strings.ReplaceAll(print(scene), "\n", "|"))
	})
	proctest.Register("inspector of a process", func(c *proctest.Child) {
		becomeNobody(c)
		_, err := OfProcess(c.Int(0))
		var right *RightError
		c.Sayf("%v %v", errors.As(err, &right), err)
	})
	proctest.Register("sysv actor", func(c *proctest.Child) {
		seg, err := shm.SysVOpenID(c.Int(0))
		c.Check(err)
		m, err := shm.At[mutex.Mutex](seg.Bytes(), 64)
		c.Check(err)
		if c.Args[1] == "lock" {
			m.Lock()
			c.Say("locked")
		} else {
			go m.Lock()
			c.Say("waiting")
		}
		c.Recv()
	})
}

func becomeNobody(c *proctest.Child) {
	const nobody = 65534
	c.Check(syscall.Setgroups(nil))
	c.Check(syscall.Setgid(nobody))
	c.Check(syscall.Setuid(nobody))
}

func TestTypes(t *testing.T) {
	places, err := ParseTypes("mutex@0x40, semaphore@128,cond@0xc4,mutex[3]/64@0x100,seqlock(20)@512,doublebuffer(12)[2]@1024")
	var got []string
	for _, p := range places {
		got = append(got, fmt.Sprintf("%s %d+%d", p.Path, p.Off, p.Size))
	}
	want := "mutex@0x40 64+40; semaphore@0x80 128+32; cond@0xc4 196+16; mutex@0x100[0] 256+40; mutex@0x100[1] 320+40; mutex@0x100[2] 384+40; " +
		"seqlock@0x200 512+88; doublebuffer@0x400[0] 1024+88; doublebuffer@0x400[1] 1112+88"
	if strings.Join(got, "; ") != want || err != nil {
		t.Errorf("%v\n%s\n%s", err, strings.Join(got, "; "), want)
	}
	for bad, why := range map[string]string{
		"":                          "not KIND@OFFSET",
		"mutex":                     "not KIND@OFFSET",
		"mutx@0":                    `no primitive "mutx"`,
		"mutex@-1":                  "not KIND@OFFSET",
		"mutex@4":                   "a multiple of 8",
		"cond@2":                    "a multiple of 4",
		"mutex@1e3":                 "is no offset",
		"mutex@9223372036854775800": "is no offset",
		"mutex[0]@0":                "between 1 and",
		"mutex[99999999]@0":         "between 1 and",
		"mutex[2]/8@0":              "it has 40",
		"mutex(8)@0":                "only a seqlock",
		"mutex@0,semaphore@32":      "overlap",
		"mutex[999999]@0,mutex[999999]@0x10000000": "between 1 and",
	} {
		if _, err := ParseTypes(bad); err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("%q: %v, want %q", bad, err, why)
		}
	}
}

// What a name means, and that what is no memory is not opened.
func TestOpen(t *testing.T) {
	s := newStage(t)
	for _, what := range []string{s.name, "/" + s.name, shmDir + "/" + s.name} {
		src, err := Open(what)
		if err != nil || src.Kind != "POSIX segment" || src.Remove != "rm "+shmDir+"/"+s.name {
			t.Errorf("%s: %+v, %v", what, src, err)
			continue
		}
		src.Close()
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, make([]byte, 100), 0o600); err != nil {
		t.Fatal(err)
	}
	if src, err := Open(file); err != nil || src.Kind != "file" || src.Size != 100 {
		t.Errorf("%+v, %v", src, err)
	} else {
		src.Close()
	}
	fifo := filepath.Join(dir, "fifo")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, what := range []string{fifo, dir, "/dev/null"} {
		if _, err := Open(what); err == nil || !strings.Contains(err.Error(), "no memory") {
			t.Errorf("%s: %v", what, err)
		}
	}
	for _, what := range []string{s.name + "x", "/nowhere/at/all", "sysv:2147483647", "/proc/1/fd/99999"} {
		if _, err := Open(what); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := Open("sysv:nine"); err == nil {
		t.Error("sysv:nine")
	}
	if _, err := OfProcess(1 << 30); err == nil {
		t.Error("there is no such process")
	}
}

func TestANamedSemaphore(t *testing.T) {
	name := fmt.Sprintf("interlock-inspect.%d", os.Getpid())
	sem, err := semaphore.Open(name, semaphore.Create(5))
	if err != nil {
		t.Fatal(err)
	}
	defer semaphore.Unlink(name)
	defer sem.Close()
	src, err := Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	sub, err := Study(src, nil, false)
	if err != nil {
		t.Fatal(err)
	}
	scene, err := Look([]*Subject{sub}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	says(t, print(scene), "named semaphore", "permits, 5 permits", "OK: 1 primitive")
}

func TestEverything(t *testing.T) {
	s := newStage(t)
	list, err := Everything()
	if err != nil {
		t.Fatal(err)
	}
	defer CloseAll(list)
	for _, src := range list {
		if src.Name == shmDir+"/"+s.name {
			return
		}
	}
	t.Errorf("%s is not in it", s.name)
}

// A System V segment: attached for the look, by identifier and by key.
func TestASystemVSegment(t *testing.T) {
	key := shm.Key(0x1c0000 + os.Getpid()&0xffff)
	seg, err := shm.SysVCreate(key, 4096)
	if err != nil {
		t.Skipf("no System V memory: %v", err)
	}
	id, err := shm.SysVID(key)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = shm.SysVRemove(id) }()
	seg.Close()
	actor := func(verb, says string) *proctest.Proc {
		p := proctest.Start(t, "sysv actor", proctest.Args(strconv.Itoa(id), verb))
		p.Expect(says)
		return p
	}
	p, q := actor("lock", "locked"), actor("wait", "waiting")
	types, err := ParseTypes("mutex@64")
	if err != nil {
		t.Fatal(err)
	}
	for _, what := range []string{fmt.Sprintf("sysv:%d", id), fmt.Sprintf("sysv:%#x", uint32(key))} {
		proctest.Until(t, "the holder and the waiter are seen through "+what, func() bool {
			src, err := Open(what)
			if err != nil {
				t.Fatal(err)
			}
			defer src.Close()
			sub, err := Study(src, types, false)
			if err != nil {
				t.Fatal(err)
			}
			scene, err := Look([]*Subject{sub}, Options{})
			if err != nil {
				t.Fatal(err)
			}
			it := scene.Objects[0].Items[0]
			if it.Holder == nil || it.Holder.PID != p.Pid || len(scene.Objects[0].Users) != 2 {
				t.Fatalf("%s", print(scene))
			}
			return len(it.Waiters) == 1 && it.Waiters[0].PID == q.Pid
		})
	}
	list, err := OfProcess(p.Pid)
	if err != nil || len(list) != 1 || list[0].Kind != "System V segment" {
		t.Errorf("-pid: %+v, %v", list, err)
	}
	CloseAll(list)
	if st, err := shm.SysVStat(id); err != nil || st.Attached != 2 {
		t.Errorf("still attached: %+v, %v", st, err)
	}
}

// Another user: refused with the right that is missing, or told as far as it goes.
func TestAnotherUser(t *testing.T) {
	if os.Getuid() != 0 {
		proctest.Excuse("inspector", "inspector of a process")
		t.Skip("needs root to be somebody else")
	}
	s := newStage(t)
	p := s.actor()
	do(p, "lock 0")
	says(t, proctest.Start(t, "inspector", proctest.Args(s.name)).Line(),
		"true ", "permission denied", "read permission is missing", "0600", "user 0")
	says(t, proctest.Start(t, "inspector of a process", proctest.Args(strconv.Itoa(p.Pid))).Line(), "true ", "CAP_SYS_PTRACE")
	if err := os.Chmod(shmDir+"/"+s.name, 0o644); err != nil {
		t.Fatal(err)
	}
	says(t, proctest.Start(t, "inspector", proctest.Args(s.name)).Line(),
		"Mu[0] mutex @0x800: held|", fmt.Sprintf("held by %d `", p.Pid), "processes may not be asked what they map", "OK: 12 primitives, 1 held")
}
