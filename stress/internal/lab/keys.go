package lab

import (
	"context"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

const keysHelp = `Keys: a b  one step of A, of B       x y  kill -9 A, B
      r m  1,000 or 1,000,000 additions each, together, at full speed
      l    the lock on, or off           n    new processes
      o    the next of the 20 orders     ?    how things stand      q  end`

func isTerminal(f *os.File) bool {
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}

// raw lets every key be read as it comes, until undo.
func raw(f *os.File) (undo func(), err error) {
	fd := int(f.Fd())
	old, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err != nil {
		return nil, err
	}
	now := *old
	now.Lflag &^= unix.ICANON | unix.ECHO
	now.Cc[unix.VMIN], now.Cc[unix.VTIME] = 1, 0
	if err := unix.IoctlSetTermios(fd, unix.TCSETS, &now); err != nil {
		return nil, err
	}
	return func() { _ = unix.IoctlSetTermios(fd, unix.TCSETS, old) }, nil
}

// keys does what the keys say, until the end.
func (s *screen) keys(ctx context.Context) error {
	undo, err := raw(s.o.In)
	if err != nil {
		return err
	}
	defer undo()
	s.line("%s\n", keysHelp)
	s.titles()
	pressed := make(chan byte)
	go func() { // it reads until the program ends: there is no way to stop it
		defer close(pressed)
		for b := make([]byte, 1); ; {
			if n, err := s.o.In.Read(b); n == 0 || err != nil {
				return
			}
			pressed <- b[0]
		}
	}()
	k := &keyboard{s: s}
	for {
		select {
		case key, ok := <-pressed:
			if !ok || key == 'q' {
				s.summary()
				return nil
			}
			if err := k.press(ctx, key); err != nil {
				return err
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

type keyboard struct {
	s    *screen
	n    int // rows
	next int // of the orders
}

func (k *keyboard) press(ctx context.Context, key byte) error {
	s := k.s
	switch key {
	case 'a', 'A', 'b', 'B', 'x', 'X', 'y', 'Y':
		if key == 'a' || key == 'b' {
			key -= 'a' - 'A'
		} else if key == 'X' || key == 'Y' {
			key += 'a' - 'A'
		}
		return k.do(string(key))
	case 'r', 'm':
		n := map[byte]int{'r': 1000, 'm': 1_000_000}[key]
		if err := s.l.Burst(ctx, n); err != nil {
			return err
		}
		rows := s.l.State().Rows
		k.row(rows[len(rows)-1])
	case 'l':
		next := "mutex"
		if s.l.State().Locked {
			next = "plain"
		}
		return k.renew(next)
	case 'n':
		return k.renew(s.l.State().Program)
	case 'o':
		orders := Orders(3)
		order := orders[k.next%len(orders)]
		k.next++
		if err := k.renew("plain"); err != nil {
			return err
		}
		if err := k.do(order); err != nil {
			return err
		}
		s.summary()
	case '?':
		s.summary()
		s.line("%s", keysHelp)
	}
	return nil
}

func (k *keyboard) row(r Row) {
	k.n++
	k.s.row(k.n, r)
}

func (k *keyboard) do(schedule string) error {
	return k.s.l.Play(schedule, k.row)
}

// renew starts new processes, with the program of that name.
func (k *keyboard) renew(program string) error {
	if err := k.s.l.Reset(Find(program)); err != nil {
		return err
	}
	k.n = 0
	k.s.line("\n%s\n", strings.Repeat("=", 40))
	k.s.head()
	k.s.titles()
	return nil
}
