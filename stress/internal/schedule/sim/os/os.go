// Package os stands in for the os of Go.
package os

import "interlock/stress/internal/schedule/sim"

// Getpid is the current process's ID.
func Getpid() int { return sim.Getpid() }

// Getpagesize is 4096.
func Getpagesize() int { return 4096 }

// ReadFile reads a file of /proc.
func ReadFile(path string) ([]byte, error) { return sim.ReadFile(path) }
