package inspect

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"

	"interlock/internal/layout"
	"interlock/stress/internal/procfs"
)

// A Subject is an object and where its primitives lie.
type Subject struct {
	Source *Source
	Places []Place        // by offset
	Header *layout.Header // of a segment that Share made, else nil
	Notes  []string       // what was left out

	broken *Advice // a header that says that nobody can use the segment
}

// A Level says how much a verdict wants.
type Level int

// The levels, in order of gravity.
const (
	Fine Level = iota
	Note       // worth to know, nothing to do
	Act        // somebody has to do something
)

// An Advice is a verdict with the next action.
type Advice struct {
	Level   Level  `json:"level"` // 0 fine, 1 worth to know, 2 act
	Verdict string `json:"verdict,omitempty"`
	Next    string `json:"next,omitempty"`
}

// An Item is one primitive as a look found it.
type Item struct {
	Path    string    `json:"path"`
	Kind    Kind      `json:"kind"`
	Offset  int64     `json:"offset"`
	State   string    `json:"state"`
	Words   string    `json:"words"` // its bytes in hexadecimal; of a seqlock and a double buffer without the value
	Text    string    `json:"text,omitempty"`
	Holder  *Person   `json:"holder,omitempty"`
	Dead    int       `json:"dead_pid,omitempty"` // who died holding it, if that is known
	Waiters []Waiter  `json:"waiters,omitempty"`  // threads asleep in the kernel: one for all goroutines of its process
	Guessed bool      `json:"guessed,omitempty"`
	Same    *Duration `json:"unchanged_ns,omitempty"` // while it was watched
	Advice

	group string
	long  bool // held long by one who lives and could go on
}

// A Duration in JSON is in nanoseconds.
type Duration = time.Duration

// A Waiter is a thread asleep on a word.
type Waiter struct {
	PID    int       `json:"pid"`
	TID    int       `json:"tid"`
	Name   string    `json:"name"`
	Asleep *Duration `json:"asleep_ns,omitempty"` // since it ran last, if the kernel tells
}

// A Group is the primitives of one name in tables: Users[…].Mu.
type Group struct {
	Path   string         `json:"path"`
	Kind   Kind           `json:"kind"`
	Count  int            `json:"count"`
	States map[string]int `json:"states"`
}

// An Object is one object as a look found it.
type Object struct {
	Name  string `json:"name"`
	Kind  string `json:"kind"`
	Size  int64  `json:"size"`
	Type  string `json:"type,omitempty"`
	Maker int    `json:"maker,omitempty"`
	// Fingerprint is of the layout: programs whose types have another one are refused.
	Fingerprint string    `json:"fingerprint,omitempty"`
	Users       []*Person `json:"users"`
	Unasked     int       `json:"processes_not_visible"`
	Unwatched   int       `json:"threads_not_visible"`
	Notes       []string  `json:"notes,omitempty"`
	Groups      []*Group  `json:"groups"`
	Items       []*Item   `json:"items"` // those not in the state that fresh memory is in; with all, every one
	Advice      []Advice  `json:"advice,omitempty"`
}

// A Scene is one look at everything asked for.
type Scene struct {
	Objects []*Object `json:"objects"`
	Cycles  []*Cycle  `json:"cycles,omitempty"`
}

// Options of a look.
type Options struct {
	All  bool          // every place is an item
	Long time.Duration // a waiter asleep for so long makes a held mutex a finding
}

// Study reads the header of a source, if it has one, and finds its places. types, if
// any, say where they are instead.
func Study(s *Source, types []Place, values bool) (*Subject, error) {
	sub := &Subject{Source: s}
	b := make([]byte, min(max(s.Size, 0), layout.PayloadOffset))
	n, err := s.ReadAt(b, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%s: cannot be read: %w", s.Name, err)
	}
	header, headerErr := layout.Decode(b[:n], s.Size)
	switch {
	case len(types) > 0:
		sub.Places = types
	case headerErr == nil:
		sub.Header = header
		sub.Places, sub.Notes = Places(header.Description, int64(header.Size), values)
		for i := range sub.Places {
			sub.Places[i].Off += layout.PayloadOffset
		}
	case errors.Is(headerErr, layout.ErrMagic):
		sub.raw()
	default:
		sub.Header = header
		sub.broken = adviseHeader(header, headerErr, s)
	}
	sort.SliceStable(sub.Places, func(i, j int) bool { return sub.Places[i].Off < sub.Places[j].Off })
	return sub, nil
}

