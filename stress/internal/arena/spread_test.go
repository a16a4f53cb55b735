package arena

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// Every duration is in a bucket that ends at it or at most an eighth above, and
// buckets follow each other without a gap.
func TestBuckets(t *testing.T) {
	for i := range spreadSize - 1 {
		if bucket(top(i)) != i || bucket(top(i)+1) != i+1 {
			t.Fatalf("bucket %d ends at %d, which is in %d; the next is in %d", i, top(i), bucket(top(i)), bucket(top(i)+1))
		}
		if i > 8 && top(i)-top(i-1) > top(i)/8+1 {
			t.Errorf("bucket %d is too wide: from %d to %d", i, top(i-1), top(i))
		}
	}
	if bucket(-1) != 0 || bucket(1<<62) != spreadSize-1 || top(spreadSize-1) < time.Minute {
		t.Error("what is out of range is not in the first or the last")
	}
}

func TestSummaryAgainstSorting(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	var parts [2]Spread
	var all []time.Duration
	for i := range 1000 {
		d := time.Duration(r.Int64N(1 << r.IntN(34)))
		parts[i%2].Add(d)
		all = append(all, d)
	}
	slices.Sort(all)
	got := Summarize(&parts[0], &parts[1])
	if got.Count != 1000 || got.Worst != all[999] {
		t.Errorf("%d, worst %v, want 1000 and %v", got.Count, got.Worst, all[999])
	}
	for _, c := range []struct{ got, want time.Duration }{{got.Median, all[499]}, {got.P99, all[989]}} {
		if c.got < c.want || c.got > c.want+c.want/8+1 {
			t.Errorf("%v, by sorting %v", c.got, c.want)
		}
	}
	if empty := Summarize(&Spread{}); empty != (Summary{}) {
		t.Errorf("of nothing: %+v", empty)
	}
}
