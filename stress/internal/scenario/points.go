package scenario

import (
	"strings"

	"interlock/internal/mark"
	"interlock/stress/internal/arena"
)

// points is where a worker comes by: the library's marks, which are there with the build
// tag marks, and the scenario's own traps, which always are.
type points struct {
	w     *Worker
	all   *arena.Points
	tally *arena.Tally
	marks map[string]int // their numbers
	traps map[uint32]int // numbers of labels, behind the marks
	chaos chaos
}

// Targets are the labels at which workers of this scenario can be made to stand still: its
// traps, and of the marks those that its operations come by.
func (p *Plan) Targets(all *arena.Points) []uint32 {
	targets := append([]uint32(nil), p.Traps...)
	for i := range int(all.Marks.Load()) {
		for _, prefix := range p.Marks {
			if strings.HasPrefix(all.Name(i), prefix) {
				targets = append(targets, arena.PointBase+uint32(i))
			}
		}
	}
	return targets
}

// PointOf is the number of a label among the points, -1 if it is none.
func (p *Plan) PointOf(all *arena.Points, label uint32) int {
	if label >= arena.PointBase {
		return int(label - arena.PointBase)
	}
	for i, trap := range p.Traps {
		if trap == label {
			return int(all.Marks.Load()) + i
		}
	}
	return -1
}

// TargetName names a label, a mark's by its name.
func (p *Plan) TargetName(all *arena.Points, label uint32) string {
	if label >= arena.PointBase {
		return all.Name(int(label - arena.PointBase))
	}
	return p.LabelName(label)
}

// Observe has the worker tell where it comes by, if that is wanted, and be delayed there.
func (w *Worker) Observe(p *Plan) {
	if all := w.Arena.Points(); all.Watched.Load() == 0 {
		return
	}
	w.points = newPoints(w, p)
	if len(w.points.marks) > 0 {
		mark.Watch(w.points.passed)
	}
}

func newPoints(w *Worker, p *Plan) *points {
	all := w.Arena.Points()
	o := &points{w: w, all: all, tally: w.Arena.Tally(w.Index), marks: map[string]int{}, traps: map[uint32]int{}}
	for i := range int(all.Marks.Load()) {
		o.marks[all.Name(i)] = i
	}
	for _, label := range p.Traps {
		o.traps[label] = p.PointOf(all, label)
	}
	o.chaos.init(w)
	return o
}

// passed is called at every mark, by whoever passes.
func (o *points) passed(name string) {
	i, known := o.marks[name]
	if !known {
		return
	}
	o.tally.Passed[i].Add(1)
	if label := arena.PointBase + uint32(i); o.w.Slot.Trap.Load() == label {
		o.w.trapped(label, 0)
	}
	if kind := o.all.Chaos.Load(); kind != 0 {
		o.chaos.delay(o.tally, kind, i)
	}
}

// reached is called where a trap of the scenario can be.
func (o *points) reached(label uint32) {
	if i, known := o.traps[label]; known {
		o.tally.Passed[i].Add(1)
	}
}
