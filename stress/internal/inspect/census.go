package inspect

import (
	"errors"
	"io/fs"
	"os"
	"slices"
	"strings"

	"interlock/stress/internal/procfs"
)

// A census is who maps the objects, and who sleeps where, at one moment.
type census struct {
	users     map[*Source][]user
	unasked   int // processes whose mappings we may not see
	unwatched int // threads of users whose system calls we may not see
}

// A user is a process that maps an object.
type user struct {
	pid  int
	maps []procfs.Mapping // of that object only
}

// A sleeper is a thread asleep in the kernel on a word of an object.
type sleeper struct {
	pid, tid int
	off      int64
}

// count asks every process what it maps.
func count(sources []*Source) (*census, error) {
	c := &census{users: map[*Source][]user{}}
	pids, err := procfs.PIDs()
	if err != nil {
		return nil, err
	}
	slices.Sort(pids)
	ipc, _ := procfs.Namespace(os.Getpid(), "ipc")
	for _, pid := range pids {
		if pid == os.Getpid() {
			continue
		}
		maps, err := procfs.Maps(pid)
		if errors.Is(err, fs.ErrPermission) {
			c.unasked++
		}
		for _, s := range sources {
			c.add(s, pid, maps, ipc)
		}
	}
	return c, nil
}

func (c *census) add(s *Source, pid int, maps []procfs.Mapping, ipc uint64) {
	var mine []procfs.Mapping
	for _, m := range maps {
		if m.Shared && s.Where != "" && m.Where == s.Where && strings.HasPrefix(m.Path, "/SYSV") == s.ipc {
			mine = append(mine, m)
		}
	}
	if len(mine) == 0 {
		return
	}
	if theirs, err := procfs.Namespace(pid, "ipc"); s.ipc && err == nil && theirs != ipc {
		return
	}
	c.users[s] = append(c.users[s], user{pid, mine})
}

// sleepers finds the threads that sleep on words of each object.
func (c *census) sleepers() map[*Source][]sleeper {
	byProcess := map[int][]*Source{}
	for s, users := range c.users {
		for _, u := range users {
			byProcess[u.pid] = append(byProcess[u.pid], s)
		}
	}
	found := map[*Source][]sleeper{}
	for pid, sources := range byProcess {
		for _, tid := range procfs.TIDs(pid) {
			words, err := procfs.AsleepOn(pid, tid)
			if errors.Is(err, fs.ErrPermission) {
				c.unwatched++
			}
			for _, word := range words {
				for _, s := range sources {
					if off, ok := c.offset(s, pid, word); ok {
						found[s] = append(found[s], sleeper{pid, tid, off})
					}
				}
			}
		}
	}
	for _, list := range found {
		slices.SortFunc(list, func(a, b sleeper) int { return a.tid - b.tid })
	}
	return found
}

// offset is where an address of a process is in an object.
func (c *census) offset(s *Source, pid int, addr uint64) (int64, bool) {
	for _, u := range c.users[s] {
		for _, m := range u.maps {
			if u.pid == pid && m.Lo <= addr && addr < m.Hi {
				return int64(m.Offset + (addr - m.Lo)), true
			}
		}
	}
	return 0, false
}

// maps reports whether a process is among an object's users.
func (c *census) maps(s *Source, pid int) bool {
	return slices.ContainsFunc(c.users[s], func(u user) bool { return u.pid == pid })
}

// namespaces finds processes by the numbers that they have in other PID namespaces.
type namespaces struct {
	own   uint64
	known map[uint32][]int // the processes of each namespace, once asked for
}

func newNamespaces() *namespaces {
	own, _ := procfs.Namespace(os.Getpid(), "pid")
	return &namespaces{own: own}
}

// find returns the process and thread, in our numbers, that are pid and tid in another
// namespace; not ok if it is not beneath ours, or not to be seen.
func (n *namespaces) find(ns uint32, pid int, tid uint32) (ourPID, ourTID int, ok bool) {
	if n.known == nil {
		n.known = map[uint32][]int{}
		pids, _ := procfs.PIDs()
		for _, p := range pids {
			if in, err := procfs.Namespace(p, "pid"); err == nil {
				n.known[uint32(in)] = append(n.known[uint32(in)], p)
			}
		}
	}
	for _, p := range n.known[ns] {
		if innermost(p, p) != pid {
			continue
		}
		for _, t := range procfs.TIDs(p) {
			if innermost(p, t) == int(tid) {
				return p, t, true
			}
		}
	}
	return 0, 0, false
}

// visible reports whether we see any process of a namespace at all.
func (n *namespaces) visible(ns uint32) bool { return len(n.known[ns]) > 0 }

// innermost is a thread's number in its own PID namespace.
func innermost(pid, tid int) int {
	numbers := strings.Fields(procfs.Status(pid, tid, "NSpid"))
	if len(numbers) == 0 {
		return tid
	}
	return atoi(numbers[len(numbers)-1])
}

// of is a process's PID namespace.
func (n *namespaces) of(pid int) (uint64, error) { return procfs.Namespace(pid, "pid") }
