// Package trial tries a lock of your own, as the stress command tries this module's: real
// processes take it in turns to change a counter in shared memory by plain loads and
// stores, and are killed while they do.
//
// What is tried is anything with Lock and Unlock that is laid over shared memory, or that
// needs none. Under it each worker changes two counters in small steps and says who is
// inside. So a lock that lets two in shows as such, and as lost updates, with the pids;
// one that is not given back when its holder dies shows as a hang: who holds it, since
// when that one is dead, and where everybody stands.
//
// A program that does nothing else:
//
//	func main() { trial.Main(trial.Lock{Name: "mine", Size: 64, Attach: attach}) }
//
// A test:
//
//	func TestMain(m *testing.M) {
//		trial.Work(mine) // the workers are this program again
//		os.Exit(m.Run())
//	}
//
//	func TestMine(t *testing.T) {
//		r, err := trial.Run(context.Background(), mine, trial.Options{Kills: 80})
//		if err != nil || !r.Passed {
//			t.Error(err, r)
//		}
//	}
//
// A lock that is not made for the death of its holder is tried with Kills 0.
//
// For people who learn there are puzzles: Producers, ReadersWriters and Philosophers each
// check a solution of a classical task in the same way, and Solve is a whole program that
// does. See docs/learn/puzzles.md.
package trial