// raw memory says nothing of itself, but for named semaphores.
func (sub *Subject) raw() {
	if sub.Source.Kind == "named semaphore" {
		sub.Places = []Place{{Path: "semaphore", Kind: Semaphore, Size: sizeSemaphore}}
		return
	}
	sub.Places = Guess(sub.Source)
	note := "raw memory: it does not say what it holds; name the primitives in it as -type mutex@0x40,semaphore@0x80"
	if len(sub.Places) > 0 {
		note = fmt.Sprintf("raw memory: %d mutexes found by the names of their last owners; -type names all that there is", len(sub.Places))
	}
	sub.Notes = append(sub.Notes, note)
}

// A look is what is needed while a Scene is put together.
type look struct {
	opts   Options
	census *census
	spaces *namespaces
	people map[int]*Person
	ages   int       // times still to be asked for
	holds  []holding // for cycles
	waits  []waiting
}

// mostAges bounds how many sleepers are asked for how long they have slept.
const mostAges = 256

// Look looks once at all subjects.
func Look(subjects []*Subject, opts Options) (*Scene, error) {
	var sources []*Source
	for _, sub := range subjects {
		sources = append(sources, sub.Source)
	}
	c, err := count(sources)
	if err != nil {
		return nil, err
	}
	l := &look{opts: opts, census: c, spaces: newNamespaces(), people: map[int]*Person{}, ages: mostAges}
	asleep := c.sleepers()
	scene := &Scene{}
	for _, sub := range subjects {
		scene.Objects = append(scene.Objects, l.object(sub, asleep[sub.Source]))
	}
	scene.Cycles = l.cycles()
	l.blame()
	return scene, nil
}

// person is a process, looked at once in a look.
func (l *look) person(pid int) *Person {
	if l.people[pid] == nil {
		l.people[pid] = meet(pid)
	}
	return l.people[pid]
}

func (l *look) object(sub *Subject, sleepers []sleeper) *Object {
	s := sub.Source
	o := &Object{Name: s.Name, Kind: s.Kind, Size: s.Size, Unasked: l.census.unasked, Unwatched: l.census.unwatched,
		Notes: slices.Clone(sub.Notes), Users: []*Person{}, Groups: []*Group{}, Items: []*Item{}}
	if sub.Header != nil {
		o.Type, o.Maker = sub.Header.Description, int(sub.Header.Maker)
		o.Fingerprint = fmt.Sprintf("0x%016x", sub.Header.Fingerprint)
	}
	for _, u := range l.census.users[s] {
		o.Users = append(o.Users, l.person(u.pid))
	}
	p := &pass{look: l, object: o, source: s, groups: map[string]*Group{}, waiters: map[int][]sleeper{}}
	for _, w := range sleepers {
		if i, ok := placeOf(sub.Places, w.off); ok {
			p.waiters[i] = append(p.waiters[i], w)
		}
	}
	missing := 0
	for i := range sub.Places {
		if !p.place(i, &sub.Places[i]) {
			missing++
		}
	}
	if missing > 0 {
		o.Notes = append(o.Notes, fmt.Sprintf("%d of %d primitives could not be read: they lie behind the end, or in no mapping", missing, len(sub.Places)))
	}
	o.Advice = append(o.Advice, l.adviseObject(sub, o)...)
	return o
}

// placeOf finds the place that an offset is in.
func placeOf(places []Place, off int64) (int, bool) {
	i := sort.Search(len(places), func(i int) bool { return places[i].Off > off }) - 1
	return i, i >= 0 && off < places[i].Off+places[i].Size
}

// A pass goes over the places of one object.
type pass struct {
	*look
	object  *Object
	source  *Source
	groups  map[string]*Group
	waiters map[int][]sleeper

	block [1 << 16]byte // what was read last
	at    int64
	have  int
}

// bytes copies n bytes at off, nil if they are not there. They are read in blocks: a
// table of a million mutexes is not a million system calls.
func (p *pass) bytes(off, n int64) []byte {
	if off < 0 || off > math.MaxInt64-n {
		return nil
	}
	if p.have == 0 || off < p.at || off+n > p.at+int64(p.have) {
		p.at = off
		p.have, _ = p.source.ReadAt(p.block[:], off) // what is short is not there
	}
	if off+n > p.at+int64(p.have) {
		return nil
	}
	return p.block[off-p.at:][:n]
}

