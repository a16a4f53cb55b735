package proc

import (
	"fmt"
	"os"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"interlock/internal/region"
	"interlock/internal/robust"
)

// A lock word is linked into the guardian's robust list the first time this
// process uses it and stays linked until its memory is unmapped: the kernel
// skips entries whose word does not carry the dying thread's TID, so locking
// and unlocking cost nothing extra.
//
// The list's nodes hold addresses of this process and so cannot live in shared
// memory, where a hostile peer could bend them. They live in private shadow
// pages at a constant distance below the words they stand for:
//
//	head -> node ------> node ------> head        private, at word - distance
//	        : +distance  : +distance
//	        word         word                     shared, may be in many mappings
//
// The list can be walked after every single store below: a node is complete
// before it is reachable, and is cut out by one store to its predecessor.
var links struct {
	mu       sync.Mutex
	head     *robustHead // nil: the kernel refused, or no guardian yet
	distance uintptr
	nodes    map[uintptr]*node // by the word's address
	without  map[uintptr]bool  // pages with words that were refused a link
	pages    map[uintptr]int   // shadow pages by address, with the nodes in each
}

type node struct{ before, after uintptr } // words' addresses; 0 is the head

// distances from a word to its node, tried in turn on the first link: mappings
// lie high in the address space, and both of these below them are free on
// amd64 and arm64, also under the race detector.
var distances = [...]uintptr{1 << 45, 1 << 44, 1 << 46, 1 << 40}

// mostPages is how many shadow pages there may be: a process that uses locks all over
// a large table shall not spend more than 6 MiB on the few that the kernel can visit.
// The first robust.ListLimit locks of a table need far fewer, wherever they are dense.
const mostPages = 1536

// recent remembers words known to be linked, so that a lock that alternates
// between processes need not take links.mu each time.
var recent [1024]atomic.Uintptr

func recentSlot(addr uintptr) *atomic.Uintptr {
	return &recent[(addr>>3*0x9e3779b97f4a7c15)>>54]
}

// Link makes sure that the kernel will visit the word at addr when this
// process dies, and reports whether it will. It will not beyond the kernel's
// limit of entries (P-K1) or mostPages, for memory that has no room for its shadow, and
// where robust lists are refused.
func Link(addr uintptr) bool {
	if recentSlot(addr).Load() == addr {
		return true
	}
	links.mu.Lock()
	defer links.mu.Unlock()
	if links.nodes[addr] == nil && !link(addr) {
		if links.without == nil {
			links.without = make(map[uintptr]bool)
		}
		links.without[addr&^(pageSize-1)] = true
		return false
	}
	recentSlot(addr).Store(addr)
	return true
}

func link(addr uintptr) bool {
	if links.head == nil || len(links.nodes) >= robust.ListLimit || !shadow(addr) {
		return false
	}
	if links.nodes == nil {
		links.nodes = make(map[uintptr]*node)
	}
	first := uintptr(0)
	if links.head.next != addrOf(links.head) {
		first = links.head.next + links.distance
	}
	place(addr - links.distance).Store(links.head.next)
	place(addrOf(links.head)).Store(addr - links.distance)
	links.nodes[addr] = &node{after: first}
	if first != 0 {
		links.nodes[first].before = addr
	}
	return true
}

func unlink(addr uintptr) {
	n := links.nodes[addr]
	pred := addrOf(links.head)
	if n.before != 0 {
		pred = n.before - links.distance
		links.nodes[n.before].after = n.after
	}
	if n.after != 0 {
		links.nodes[n.after].before = n.before
	}
	place(pred).Store(place(addr - links.distance).Load())
	delete(links.nodes, addr)
	recentSlot(addr).CompareAndSwap(addr, 0)
	dropShadow(addr)
}

// shadow maps the page for addr's node.
func shadow(addr uintptr) bool {
	if links.pages == nil {
		links.pages = make(map[uintptr]int)
	}
	for _, d := range distances {
		if len(links.nodes) > 0 && d != links.distance || addr < d+1<<20 {
			continue // the distance is one for all
		}
		page := (addr - d) &^ (pageSize - 1)
		if links.pages[page] == 0 {
			if len(links.pages) >= mostPages {
				return false
			}
			if _, err := mapPage(page); err != nil {
				continue
			}
		}
		links.pages[page]++
		links.distance = d
		links.head.offset = int64(d)
		return true
	}
	return false
}

