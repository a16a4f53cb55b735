module interlock/stress/internal/bench/peers

go 1.26.3

require (
	github.com/gofrs/flock v0.13.1
	gvisor.dev/gvisor v0.0.0-20260905035102-160fafc42237
	interlock v0.0.0
)

require (
	github.com/HdrHistogram/hdrhistogram-go v1.4.0 // indirect
	golang.org/x/exp v0.0.0-20250711185948-6ae5c78190dc // indirect
	golang.org/x/sys v0.47.0 // indirect
	golang.org/x/time v0.15.0 // indirect
)

replace interlock => ../../../..
