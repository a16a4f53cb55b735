package report

import (
	"errors"
	"fmt"
	"path"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// A Threshold is what a user demands of a run:
//
//	mutex.wait.p99<2ms      scenario, what, which: a duration
//	*.recovery.max<100ms    patterns work for scenarios
//	mutex.fairness>0.9      a number
//	mutex.rate>1e6          operations per second
type Threshold struct {
	text     string
	scenario string
	what     string // Wait, Hold, Recovery, or a number's name
	which    string // for durations
	less     bool
	limit    float64
}

var thresholdText = regexp.MustCompile(`^([^.]+)\.([a-z]+)(?:\.(p[0-9.]+|max|mean|count))?\s*([<>])\s*(\S+)$`)

var errThreshold = errors.New("want something like mutex.wait.p99<2ms, *.recovery.max<100ms, mutex.fairness>0.9 or mutex.rate>1e6")

// ParseThreshold understands one.
func ParseThreshold(text string) (*Threshold, error) {
	m := thresholdText.FindStringSubmatch(text)
	if m == nil {
		return nil, fmt.Errorf("%q: %w", text, errThreshold)
	}
	t := &Threshold{text: text, scenario: m[1], what: m[2], which: m[3], less: m[4] == "<"}
	var err error
	switch t.what {
	case Wait, Hold, Recovery:
		if t.which == "" {
			return nil, fmt.Errorf("%q: which of %s: p50, p99, p99.9, max, mean or count?", text, t.what)
		}
		if strings.HasPrefix(t.which, "p") {
			if p, err := strconv.ParseFloat(t.which[1:], 64); err != nil || p > 100 {
				return nil, fmt.Errorf("%q: %s is no percentile", text, t.which)
			}
		}
		if t.which == "count" {
			t.limit, err = strconv.ParseFloat(m[5], 64)
			break
		}
		var d time.Duration
		d, err = time.ParseDuration(m[5])
		t.limit = float64(d)
	case "fairness", "rate", "kills", "recovered":
		if t.which != "" {
			return nil, fmt.Errorf("%q: %s is one number", text, t.what)
		}
		t.limit, err = strconv.ParseFloat(m[5], 64)
	default:
		err = errThreshold
	}
	if err != nil {
		return nil, fmt.Errorf("%q: %w", text, err)
	}
	return t, nil
}

// String is the threshold as it was given.
func (t *Threshold) String() string { return t.text }

// Judge says how a threshold was met by the scenarios that it names. Where there is
// nothing to compare, it was not.
func (t *Threshold) Judge(results []*Result) (lines []string, met bool) {
	met = true
	for _, r := range results {
		if ok, err := path.Match(t.scenario, r.Name); t.scenario != "all" && (err != nil || !ok) {
			continue
		}
		got, text, known := t.value(r)
		if !known && t.pattern() {
			continue // not every scenario has everything
		}
		ok := known && (got < t.limit) == t.less && got != t.limit
		mark := "✓"
		if !ok {
			mark, met = "✗", false
			r.Missed = append(r.Missed, t.text+": "+text)
		}
		lines = append(lines, fmt.Sprintf("%s %s: %s %s", mark, t.text, r.Name, text))
	}
	if len(lines) == 0 {
		return []string{"✗ " + t.text + ": no scenario in this run has that"}, false
	}
	return lines, met
}

func (t *Threshold) pattern() bool {
	return t.scenario == "all" || strings.ContainsAny(t.scenario, "*?[")
}

func (t *Threshold) value(r *Result) (v float64, text string, known bool) {
	switch t.what {
	case "fairness":
		return r.Fairness, fmt.Sprintf("%.3f", r.Fairness), true
	case "rate":
		v = float64(r.Ops) / max(r.Elapsed.Seconds(), 1e-9)
		return v, Count(uint64(v)) + "/s", true
	case "kills":
		return float64(r.Kills), strconv.Itoa(r.Kills), true
	case "recovered":
		return float64(r.Recovered), strconv.Itoa(r.Recovered), true
	}
	l := r.Latency[t.what]
	if l == nil {
		return 0, "has no " + t.what, false
	}
	var d time.Duration
	switch t.which {
	case "count":
		return float64(l.Count()), strconv.FormatInt(l.Count(), 10), true
	case "max":
		d = l.Max()
	case "mean":
		d = l.Mean()
	default:
		p, _ := strconv.ParseFloat(t.which[1:], 64) // checked by ParseThreshold
		d = l.Quantile(p)
	}
	return float64(d), Short(d), true
}
