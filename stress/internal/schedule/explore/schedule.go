package explore

import (
	"fmt"
	"strconv"
	"strings"

	"interlock/stress/internal/schedule/sim"
)

// deviations is a schedule: where it is not the first option that happens, and what does.
type deviations struct {
	list  []deviation
	kills bool // processes could be killed: then there is something to choose more often
}

type deviation struct {
	choice int
	what   sim.Option
}

func (d *deviations) note(choice, chosen int, options []sim.Option) {
	if chosen != 0 {
		d.list = append(d.list, deviation{choice, options[chosen]})
	}
}

// mortal is the first word of a schedule in which processes could be killed.
const mortal = "mortal"

// String is the schedule as -schedule takes it.
func (d deviations) String() string {
	var parts []string
	if d.kills {
		parts = append(parts, mortal)
	}
	for _, x := range d.list {
		parts = append(parts, fmt.Sprintf("%d:%s", x.choice, x.what.Label()))
	}
	if len(parts) == 0 {
		return "none"
	}
	return strings.Join(parts, ",")
}

// replay follows a schedule.
type replay struct {
	at    map[int]string
	kills bool
	depth int
	wrong string // why it does not fit
}

func newReplay(text string) (*replay, error) {
	r := &replay{at: map[int]string{}}
	for i, part := range strings.Split(text, ",") {
		if i == 0 && (part == "none" || part == mortal) {
			r.kills = part == mortal
			continue
		}
		number, label, ok := strings.Cut(part, ":")
		choice, err := strconv.Atoi(number)
		if !ok || err != nil {
			return nil, fmt.Errorf("schedule: %q is not NUMBER:WHAT", part)
		}
		r.at[choice] = label
	}
	return r, nil
}

func (r *replay) Choose(options []sim.Option) int {
	label, ok := r.at[r.depth]
	r.depth++
	if !ok {
		return 0
	}
	for i, o := range options {
		if o.Label() == label {
			return i
		}
	}
	r.wrong = fmt.Sprintf("at choice %d there is no %s", r.depth-1, label)
	return 0
}