func dropShadow(addr uintptr) {
	page := (addr - links.distance) &^ (pageSize - 1)
	if links.pages[page]--; links.pages[page] == 0 {
		delete(links.pages, page)
		syscall.RawSyscall(unix.SYS_MUNMAP, page, pageSize, 0)
	}
}

var pageSize = uintptr(os.Getpagesize())

// mapPage maps one private page, at the address wanted if that is not 0.
func mapPage(want uintptr) (uintptr, error) {
	flags := uintptr(unix.MAP_PRIVATE | unix.MAP_ANONYMOUS)
	if want != 0 {
		flags |= unix.MAP_FIXED_NOREPLACE
	}
	got, _, errno := syscall.RawSyscall6(unix.SYS_MMAP, want, pageSize, unix.PROT_READ|unix.PROT_WRITE, flags, ^uintptr(0), 0)
	if errno != 0 {
		return 0, errno
	}
	if want != 0 && got != want { // a kernel before 4.17 takes the address as a hint
		syscall.RawSyscall(unix.SYS_MUNMAP, got, pageSize, 0)
		return 0, unix.EEXIST
	}
	return got, nil
}

func addrOf(h *robustHead) uintptr { return uintptr(unsafe.Pointer(h)) }

func place(addr uintptr) *atomic.Uintptr { return (*atomic.Uintptr)(at(addr)) }

// tenant answers for the links when memory is to be unmapped.
type tenant struct{}

func init() { region.Register(tenant{}) }

func (tenant) Busy(lo, hi uintptr) (err error) {
	links.mu.Lock()
	defer links.mu.Unlock()
	for addr := range links.nodes {
		if lo <= addr && addr < hi && heldHere(addr) {
			return fmt.Errorf("mutex at offset %#x is held by this process: %w", addr-lo, region.ErrBusy)
		}
	}
	for page := range links.without {
		for addr := max(page, lo); addr < min(page+pageSize, hi); addr += 8 {
			if heldHere(addr) && ours(addr) {
				return fmt.Errorf("mutex at offset %#x is held by this process: %w", addr-lo, region.ErrBusy)
			}
		}
	}
	return nil
}

// Forget unlinks. What this process wrote into the mutexes would make the fast
// path believe in a link when the same memory is mapped again, and in leave to
// write there, so it is wiped out.
func (tenant) Forget(lo, hi uintptr) {
	links.mu.Lock()
	defer links.mu.Unlock()
	for addr := range links.nodes {
		if lo <= addr && addr < hi {
			unlink(addr)
			unclaim(addr)
		}
	}
	for page := range links.without {
		if lo <= page && page < hi {
			delete(links.without, page)
			for addr := page; addr < min(page+pageSize, hi); addr += 8 {
				if ours(addr) {
					unclaim(addr)
				}
			}
		}
	}
}

// heldHere, ours and unclaim touch memory that a peer may have truncated: a fault
// there is a lock nobody can hold any more, not a reason to die (P-K6).
func heldHere(addr uintptr) (held bool) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() { _ = recover() }()
	return (*atomic.Uint32)(at(addr)).Load()&robust.TIDMask == TID(Me())
}

// ours reports whether a word that may be any word is that of a mutex which this
// process owns without a link.
func ours(addr uintptr) (yes bool) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() { _ = recover() }()
	return (*atomic.Uint64)(at(addr+robust.OffPrev)).Load() == Unlinked(Me())
}

func unclaim(addr uintptr) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() { _ = recover() }()
	prev := (*atomic.Uint64)(at(addr + robust.OffPrev))
	prev.CompareAndSwap(Me(), 0)
	prev.CompareAndSwap(Unlinked(Me()), 0) // written at the end of a turn: E-M12
}

// Linked reports whether the word at addr is linked.
func Linked(addr uintptr) bool {
	if recentSlot(addr).Load() == addr {
		return true
	}
	links.mu.Lock()
	defer links.mu.Unlock()
	return links.nodes[addr] != nil
}
