package lab

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func show(t *testing.T, o Options) string {
	t.Helper()
	newLab(t, "plain", o.Engine).Close() // or skips
	var out bytes.Buffer
	if err := Show(context.Background(), o, &out); err != nil {
		t.Fatal(err)
	}
	for i, line := range strings.Split(out.String(), "\n") {
		if len(line) > 80 {
			t.Errorf("line %d has %d columns: %s", i+1, len(line), line)
		}
	}
	return out.String()
}

var blanks = regexp.MustCompile(` +`)

func wantAll(t *testing.T, text string, all ...string) {
	t.Helper()
	text = blanks.ReplaceAllString(text, " ")
	for _, want := range all {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
}

// What a person sees: two columns, who does what, and what the counter is.
func TestTable(t *testing.T) {
	text := show(t, Options{Demo: "lost-update", Engine: EngineCPU, Schedule: "ABABAB"})
	wantAll(t, text, "MOVQ (AX), CX v := b.N", "one machine instruction", " 1 | MOVQ (AX), CX CX=0 | | 0", " 4 | | INCQ CX CX=1 | 0",
		" 6 | | MOVQ CX, (AX) | 1", "LOST: 1.", "store buffer", "stress demo lost-update -engine cpu -step -schedule ABABAB")
	text = show(t, Options{Demo: "dead-owner", Engine: EngineOp, Schedule: "AAABAxBBBB"})
	wantAll(t, text, "one operation of the source", " 4 | | b.Lock.Lock() sleeps | 0", " 5 | b.N = v | | 1", " 6 | kill -9 | | 1",
		" 9 | | b.N = v | 2", "Additions finished: 2. The counter: 2.\n", "The lock: free", "was told, and repaired.")
	text = show(t, Options{Demo: "check-then-lock", Engine: EngineCPU, Schedule: "ABABAB"})
	wantAll(t, show(t, Options{Demo: "one-instruction", Engine: EngineCPU, Schedule: "ABAB"}), "one instruction: no step comes between", "The counter: 4.\n")
	wantAll(t, text, "a lock of our own", " 3 | JNE addChecked | | 0", "6 | | MOVL $0x1,")
	wantAll(t, show(t, Options{Demo: "lost-update", Engine: EngineCPU, All: true}), "2 AABABB", "counter 1 lost\n", "20 orders; in 18 of them")
}

// Without a terminal the letters are read.
func TestLettersFromAPipe(t *testing.T) {
	in := pipe(t, "AAA\nBBB\n")
	wantAll(t, show(t, Options{Demo: "lost-update", Engine: EngineOp, In: in}), "Additions finished: 2. The counter: 2.\n")
	var out bytes.Buffer
	if err := Show(context.Background(), Options{Demo: "lost-update", Engine: EngineOp, In: pipe(t, "ABq\n")}, &out); !errors.Is(err, ErrLetter) {
		t.Errorf("q is no letter of a schedule: %v\n%s", err, &out)
	}
}

func pipe(t *testing.T, text string) *os.File {
	t.Helper()
	in, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { in.Close() })
	fmt.Fprint(w, text)
	w.Close()
	return in
}

// A prediction is asked for before the table, and compared behind it.
func TestPrediction(t *testing.T) {
	for answer, want := range map[string]string{"1\n": "You said so.", "2\n": "You said 2.", "": "-schedule ABABAB\n"} {
		text := show(t, Options{Demo: "lost-update", Engine: EngineOp, Schedule: "ABABAB", Quiz: true, In: pipe(t, answer)})
		if !strings.HasSuffix(text, want) && !strings.HasSuffix(text, want+"\n") {
			t.Errorf("to %q it ends in %q", answer, text[len(text)-80:])
		}
		wantAll(t, text, "What will the counter be after ABABAB?")
	}
}

// On a terminal, key by key, and the terminal is left as it was.
func TestKeys(t *testing.T) {
	master, terminal := openTerminal(t)
	before, _ := unix.IoctlGetTermios(int(terminal.Fd()), unix.TCGETS)
	outR, outW, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() {
		done <- Show(context.Background(), Options{Demo: "lost-update", Engine: EngineOp, In: terminal}, outW)
		outW.Close()
	}()
	lines := bufio.NewScanner(outR)
	defer time.AfterFunc(4*patience, func() { outW.Close() }).Stop() // then what it waits for has not come
	await := func(want string) {
		for lines.Scan() {
			if strings.Contains(blanks.ReplaceAllString(lines.Text(), " "), want) {
				return
			}
		}
		t.Fatalf("no %q", want)
	}
	await("step | A")
	for _, k := range []struct{ key, want string }{
		{"a", "1 | v := b.N"}, {"B", "2 | | v := b.N"}, {"x", "3 | kill -9"}, {"A", "4 | - dead"}, {"r", "1000 each at full speed: 1000 of 1000"},
		{"l", "mutex.Mutex around"}, {"a", "1 | b.Lock.Lock()"}, {"?", "held by A"}, {"n", "mutex.Mutex around"}, {"o", "The counter: 2."}, {"o", "LOST: 1."}, {"m", "1000000 each"},
		{"q", "Additions finished"},
	} {
		if _, err := master.WriteString(k.key); err != nil {
			t.Fatal(err)
		}
		await(k.want)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
	if after, _ := unix.IoctlGetTermios(int(terminal.Fd()), unix.TCGETS); *after != *before {
		t.Error("the terminal is not as it was")
	}
}

// openTerminal makes a pair of which terminal is one.
func openTerminal(t *testing.T) (master, terminal *os.File) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() { master.Close() })
	n, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0)
	}
	if err != nil {
		t.Skip(err)
	}
	terminal, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() { terminal.Close() })
	return master, terminal
}
