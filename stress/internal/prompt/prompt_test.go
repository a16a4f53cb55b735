package prompt

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
)

func TestWhatIsThereIsRead(t *testing.T) {
	ctx := context.Background()
	if text, err := Line(ctx, strings.NewReader("a\nb\n")); text != "a\n" || err != nil {
		t.Errorf("%q, %v", text, err)
	}
	if text, err := Line(ctx, strings.NewReader("a")); text != "a" || err != io.EOF {
		t.Errorf("%q, %v", text, err)
	}
	if text, err := All(ctx, strings.NewReader("a\nb")); text != "a\nb" || err != nil {
		t.Errorf("%q, %v", text, err)
	}
}

// Nothing comes, and nobody closes it: the end of the context ends it.
func TestItGivesUp(t *testing.T) {
	for _, read := range []func(context.Context, io.Reader) (string, error){Line, All} {
		in, w := io.Pipe()
		ctx, cancel := context.WithCancel(context.Background())
		go func() {
			_, _ = w.Write([]byte("no end")) // it is being read
			cancel()
		}()
		if text, err := read(ctx, in); text != "" || !errors.Is(err, context.Canceled) {
			t.Errorf("%q, %v", text, err)
		}
		w.Close()
	}
}
