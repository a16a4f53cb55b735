package include

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"

	"interlock/internal/layout"
	"interlock/internal/proctest"
	"interlock/shm"
)

func TestTheBoardIsTheSameInCAndGo(t *testing.T) {
	each(t, func(t *testing.T, d desk) {
		d.peer(t).do("size", fmt.Sprint(reflect.TypeFor[board]().Size()))
	})
}

func TestWhoAgreesIsLetIn(t *testing.T) {
	each(t, func(t *testing.T, d desk) {
		fingerprint := fmt.Sprintf("%#016x", layout.Fingerprint(reflect.TypeFor[board]()))
		p := peer{proctest.StartProgram(t, d.bin)}
		p.do("open "+d.name+" 0 0 "+fingerprint, "ok",
			"open "+d.name[1:]+" 1 0 "+text, "ok", // read-only
			"open "+d.name+" 2 0 any"+text[len("board"):], "ok",
			"open "+d.name+" 0 0 "+strings.Replace(text, "Stop", "Stap", 1), "layout",
			"open "+d.name+" 0 0 "+text+" ", "layout",
			"open "+d.name+" 0 0 board", "layout",
			"open "+d.name+" 0 0 0x123", "layout")
		p.Send("why")
		if why := p.Line(); !strings.Contains(why, fingerprint) || !strings.Contains(why, "board 592 {Mu mutex.Mutex@0 40") {
			t.Errorf("why: %s", why)
		}
		p.do("open "+d.name+" 0 8 "+text, "layout",
			"open /interlock-nothing-here 0 0 "+text, "ENOENT",
			"open /a/b 0 0 "+text, "EINVAL",
			"open .. 0 0 "+text, "EINVAL")
	})
}

// Each damage is one that shm.Share refuses as well.
func TestWhatShareRefusesIsRefused(t *testing.T) {
	d := newDesk(t, "C")
	p := peer{proctest.StartProgram(t, d.bin)}
	path := "/dev/shm" + d.name
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	put32 := func(at int, v uint32) func([]byte) []byte {
		return func(b []byte) []byte { binary.NativeEndian.PutUint32(b[at:], v); return b }
	}
	cut := func(n int) func([]byte) []byte { return func(b []byte) []byte { return b[:n] } }
	for _, x := range []struct {
		what   string
		damage func([]byte) []byte
		want   string
		error  error
	}{
		{"nothing", cut(len(whole)), "ok", nil},
		{"magic", put32(0, 7), "layout", shm.ErrLayout},
		{"version", put32(8, layout.Version+1), "version", shm.ErrVersion},
		{"state", put32(12, 0), "not ready", shm.ErrNotReady},
		{"payload", put32(16, 4096), "layout", shm.ErrLayout},
		{"word", put32(20, 4), "layout", shm.ErrLayout},
		{"size", put32(24, 1<<30), "truncated", shm.ErrTruncated},
		{"fingerprint", put32(32, 1), "layout", shm.ErrLayout},
		{"namespace", put32(40, 1), "pid namespace", shm.ErrPIDNamespace},
		{"boot", put32(48, 1), "layout", shm.ErrLayout},
		{"architecture", put32(72, 'x'), "layout", shm.ErrLayout},
		{"cut", cut(len(whole) - 1), "truncated", shm.ErrTruncated},
		{"short", cut(1000), "truncated", shm.ErrTruncated},
		{"shorter", cut(12), "truncated", shm.ErrTruncated},
		{"empty", cut(0), "layout", shm.ErrNotReady}, // Share waits for its maker before
	} {
		name := proctest.ShmName(t)
		if err := os.WriteFile("/dev/shm"+name, x.damage(append([]byte{}, whole...)), 0o600); err != nil {
			t.Fatal(err)
		}
		layout := fmt.Sprintf("%#016x", layout.Fingerprint(reflect.TypeFor[board]()))
		p.Send("open " + name + " 0 0 " + layout)
		if got := p.Line(); got != x.want {
			t.Errorf("%s: C says %q, want %q", x.what, got, x.want)
		}
		if _, err := shareWithout(name); (err == nil) != (x.error == nil) || x.error != nil && !errors.Is(err, x.error) {
			t.Errorf("%s: Go says %v, want %v", x.what, err, x.error)
		}
		_ = os.Remove("/dev/shm" + name)
	}
}

// What is shorter than a header by now is not long beyond measure.
func TestAFileCutWhileItIsOpenedIsRefused(t *testing.T) {
	d := newDesk(t, "C")
	size := int(reflect.TypeFor[board]().Size())
	d.peer(t).do(fmt.Sprint("shrunk ", layout.PayloadOffset+size), "ok",
		fmt.Sprint("shrunk ", layout.PayloadOffset+size-1), "truncated",
		"shrunk 1000", "truncated", "shrunk 0", "truncated")
}

// shareWithout opens and closes.
func shareWithout(name string) (ok bool, err error) {
	_, seg, err := shm.Share[board](context.Background(), name, nil)
	if err != nil {
		return false, err
	}
	return true, seg.Close()
}
