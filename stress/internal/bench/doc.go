// Package bench measures the library beside what people would use instead, in one
// run: whatever disturbs the machine then disturbs both.
//
//	line.go      a comparison, the rows it yields, what each has to reach
//	lines.go     all of them, in the order of the table
//	rig.go       what a running comparison has: processes, memory, clocks
//	proc.go      one worker process: this program again, or a C program
//	contest.go   taking turns, and the figures that come of it
//	cc.go        building the C programs of testdata
//	rivals.go    building the program in peers, a module of its own
//	busy.go      whether somebody else used the machine meanwhile
//	text.go …    the table as text, Markdown, JSON, and for benchstat
//
// Each comparison is a file: the line, and what its worker processes do.
package bench
