// Package prompt reads what a person types, or a pipe has, and gives up when the command is
// to end: a read by itself goes on until there is something to read.
package prompt

import (
	"bufio"
	"context"
	"io"
)

// Line is the next line with its end; what there is of it, if there is no more.
func Line(ctx context.Context, in io.Reader) (string, error) {
	return until(ctx, func() (string, error) { return bufio.NewReader(in).ReadString('\n') })
}

// All is everything up to the end.
func All(ctx context.Context, in io.Reader) (string, error) {
	return until(ctx, func() (string, error) {
		text, err := io.ReadAll(in)
		return string(text), err
	})
}

// until returns what read returns, or why ctx has ended: then read goes on until the program
// ends, as there is no way to stop it.
func until(ctx context.Context, read func() (string, error)) (string, error) {
	type result struct {
		text string
		err  error
	}
	done := make(chan result, 1)
	go func() {
		text, err := read()
		done <- result{text, err}
	}()
	select {
	case r := <-done:
		return r.text, r.err
	case <-ctx.Done():
		return "", ctx.Err()
	}
}
