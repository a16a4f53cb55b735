package supervise

import (
	"fmt"
	"io"
	"sync"
	"time"
)

// journal is what was done to whom and when, for the folder of a run that fails.
type journal struct {
	begin time.Time

	mu      sync.Mutex
	entries []entry // a ring
	count   int
}

type entry struct {
	at   time.Duration
	text string
}

// journalSize bounds what a long run remembers: a failure is explained by what came
// shortly before it.
const journalSize = 20_000

func newJournal() *journal { return &journal{begin: time.Now()} }

func (j *journal) note(format string, args ...any) {
	e := entry{time.Since(j.begin), fmt.Sprintf(format, args...)}
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.count < journalSize {
		j.entries = append(j.entries, e)
	} else {
		j.entries[j.count%journalSize] = e
	}
	j.count++
}

// write writes it down, oldest first.
func (j *journal) write(w io.Writer) {
	j.mu.Lock()
	defer j.mu.Unlock()
	first := max(0, j.count-journalSize)
	if j.count == 0 {
		fmt.Fprintln(w, "(nothing was done to anybody)")
	}
	if first > 0 {
		fmt.Fprintf(w, "(%d earlier lines are not kept)\n", first)
	}
	for i := first; i < j.count; i++ {
		e := j.entries[i%journalSize]
		fmt.Fprintf(w, "%10.6fs %s\n", e.at.Seconds(), e.text)
	}
}