// place looks at one place, and keeps it as an item unless it is as fresh memory has
// it. It reports whether it could be read.
func (p *pass) place(i int, at *Place) bool {
	size := at.Size
	if at.Kind != Value {
		size = sizeOf(at.Kind)
	}
	b := p.bytes(at.Off, size)
	if b == nil {
		return false
	}
	it := &Item{Path: at.Path, Kind: at.Kind, Offset: at.Off, Guessed: at.Guessed, group: groupOf(at.Path)}
	quiet := p.judge(it, b, at, p.waiters[i])
	g := p.groups[it.group+string(at.Kind)]
	if g == nil {
		g = &Group{Path: it.group, Kind: at.Kind, States: map[string]int{}}
		p.groups[it.group+string(at.Kind)] = g
		p.object.Groups = append(p.object.Groups, g)
	}
	g.Count++
	g.States[it.State]++
	if !quiet || p.opts.All || at.Kind == Value {
		it.Words = hex.EncodeToString(b)
		p.object.Items = append(p.object.Items, it)
	}
	return true
}

// groupOf is a path without its indices.
func groupOf(path string) string {
	var b strings.Builder
	for {
		before, rest, ok := strings.Cut(path, "[")
		b.WriteString(before)
		if !ok {
			return b.String()
		}
		_, path, _ = strings.Cut(rest, "]")
		b.WriteString("[…]")
	}
}

// judge fills in what a place holds. quiet: nothing to tell about it.
func (p *pass) judge(it *Item, b []byte, at *Place, waiters []sleeper) (quiet bool) {
	it.Waiters = p.identify(waiters)
	switch at.Kind {
	case Mutex:
		l := readLock(b)
		p.mutex(it, l)
		return l.quiet() && len(waiters) == 0
	case Semaphore:
		p.semaphore(it, b)
	case Cond:
		p.cond(it, b)
	case Seqlock, DoubleBuffer:
		p.seqlock(it, b)
		return it.Level == Fine && len(waiters) == 0 && it.State == "whole" && it.Holder == nil
	case Value:
		it.State, it.Text = "value", showValue(at.Type, b)
		return false
	}
	return len(waiters) == 0 && !slices.ContainsFunc(b, func(c byte) bool { return c != 0 })
}

// identify turns sleepers into waiters, the one that has slept longest first.
func (l *look) identify(list []sleeper) (waiters []Waiter) {
	for _, s := range list {
		w := Waiter{PID: s.pid, TID: s.tid, Name: l.person(s.pid).Name}
		if l.ages > 0 {
			l.ages--
			if d, ok := procfs.Idle(s.pid, s.tid); ok {
				w.Asleep = &d
			}
		}
		waiters = append(waiters, w)
	}
	slices.SortStableFunc(waiters, func(a, b Waiter) int { return int(b.asleep()/time.Millisecond - a.asleep()/time.Millisecond) })
	return waiters
}

func (w *Waiter) asleep() time.Duration {
	if w.Asleep == nil {
		return 0
	}
	return *w.Asleep
}

// showValue writes a plain field as its type has it.
func showValue(typ string, b []byte) string {
	if typ == "text" {
		text, _, _ := strings.Cut(string(b), "\x00")
		return strconv.Quote(text)
	}
	var u uint64
	ne := binary.NativeEndian
	switch len(b) {
	case 1:
		u = uint64(b[0])
	case 2:
		u = uint64(ne.Uint16(b))
	case 4:
		u = uint64(ne.Uint32(b))
	case 8:
		u = ne.Uint64(b)
	default:
		return "0x" + hex.EncodeToString(b)
	}
	unused := 64 - 8*len(b)
	switch strings.ToLower(strings.TrimPrefix(typ, "atomic.")) {
	case "int8", "int16", "int32", "int64":
		return strconv.FormatInt(int64(u<<unused)>>unused, 10)
	case "float32":
		return strconv.FormatFloat(float64(math.Float32frombits(uint32(u))), 'g', -1, 32)
	case "float64":
		return strconv.FormatFloat(math.Float64frombits(u), 'g', -1, 64)
	}
	return strconv.FormatUint(u, 10)
}
