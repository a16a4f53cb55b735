package work

import (
	"slices"
	"time"

	"interlock/stress/internal/arena"
)

// batchTime is how long a batch of operations lasts, about: far above what
// reading the clock costs, far below the time after which a kernel gives the CPU
// to somebody else, so that most batches are undisturbed.
const batchTime = 200 * time.Microsecond

// Batches repeats do, which performs n operations, until the slice is over.
//
// Whatever disturbs a batch makes it slower, never faster: so the best batch is
// the cost of the operation itself, and the median is what one usually gets.
func (o Order) Batches(do func(n int)) Answer {
	end := o.Await()
	n := calibrate(do)
	var a Answer
	var each []float64
	begin := arena.Now()
	for now := begin; now < end || len(each) == 0; {
		do(n)
		next := arena.Now()
		each = append(each, float64(next-now)/float64(n))
		a.Ops += uint64(n)
		now = next
	}
	a.Elapsed = time.Duration(arena.Now() - begin)
	slices.Sort(each)
	a.Best, a.Middle = each[0], each[len(each)/2]
	return a
}

// calibrate finds how many operations take batchTime.
func calibrate(do func(n int)) int {
	for n := 1; ; n *= 2 {
		begin := arena.Now()
		do(n)
		if took := arena.Now() - begin; took > int64(batchTime)/2 || n >= 1<<20 {
			return n
		}
	}
}
