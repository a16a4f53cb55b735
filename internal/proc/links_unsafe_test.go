package proc

// What holds for the links:
//   - the kernel's list, walked as the kernel walks it, has exactly the words that
//     are linked, after any sequence of linking and unlinking, and is closed;
//   - Link says no beyond the kernel's limit, and yes again once there is room;
//   - memory without room for its shadow is not linked, and that is all;
//   - shadow pages are mapped while they have nodes, and unmapped then (P-K4);
//   - Forget wipes out what this process wrote, so that no fast path believes in a link.

import (
	"math/rand/v2"
	"os"
	"slices"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"interlock/internal/proctest"
	"interlock/internal/robust"
)

// walk follows the list as the kernel does, and returns the words' addresses.
func walk(t *testing.T) []uintptr {
	t.Helper()
	var found []uintptr
	head := addrOf(links.head)
	for entry := links.head.next; entry != head; entry = place(entry).Load() {
		found = append(found, uintptr(int64(entry)+links.head.offset))
		if len(found) > robust.ListLimit {
			t.Fatal("the list is longer than the kernel walks, or has no end")
		}
	}
	slices.Sort(found)
	return found
}

// place for a mutex of 40 bytes at i, in shared memory.
func slot(mem []byte, i int) uintptr { return uintptr(unsafe.Pointer(&mem[40*i])) }

func mapped(page uintptr) bool {
	var there byte
	_, _, errno := unix.Syscall(unix.SYS_MINCORE, page, pageSize, uintptr(unsafe.Pointer(&there)))
	return errno == 0
}

// linkedNow checks the list against what ought to be linked.
func linkedNow(t *testing.T, want map[uintptr]bool) {
	t.Helper()
	got := walk(t)
	if len(got) != len(want) || slices.ContainsFunc(got, func(addr uintptr) bool { return !want[addr] }) {
		t.Fatalf("%d words are in the list, %d are linked", len(got), len(want))
	}
	for addr := range want {
		if !Linked(addr) {
			t.Fatalf("%#x is not linked", addr)
		}
	}
}

func needList(t *testing.T) {
	t.Helper()
	Start()
	if links.head == nil {
		t.Skip("the kernel refused a robust list")
	}
}

func TestTheListHasWhatIsLinked(t *testing.T) {
	needList(t)
	_, mem := proctest.Memfd(t, 16*os.Getpagesize())
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	want := map[uintptr]bool{}
	n := len(mem) / 40
	for range 2000 {
		addr := slot(mem, r.IntN(n))
		switch {
		case r.IntN(20) == 0: // a whole range
			lo := addr
			hi := lo + uintptr(r.IntN(3*os.Getpagesize()))
			tenant{}.Forget(lo, hi)
			for addr := range want {
				if lo <= addr && addr < hi {
					delete(want, addr)
				}
			}
		case want[addr] && r.IntN(2) == 0:
			tenant{}.Forget(addr, addr+1)
			delete(want, addr)
			if Linked(addr) {
				t.Fatal("forgotten, and still linked")
			}
		default:
			if !Link(addr) {
				t.Fatal("not linked")
			}
			want[addr] = true
		}
		if r.IntN(10) == 0 {
			linkedNow(t, want)
		}
	}
	linkedNow(t, want)
	for page, nodes := range links.pages {
		if !mapped(page) || nodes == 0 {
			t.Errorf("shadow page %#x with %d nodes, mapped: %v", page, nodes, mapped(page))
		}
	}
	pages := len(links.pages)
	lo := slot(mem, 0)
	shadowPage := (lo - links.distance) &^ (pageSize - 1)
	tenant{}.Forget(lo, lo+uintptr(len(mem)))
	linkedNow(t, nil)
	if len(links.pages) != 0 || mapped(shadowPage) {
		t.Errorf("%d shadow pages of %d are left", len(links.pages), pages)
	}
}

func TestLinkSaysNoBeyondTheKernelsLimit(t *testing.T) { // P-K1
	needList(t)
	_, mem := proctest.Memfd(t, 40*(robust.ListLimit+10))
	for i := range robust.ListLimit + 10 {
		if Link(slot(mem, i)) != (i < robust.ListLimit) {
			t.Fatalf("Link of the word number %d", i+1)
		}
	}
	if n := len(walk(t)); n != robust.ListLimit {
		t.Fatalf("%d words are in the list", n)
	}
	tenant{}.Forget(slot(mem, 5), slot(mem, 5)+1)
	if last := slot(mem, robust.ListLimit+5); !Link(last) || !Linked(last) {
		t.Error("there is room for one")
	}
	if Link(slot(mem, 5)) {
		t.Error("and for no other")
	}
	lo := slot(mem, 0)
	tenant{}.Forget(lo, lo+uintptr(len(mem)))
}

func TestMemoryWithoutRoomForItsShadow(t *testing.T) {
	needList(t)
	_, mem := proctest.Memfd(t, os.Getpagesize())
	addr := slot(mem, 0)
	if !Link(addr) {
		t.Fatal("not linked")
	}
	page := (addr + 1<<20 - links.distance) &^ (pageSize - 1)
	blocked := page + links.distance // nothing need be mapped there to ask
	if _, err := mapPage(page); err != nil {
		t.Fatal(err)
	}
	defer unix.Syscall(unix.SYS_MUNMAP, page, pageSize, 0)
	if Link(blocked) || Linked(blocked) {
		t.Error("linked by a page that is not ours")
	}
	if low := uintptr(1 << 20); Link(low) || Linked(low) {
		t.Error("linked by a page below address 0")
	}
	linkedNow(t, map[uintptr]bool{addr: true})
}

func TestForgetWipesOutWhatWeWrote(t *testing.T) {
	needList(t)
	_, mem := proctest.Memfd(t, os.Getpagesize())
	prev := func(i int) *uint64 { return (*uint64)(unsafe.Pointer(&mem[40*i+robust.OffPrev])) }
	const others = 1<<63 | 12345
	*prev(0), *prev(1), *prev(2) = Me(), others, Me()
	Link(slot(mem, 0))
	Link(slot(mem, 1))
	tenant{}.Forget(slot(mem, 0), slot(mem, 2))
	if *prev(0) != 0 {
		t.Errorf("ours is %#x now", *prev(0))
	}
	if *prev(1) != others || *prev(2) != Me() {
		t.Error("it wiped out what another process wrote, or what lies beyond")
	}
}
