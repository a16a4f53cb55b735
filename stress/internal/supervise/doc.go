// Package supervise runs one scenario with real processes: it starts them,
// kills and replaces them, watches over their progress and judges the result.
//
//	launcher   one OS thread that starts every worker (PDEATHSIG follows it)
//	crew       who works in which slot; what happens when one is gone
//	faults     what is done to workers, as the seed has it, and when not
//	killer       strikes at random, and at traps inside the lock
//	stopper      SIGSTOP and SIGCONT, likewise
//	snare        a trap that is set, and who stands in it
//	journal    what was done to whom and when
//	monitor    looks at every lane's heartbeat: longest wait, hangs
//	stage      what a scenario's Conduct may see and do
//
// The workers are this same program, started again as "stress _worker …".
package supervise
