//go:build marks

package mark

import (
	"fmt"
	"maps"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// Enabled reports whether the build tag marks is set.
const Enabled = true

// actions are the ways a process can end, or pause, at a mark.
var actions = map[string]func(name string){
	"kill":  func(string) { signalSelf(unix.SIGKILL) },
	"stop":  func(string) { signalSelf(unix.SIGSTOP) },
	"exit":  func(string) { os.Exit(0) },
	"panic": func(name string) { panic("mark: panic at " + name) },
	"exec":  func(string) { execSleep() },
}

// order is what Arm understood.
type order struct {
	name   string
	n      int // passages left, this one included; 0: nothing to do
	action string
}

var (
	mu   sync.Mutex
	hits = map[string]int{} // passages by name
	todo order

	watcher atomic.Pointer[func(name string)]
)

func init() {
	if spec := os.Getenv(Env); spec != "" {
		Arm(spec)
	}
}

// Watch has f called at every passage of any mark, before anything else, by whoever
// passes. What it does there, the library does not go on before it is done.
func Watch(f func(name string)) { watcher.Store(&f) }

// At marks a point: the order given by Arm or the environment is carried out here.
func At(name string) {
	if f := watcher.Load(); f != nil {
		(*f)(name)
	}
	if action := pass(name); action != nil {
		action(name)
	}
}

// pass counts a passage and returns what is to be done at it, if anything. It
// holds mu only for that: the others must be able to pass while one is stopped.
func pass(name string) func(name string) {
	mu.Lock()
	defer mu.Unlock()
	hits[name]++
	if todo.name != name || todo.n == 0 {
		return nil
	}
	todo.n--
	if todo.n > 0 {
		return nil
	}
	return actions[todo.action]
}

// Arm orders an action: "NAME[:N][:ACTION]". It replaces an earlier order.
// A spec that makes no sense panics: a test would wait for ever at no mark.
func Arm(spec string) {
	o, err := parse(spec)
	if err != nil {
		panic("mark: " + err.Error())
	}
	mu.Lock()
	defer mu.Unlock()
	todo = o
}

func parse(spec string) (order, error) {
	name, rest, _ := strings.Cut(spec, ":")
	o := order{name: name, n: 1, action: "kill"}
	if name == "" {
		return o, fmt.Errorf("%q names no mark", spec)
	}
	for rest != "" {
		var word string
		word, rest, _ = strings.Cut(rest, ":")
		if n, err := strconv.Atoi(word); err == nil && n > 0 {
			o.n = n
		} else if actions[word] != nil {
			o.action = word
		} else {
			return o, fmt.Errorf("%q: %q is neither a count nor an action", spec, word)
		}
	}
	return o, nil
}

// Hits returns how often each mark was passed in this process: a test that kills
// at a mark first proves, in a calm run, that its scene comes by there.
func Hits() map[string]int {
	mu.Lock()
	defer mu.Unlock()
	return maps.Clone(hits)
}

// signalSelf signals this very thread. A signal to the process could be taken by
// another thread, and this one would run past the mark.
func signalSelf(sig unix.Signal) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := unix.Tgkill(unix.Getpid(), unix.Gettid(), sig); err != nil {
		panic(fmt.Sprintf("mark: tgkill with %v: %v", sig, err))
	}
}

func execSleep() {
	err := unix.Exec("/bin/sleep", []string{"sleep", "3600"}, os.Environ())
	panic("mark: exec of /bin/sleep: " + err.Error())
}
