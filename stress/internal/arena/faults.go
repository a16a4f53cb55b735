package arena

import "fmt"

// Fault records a broken invariant. Any process may; the first FaultCount
// keep their text, all are counted. It counts first: a worker that is killed
// before its text is complete has still been heard.
func (a *Arena) Fault(slot int, format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	i := a.Faults.Add(1) - 1
	if i >= FaultCount {
		return
	}
	f := &a.Texts[i]
	f.Slot.Store(uint32(slot))
	n := copy(f.Text[:], text)
	f.Size.Store(uint32(n))
}

// FaultTexts are the faults whose text is complete.
func (a *Arena) FaultTexts() []string {
	var texts []string
	for i := range a.Texts {
		f := &a.Texts[i]
		if n := f.Size.Load(); n > 0 && n <= uint32(len(f.Text)) {
			texts = append(texts, string(f.Text[:n]))
		}
	}
	return texts
}
