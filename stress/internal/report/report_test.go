package report

import (
	"bytes"
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"
)

func TestLine(t *testing.T) {
	r := &Result{Name: "mutex", Procs: 4, Goroutines: 8, Elapsed: 1600 * time.Millisecond, Ops: 31_200_000,
		Kills: 212, HeldKills: 90, Recovered: 98, Worst: 8400 * time.Microsecond, Notes: []string{"lost 0"}, Seed: 0x5eed}
	if got, want := Line(r), "PASS mutex       4p×8g 1.6s 31.2M ops kills 212 recovered 98 worst 8.4ms lost 0 seed 0x5eed"; got != want {
		t.Errorf("\n%s\n%s", got, want)
	}
	r.Add(Broke, "two inside")
	if got, want := Line(r), "FAIL mutex       4p×8g 1.6s 31.2M ops kills 212 recovered 98 worst 8.4ms lost 0 seed 0x5eed (invariant broken)"; got != want {
		t.Errorf("\n%s\n%s", got, want)
	}
	r.Code = Interrupted
	if got := Line(r)[:4]; got != "PART" {
		t.Error(got)
	}
}

// A broken invariant is never hidden behind a missed threshold or a death.
func TestWorse(t *testing.T) {
	order := []Code{Pass, Late, Setup, Died, Hang, Broke, Interrupted}
	for i, a := range order {
		for j, b := range order {
			if got := Worse(a, b); got != order[max(i, j)] {
				t.Errorf("%v and %v: %v", a, b, got)
			}
		}
	}
}

func TestNumbers(t *testing.T) {
	for n, want := range map[uint64]string{0: "0", 9999: "9999", 10_000: "10.0k", 1_250_000: "1.2M", 31_200_000_000: "31.2G"} {
		if got := Count(n); got != want {
			t.Errorf("Count(%d) = %s, want %s", n, got, want)
		}
	}
	for d, want := range map[time.Duration]string{0: "0ns", 130 * time.Microsecond: "130µs", 8400 * time.Microsecond: "8.4ms",
		269 * time.Millisecond: "269ms", 1500 * time.Millisecond: "1.5s", time.Minute: "60s"} {
		if got := Short(d); got != want {
			t.Errorf("Short(%v) = %s, want %s", d, got, want)
		}
	}
}

func TestDocument(t *testing.T) {
	var out bytes.Buffer
	if err := NewDocument(0x5eed, []string{"mutex"}, Hang, []*Result{{Name: "mutex"}}).Write("-", &out); err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := json.Unmarshal(out.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if got["schema_version"] != 1.0 || got["seed"] != "0x5eed" || got["code"] != 3.0 || got["host"].(map[string]any)["kernel"] == "" {
		t.Errorf("%s", &out)
	}
}

// What is no terminal gets no escape sequences, and lines rarely.
func TestProgressOffTerminal(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	p := NewProgress(w)
	p.Show(func() Snapshot { return Snapshot{Name: "mutex"} })
	p.last = time.Now().Add(-time.Minute)
	p.Show(func() Snapshot { return Snapshot{Name: "mutex", Elapsed: time.Second, Ops: 5_000_000} })
	p.Clear()
	w.Close()
	buf := make([]byte, 1000)
	n, _ := r.Read(buf)
	if got, want := string(buf[:n]), "mutex 1.0s 5.0M ops/s kills 0 recovered 0 longest wait 0ns fairness 0.00\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	var none *Progress
	none.Show(func() Snapshot { return Snapshot{} })
	none.Clear()
}

// The document explains every file of a failure's folder.
func TestTheDocumentExplainsTheFolder(t *testing.T) {
	text, err := os.ReadFile("../../../docs/stress.md")
	if err != nil {
		t.Fatal(err)
	}
	for name := range files {
		if !strings.Contains(string(text), "| `"+name+"` |") {
			t.Errorf("docs/stress.md does not explain %s", name)
		}
	}
}
