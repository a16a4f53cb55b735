package report

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"
)

// thousand is 1 µs to 1 ms, one each.
func thousand() *Latency {
	l := NewLatency()
	for i := range 1000 {
		l.Record(time.Duration(i+1)*time.Microsecond, 1)
	}
	return l
}

func near(got, want time.Duration) bool { return got >= want-want/50 && got <= want+want/50 }

func TestLatency(t *testing.T) {
	l := NewLatency()
	l.Merge(thousand())
	l.Record(0, 1)            // as 1 ns
	l.Record(48*time.Hour, 1) // longer than what quantiles tell apart
	if l.Count() != 1002 || !near(l.Quantile(50), 500*time.Microsecond) || !near(l.Quantile(99), 990*time.Microsecond) || l.Max() != 48*time.Hour {
		t.Errorf("count %d, median %v, p99 %v, longest %v", l.Count(), l.Quantile(50), l.Quantile(99), l.Max())
	}
	if empty := NewLatency(); empty.Quantile(50) != 0 || empty.Max() != 0 {
		t.Errorf("of nothing: %v, %v", empty.Quantile(50), empty.Max())
	}
}

// What the JSON says adds up, and the bars show every one.
func TestLatencyIsShown(t *testing.T) {
	r := &Result{Name: "mutex", Latency: map[string]*Latency{Recovery: thousand()}}
	text, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Latency map[string]struct {
			Count   int64 `json:"count"`
			P999    int64 `json:"p99_9_ns"`
			Buckets []struct {
				Count int64 `json:"count"`
			} `json:"buckets"`
		} `json:"latency"`
	}
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	sum := int64(0)
	for _, b := range got.Latency[Recovery].Buckets {
		sum += b.Count
	}
	if l := got.Latency[Recovery]; sum != 1000 || l.Count != 1000 || !near(time.Duration(l.P999), time.Millisecond) {
		t.Errorf("%d in buckets: %s", sum, text)
	}
	var out bytes.Buffer
	Latencies(&out, []*Result{r, {Name: "other"}})
	for _, want := range []string{"mutex", "recovery", "1000", "up to   1.0ms      476 ██████████", "up to     1µs        1 ▏"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, &out)
		}
	}
	out.Reset()
	if Latencies(&out, []*Result{{Name: "other"}}); out.Len() > 0 {
		t.Errorf("of nothing: %s", &out)
	}
}

func TestThresholds(t *testing.T) {
	results := []*Result{
		{Name: "mutex", Ops: 1000, Elapsed: time.Second, Fairness: 0.95, Kills: 3, Latency: map[string]*Latency{Wait: thousand()}},
		{Name: "segment", Fairness: 0.5},
	}
	for text, want := range map[string][]bool{
		"mutex.wait.p99<2ms":     {true},
		"mutex.wait.p99<900us":   {false},
		"mutex.wait.p99>900us":   {true},
		"mutex.wait.p99.9 < 2ms": {true},
		"mutex.wait.max<1h":      {true},
		"mutex.wait.mean<400us":  {false},
		"mutex.wait.count>999":   {true},
		"mutex.hold.p50<1s":      {false}, // it has none
		"*.wait.p50<1s":          {true},
		"all.fairness>0.9":       {true, false},
		"mutex.rate>999":         {true},
		"mutex.rate>1000":        {false},
		"mutex.kills<4":          {true},
		"seg*.recovered>0":       {false},
		"condvar.wait.p50<1s":    {false}, // not in this run
	} {
		th, err := ParseThreshold(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		lines, met := th.Judge(results)
		if met == slices.Contains(want, false) || len(lines) != len(want) {
			t.Errorf("%s: %v, %q", text, met, lines)
			continue
		}
		for i, l := range lines {
			if strings.HasPrefix(l, "✓") != want[i] {
				t.Errorf("%s: %q", text, l)
			}
		}
	}
	for _, text := range []string{"", "mutex", "mutex.wait<1ms", "mutex.wait.p99<fast", "mutex.wait.p101<1s", "mutex.fairness.p50>1",
		"mutex.nothing>1", "mutex.rate=1", "mutex.wait.p99.9.9<1s"} {
		if _, err := ParseThreshold(text); err == nil {
			t.Errorf("%q is understood", text)
		}
	}
}
