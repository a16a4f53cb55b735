package proctest

import (
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"interlock/internal/race"
)

func init() {
	Register("racy", func(c *Child) {
		var n int
		done := make(chan bool)
		for range 2 {
			go func() { n++; done <- true }()
		}
		<-done
		<-done
		c.Sayf("%d", n)
		c.Recv()
	})
}

func TestARaceInAKilledChildIsSeen(t *testing.T) {
	if !race.Enabled {
		Excuse("racy")
		t.Skip("needs -race")
	}
	p := Start(t, "racy", MayRace())
	p.Line()
	p.Signal(unix.SIGKILL)
	p.WaitKilled(unix.SIGKILL)
	if !strings.Contains(p.Output(), "WARNING: DATA RACE") {
		t.Fatalf("no report in:\n%s", p.Output())
	}
}
