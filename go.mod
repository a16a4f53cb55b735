module interlock

go 1.24.0

require (
	github.com/HdrHistogram/hdrhistogram-go v1.4.0
	github.com/anishathalye/porcupine v1.3.1
	golang.org/x/arch v0.22.0
	golang.org/x/sys v0.41.0
)
