package main

import (
	"bytes"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"interlock/stress/internal/report"
	"interlock/stress/internal/trace"
)

// watchChildren collects the pids of our children until done is closed.
func watchChildren(done <-chan struct{}) (seen func() map[int]bool) {
	pids, ended := map[int]bool{}, make(chan struct{})
	go func() {
		defer close(ended)
		for {
			for _, pid := range children(os.Getpid()) {
				pids[pid] = true
			}
			select {
			case <-done:
				return
			case <-time.After(time.Millisecond):
			}
		}
	}()
	return func() map[int]bool { <-ended; return pids }
}

// mentioned are the pids that a folder's schedule of faults has: those of the processes
// that were started, and killed.
func mentioned(t *testing.T, folders string) map[int]bool {
	t.Helper()
	found, _ := filepath.Glob(filepath.Join(folders, "*", "schedule.txt"))
	if len(found) != 1 {
		t.Fatal(found)
	}
	text, err := os.ReadFile(found[0])
	if err != nil {
		t.Fatal(err)
	}
	pids := map[int]bool{}
	for _, m := range regexp.MustCompile(`pid (\d+)`).FindAllStringSubmatch(string(text), -1) {
		pid, _ := strconv.Atoi(m[1])
		pids[pid] = true
	}
	return pids
}

// A trace is of real processes, its spans do not cross, and kills, recoveries and arrows
// are where they belong.
func TestTrace(t *testing.T) {
	file, tmp := filepath.Join(t.TempDir(), "trace.json"), t.TempDir()
	t.Setenv("TMPDIR", tmp)
	done := make(chan struct{})
	seen := watchChildren(done)
	var out, errs bytes.Buffer
	code := dispatch(strings.Fields("run mutex -duration 1s -kill 20 -latency=false -threshold mutex.rate>1e15 -trace "+file), &out, &errs)
	close(done)
	if code != report.Late {
		t.Fatalf("code %d: %s%s", code, &out, &errs)
	}
	f := readTrace(t, file)
	real := seen()
	maps.Copy(real, mentioned(t, tmp))
	killed, rows, count := map[int]bool{}, map[int][]trace.Event{}, map[string]int{}
	for _, e := range f.Events {
		count[e.Phase+" "+e.Name]++
		if !real[e.PID] {
			t.Errorf("%d is no process of this run: %+v", e.PID, e)
		}
		if e.Name == "kill" {
			killed[e.PID] = true
		}
		if e.Phase == "X" {
			rows[e.TID] = append(rows[e.TID], e)
		}
	}
	for row, events := range rows {
		if !nested(events) {
			t.Errorf("the spans of row %d cross, or are out of order: %+v", row, events[:min(len(events), 4)])
		}
		if last := events[len(events)-1]; last.Args["killed"] != nil && !killed[last.PID] {
			t.Errorf("%d was killed, but no mark says so", last.PID)
		}
	}
	if count["X wait"] == 0 || count["X hold"] == 0 || count["s handed on"] == 0 || count["s handed on"] != count["f handed on"] ||
		count["i kill"] == 0 || count["M process_name"] == 0 {
		t.Errorf("%v", count)
	}
	if p := f.Other.Parts; len(p) != 1 || p[0].Scenario != "mutex" || p[0].Kept == 0 || p[0].Dropped == 0 || p[0].Whole == 0 {
		t.Errorf("about itself it says %+v", p)
	}
}

func readTrace(t *testing.T, file string) (f trace.File) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err == nil {
		err = json.Unmarshal(text, &f)
	}
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// nested says that spans follow each other, or one is within the other.
func nested(events []trace.Event) bool {
	var open []trace.Micros // their ends
	for i, e := range events {
		if i > 0 && e.At < events[i-1].At || e.For < 0 {
			return false
		}
		open = slices.DeleteFunc(open, func(end trace.Micros) bool { return end <= e.At })
		if len(open) > 0 && e.At+e.For > open[len(open)-1] {
			return false
		}
		open = append(open, e.At+e.For)
	}
	return true
}

func TestNested(t *testing.T) {
	span := func(at, long trace.Micros) trace.Event { return trace.Event{At: at, For: long} }
	if !nested([]trace.Event{span(0, 10), span(2, 3), span(5, 5), span(10, 1)}) {
		t.Error("these are nested")
	}
	for _, bad := range [][]trace.Event{{span(0, 10), span(5, 6)}, {span(5, 1), span(0, 1)}, {span(0, -1)}} {
		if nested(bad) {
			t.Errorf("%+v", bad)
		}
	}
}

// Scenarios whose goroutines act on orders, and those of a crowd, of which one for each
// worker writes down, have spans too: waits that came to something, what was held until it
// was given away, and, where there are deaths, these and the repairs.
func TestTraceOfOrders(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	for name, marks := range map[string][]string{"handoff": nil, "dead-waiter": {"i kill", "i recovery"}, "herd": {"i kill"}, "timeouts": {"i kill"}} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "trace.json")
			var out, errs bytes.Buffer
			code := dispatch(strings.Fields("run "+name+" -latency=false -kill 40 -trace "+file), &out, &errs)
			if code != report.Pass && code != report.Late {
				t.Fatalf("code %d: %s%s", code, &out, &errs)
			}
			count, rows, longest := map[string]int{}, map[int][]trace.Event{}, map[string]trace.Micros{}
			for _, e := range readTrace(t, file).Events {
				count[e.Phase+" "+e.Name]++
				if e.Phase == "X" {
					rows[e.TID] = append(rows[e.TID], e)
					longest[e.Name] = max(longest[e.Name], e.For)
				}
			}
			for row, events := range rows {
				if !nested(events) {
					t.Errorf("the spans of row %d cross, or are out of order: %+v", row, events[:min(len(events), 4)])
				}
			}
			for _, want := range append([]string{"X wait", "X hold"}, marks...) {
				if count[want] == 0 {
					t.Errorf("no %q among %v", want, count)
				}
			}
			if longest["wait"] == 0 || longest["hold"] == 0 {
				t.Errorf("spans without a length: the longest are %v", longest)
			}
		})
	}
}
