package bench

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Load is what others did to the machine during a measurement, as parts of the
// time of all its CPUs.
type Load struct {
	Known  bool    `json:"known"`
	Others float64 `json:"others"` // other processes
	Stolen float64 `json:"stolen"` // the hypervisor, for other machines
}

// calm is how much of the CPUs others may have used. The kernel counts in ticks of
// 10 ms, and it works on its own account as well.
const calm = 0.05

// Calm says whether the figures can be trusted.
func (l Load) Calm() bool { return !l.Known || l.Others+l.Stolen <= calm }

// String says it in words.
func (l Load) String() string {
	if !l.Known {
		return "unknown: /proc/stat cannot be read"
	}
	return fmt.Sprintf("others used %.0f %% of the CPUs, the hypervisor took %.0f %%", 100*l.Others, 100*l.Stolen)
}

// A meter looks at /proc/stat at the beginning and at the end.
type meter struct {
	at           time.Time
	cpus         int
	busy, stolen float64 // seconds of all CPUs
	mine         float64
}

func startMeter() meter {
	m := meter{at: time.Now()}
	m.busy, m.stolen, m.cpus = cpuSeconds()
	m.mine = mySeconds()
	return m
}

// read is the load since the beginning. What this process's children used counts
// once they have been waited for, so they should be gone.
func (m meter) read() Load {
	now := startMeter()
	all := now.at.Sub(m.at).Seconds() * float64(now.cpus)
	if m.cpus == 0 || all <= 0 {
		return Load{}
	}
	others := (now.busy - m.busy) - (now.mine - m.mine)
	const slack = 0.04 // two ticks at either end, for short runs
	return Load{Known: true, Others: max(0, others-slack) / all, Stolen: max(0, now.stolen-m.stolen) / all}
}

// cpuSeconds reads /proc/stat, which begins
//
//	cpu  user nice system idle iowait irq softirq steal ...
//
// and goes on with a line for each CPU. No CPUs: it cannot be read.
func cpuSeconds() (busy, stolen float64, cpus int) {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, 0, 0
	}
	lines := strings.Split(string(text), "\n")
	fields := strings.Fields(lines[0])
	if len(fields) < 9 || fields[0] != "cpu" {
		return 0, 0, 0
	}
	const ticks = 100 // USER_HZ, the same on all architectures that Go knows
	for i, f := range fields[1:9] {
		v, err := strconv.ParseFloat(f, 64)
		if err != nil {
			return 0, 0, 0
		}
		switch i {
		case 3, 4: // idle, iowait
		case 7:
			stolen = v / ticks
		default:
			busy += v / ticks
		}
	}
	for _, l := range lines[1:] {
		if strings.HasPrefix(l, "cpu") {
			cpus++
		}
	}
	return busy, stolen, cpus
}

// mySeconds is the CPU time of this process and of its children that are gone.
func mySeconds() (sum float64) {
	for _, who := range []int{unix.RUSAGE_SELF, unix.RUSAGE_CHILDREN} {
		var u unix.Rusage
		if unix.Getrusage(who, &u) == nil {
			sum += time.Duration(u.Utime.Nano() + u.Stime.Nano()).Seconds()
		}
	}
	return sum
}
