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

// What Each tells is what was added, each in its place, and the longest exactly.
func TestEachAgainstSorting(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	var parts [2]Spread
	var want, got []time.Duration
	for i := range 1000 {
		d := time.Duration(r.Int64N(1 << r.IntN(34)))
		parts[i%2].Add(d)
		want = append(want, d)
	}
	for i := range parts {
		parts[i].Each(func(d time.Duration, n int64) { got = append(got, slices.Repeat([]time.Duration{d}, int(n))...) })
	}
	slices.Sort(want)
	slices.Sort(got)
	if len(got) != 1000 || got[999] != want[999] {
		t.Fatalf("%d, the longest %v, want 1000 and %v", len(got), got[len(got)-1], want[999])
	}
	for i := range got {
		if got[i] < want[i] || got[i] > want[i]+want[i]/8+1 {
			t.Errorf("%v is told as %v", want[i], got[i])
		}
	}
	(&Spread{}).Each(func(d time.Duration, n int64) { t.Errorf("of nothing: %v, %d times", d, n) })
}
