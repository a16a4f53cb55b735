package shm

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// T62: a maker killed after any of its steps leaves a complete object or
// none, and the next comer has one in less than a second.

func init() {
	// arg: what, name or path, step to die at, directory, "notmp"
	children["maker"] = func(arg []string) error {
		shmDir = arg[3]
		noTmpfile = arg[4] == "notmp"
		k, err := strconv.Atoi(arg[2])
		if err != nil {
			return err
		}
		killAtStep(k)
		init := func(v *raceT) error {
			v.Fill[17] = 99 // visible if half-made memory were ever reused
			step("half of init")
			v.finish(5)
			step("all of init")
			return nil
		}
		switch arg[0] {
		case "create":
			_, err = Create(arg[1], raceSize)
		case "file":
			_, err = OpenFile(arg[1], raceSize, CreateFile)
		default:
			_, err = openRace(context.Background(), arg[1], arg[0] == "share", init)
		}
		return err
	}
}

func TestKilledAtEachStep(t *testing.T) {
	for _, mode := range []string{"tmpfile", "notmp"} {
		for _, what := range []string{"create", "file", "raw", "share"} {
			t.Run(what+"/"+mode, func(t *testing.T) { killAtEachStep(t, what, mode) })
		}
	}
}

func killAtEachStep(t *testing.T, what, mode string) {
	dir := ownDir(t)
	for k := 1; ; k++ {
		name := "/" + runID + "k"
		if what == "file" {
			name = filepath.Join(dir, runID+"k")
		}
		out, err := child(t, "maker", what, name, strconv.Itoa(k), dir, mode).Output()
		died := killedBy(err)
		if err != nil && !died {
			t.Fatalf("step %d: %v", k, err)
		}
		marked := strings.TrimSpace(string(out))
		start := time.Now()
		s, made, err := finishAfter(what, name)
		took := time.Since(start)
		if err != nil {
			t.Fatalf("killed after %q: next comer: %v", marked, err)
		}
		if took > breach {
			t.Errorf("killed after %q: next comer took %v", marked, took)
		}
		t.Logf("killed after %-26q next comer made it anew: %-5v in %v", marked, made, took.Round(10*time.Microsecond))
		closeNow(t, s)
		if what == "file" {
			err = os.Remove(name)
		} else {
			err = Remove(name)
		}
		if err != nil {
			t.Error(err)
		}
		for _, left := range leftovers(dir) {
			if mode == "notmp" && strings.HasPrefix(left, reserved+"tmp-") {
				os.Remove(filepath.Join(dir, left)) // documented: inode.go
				continue
			}
			t.Errorf("killed after %q: %s is left after Remove", marked, left)
		}
		if !died {
			if made {
				t.Error("an unkilled maker made nothing")
			}
			if k < 5 {
				t.Errorf("only %d steps", k-1)
			}
			return
		}
	}
}

// finishAfter is the next comer. made: it found no object and made its own,
// on zeroed memory.
func finishAfter(what, name string) (s *Segment, made bool, err error) {
	switch what {
	case "create", "file":
		open := func() (*Segment, error) { return Open(name) }
		if what == "file" {
			open = func() (*Segment, error) { return OpenFile(name, raceSize, CreateFile) }
			made = !exists(name)
		}
		s, err = open()
		if errors.Is(err, ErrNotExist) {
			made = true
			s, err = Create(name, raceSize)
		}
		if err == nil && !bytes.Equal(s.Bytes(), make([]byte, raceSize)) {
			err = errors.New("incomplete")
		}
		return s, made, err
	}
	s, err = openRace(context.Background(), name, what == "share", func(v *raceT) error {
		made = true
		if v.Fill[17] != 0 {
			return errors.New("init got memory that was not zero")
		}
		v.finish(6)
		return nil
	})
	return s, made, err
}

func init() {
	// Makes, checks and removes for ever, with a slow init, until it is killed.
	children["churn"] = func(arg []string) error {
		for i := uint32(1); ; i++ {
			s, err := openRace(context.Background(), arg[0], arg[1] == "share", func(v *raceT) error {
				if v.Runs.Load() != 0 || v.Fill[999] != 0 {
					return errors.New("init got memory that was not zero")
				}
				for j := range v.Fill {
					v.Fill[j] = i
					if j%100 == 0 {
						unix.Nanosleep(&unix.Timespec{Nsec: 1000}, nil)
					}
				}
				v.Runs.Add(1)
				return nil
			})
			if err == nil {
				err = s.Close()
			}
			if err != nil {
				return err
			}
			if rand.IntN(3) == 0 {
				Remove(arg[0])
			}
		}
	}
}

// Random kills for a while, then calm: one comer must succeed at once.
func TestRandomKills(t *testing.T) {
	for _, what := range []string{"raw", "share"} {
		t.Run(what, func(t *testing.T) { killAtRandom(t, what) })
	}
}

func killAtRandom(t *testing.T, what string) {
	name, end := newName(t), time.Now().Add(2*time.Second)
	if testing.Short() {
		end = time.Now().Add(300 * time.Millisecond)
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	kills := 0
	for range 6 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for time.Now().Before(end) {
				cmd := child(t, "churn", name, what)
				if err := cmd.Start(); err != nil {
					t.Error(err)
					return
				}
				time.Sleep(time.Duration(20+rand.IntN(40)) * time.Millisecond)
				cmd.Process.Kill()
				if err := cmd.Wait(); !killedBy(err) {
					t.Errorf("a child ended by itself: %v", err)
					return
				}
				mu.Lock()
				kills++
				mu.Unlock()
			}
		}()
	}
	wg.Wait()
	start := time.Now()
	s, err := openRace(context.Background(), name, what == "share", func(v *raceT) error { v.finish(1); return nil })
	if err != nil || time.Since(start) > breach {
		t.Fatalf("after the storm: %v in %v", err, time.Since(start))
	}
	closeNow(t, s)
	if err := Remove(name); err != nil {
		t.Error(err)
	}
	t.Logf("%d kills", kills)
}
