package inspect

import (
	"fmt"
	"strings"
	"time"

	"interlock/internal/proc"
	"interlock/internal/robust"
	"interlock/stress/internal/procfs"
)

// A holder is who has a mutex, as far as it can be known.
type holder struct {
	person *Person
	dead   bool   // certainly: nobody alive has it
	doubt  string // why it is not certain who it is, "" if it is
	ns     uint32 // of another PID namespace, in which its numbers mean something
}

// mutex judges a mutex.
//
//	state        the word
//	free         nobody has it
//	held         by a process that lives, or by a C program's thread
//	repairing    the same, and it took it over from a dead owner and is not done
//	orphan       the owner died inside
//	unmarked     the owner died inside, and nobody has marked the word yet
//	condemned    nobody will have it again
//	not shared   a C program made another kind of mutex of it
//	foreign      held in another PID namespace, of which we see nothing
//	impossible   no mutex
func (p *pass) mutex(it *Item, l lock) {
	switch {
	case !l.shared() || !l.possible():
		it.State = "impossible"
		it.Advice = Advice{Act, fmt.Sprintf("these are no bytes of a mutex that Go may use (word %#x, kind %#x): it was overwritten, initialised as another kind in C, or does not lie here", l.word, l.kind),
			"compare the offset with the program's; if it is right, nobody can use this memory again: " + p.restart()}
		if l.possible() {
			it.State = "not shared"
		}
	case l.condemned():
		it.State = "condemned"
		it.Advice = Advice{Act, "CONDEMNED: a repair said that the data cannot be used again; Lock fails for everybody, for ever", p.restart()}
	case l.orphan():
		it.State, it.Dead = "orphan", p.deceased(l)
		p.adviseOrphan(it)
	case l.tid() == 0:
		it.State = "free"
		p.adviseFree(it)
	default:
		p.held(it, l, p.holderOf(l))
	}
}

// held judges a mutex whose word has an owner.
func (p *pass) held(it *Item, l lock, h holder) {
	it.Holder = h.person
	switch {
	case h.dead:
		it.State, it.Dead, it.Holder = "unmarked", h.person.PID, nil
		p.adviseOrphan(it)
		return
	case h.ns != 0 && h.person == nil:
		it.State = "foreign"
		it.Advice = Advice{Act, fmt.Sprintf("held by a process of PID namespace %d, of which none can be seen from here (%d): they have ended, or are not beneath us; Lock in any other namespace returns ErrPIDNamespace", h.ns, p.spaces.own),
			"if they live, look from there: nsenter -t PID -p -m stress inspect …, with the PID of a process that is in it; let all that share a mutex run in one PID namespace; if they have ended, " + p.restart()}
		return
	}
	it.State = "held"
	verdict := "held by " + h.person.String() + h.doubt
	if l.owner == robust.Inconsistent {
		it.State = "repairing"
		verdict = "held by " + h.person.String() + h.doubt + ", which took it over from a dead owner and has not finished the repair"
	}
	p.holds = append(p.holds, holding{h.person.PID, p.object, it})
	for _, w := range it.Waiters {
		p.waits = append(p.waits, waiting{w.PID, w.TID, p.object, it})
	}
	it.Advice = Advice{Fine, verdict + waitersText(it.Waiters), ""}
	p.adviseHolder(it, h.person)
}

// adviseHolder says what is wrong with a holder that lives.
func (p *pass) adviseHolder(it *Item, who *Person) {
	longest := time.Duration(0)
	if len(it.Waiters) > 0 {
		longest = it.Waiters[0].asleep()
	}
	switch {
	case who.halted():
		what, next := who.release()
		it.Advice = Advice{Act, "holder " + who.String() + " " + what + waitersText(it.Waiters), next}
	case longest >= p.opts.Long && p.opts.Long > 0 && who.State == disk:
		it.Advice = Advice{Act, fmt.Sprintf("holder %s is in uninterruptible sleep in the kernel (%s)%s", who, orUnknown(who.Cause), waitersText(it.Waiters)),
			fmt.Sprintf("what it waits for must answer: a disk, a network file system; cat /proc/%d/stack tells; a kill takes effect only after that", who.PID)}
	case longest >= p.opts.Long && p.opts.Long > 0:
		it.long = true
		it.Advice = Advice{Act, "HELD LONG: " + it.Verdict,
			fmt.Sprintf("find out what it does inside: if it is a Go program, kill -QUIT %d prints its goroutines and ends it, and the next locker is told", who.PID)}
	}
}

func orUnknown(s string) string {
	if s == "" {
		return "where is not shown"
	}
	return s
}

// waitersText is a clause about who waits.
func waitersText(list []Waiter) string {
	if len(list) == 0 {
		return ""
	}
	var names []string
	seen := map[int]bool{}
	for _, w := range list {
		if !seen[w.PID] {
			seen[w.PID] = true
			names = append(names, (&Person{PID: w.PID, Name: w.Name}).String())
		}
	}
	const show = 4
	text := "; asleep on it: " + strings.Join(names[:min(len(names), show)], ", ")
	if more := len(names) - show; more > 0 {
		text += fmt.Sprintf(" and %d more processes", more)
	}
	if d := list[0].asleep(); d >= 100*time.Millisecond { // less is the ordinary traffic
		text += fmt.Sprintf(", the longest for %s", span(d))
	}
	return text
}

// holderOf finds the process whose guardian, or thread, is in the word.
func (p *pass) holderOf(l lock) holder {
	tid := l.tid()
	o, known := l.last()
	switch {
	case known && o.TID == tid && uint64(o.Namespace) != p.spaces.own&(1<<32-1):
		return p.foreigner(l, o)
	case known && o.TID == tid:
		h := holder{person: &Person{PID: o.PID, State: gone}}
		if h.dead = proc.Judge(tid, l.prev, l.next) == proc.Dead; !h.dead {
			h.person = p.person(o.PID)
			h.doubt = p.stranger(o.PID)
		}
		return h
	}
	// A C program's thread, or one of ours in the moment before it leaves its name.
	pid := procfs.ProcessOf(int(tid))
	switch {
	case pid == 0 && l.byC():
		return holder{person: &Person{PID: int(tid), State: gone},
			doubt: ", a thread of a C program that does not exist here: it died and its mutex is not robust, or it counts in another PID namespace"}
	case pid == 0:
		return holder{dead: true, person: &Person{State: gone}}
	case l.byC():
		return holder{person: p.person(pid), doubt: fmt.Sprintf(", a C program's thread %d%s", tid, p.stranger(pid))}
	}
	return holder{person: p.person(pid), doubt: ", which has not left its name yet" + p.stranger(pid)}
}

// foreigner is a holder that counts in another PID namespace, one beneath ours.
func (p *pass) foreigner(l lock, o proc.Owner) holder {
	pid, tid, ok := p.spaces.find(o.Namespace, o.PID, o.TID)
	switch {
	case ok && proc.JudgeThread(pid, tid, l.prev, l.next) == proc.Alive:
		return holder{ns: o.Namespace, person: p.person(pid), doubt: fmt.Sprintf(", which is %d in its PID namespace %d", o.PID, o.Namespace)}
	case ok || p.spaces.visible(o.Namespace):
		return holder{ns: o.Namespace, dead: true, person: &Person{PID: o.PID, State: gone}}
	}
	return holder{ns: o.Namespace}
}

// stranger is a clause for a holder that does not map the memory: then it is perhaps
// another process that has got the number, or it has unmapped what it holds.
func (p *pass) stranger(pid int) string {
	if p.source.Where == "" || p.census.maps(p.source, pid) || p.census.unasked > 0 {
		return ""
	}
	return ", which does not map this memory (any more)"
}

// deceased is who died holding an orphan, 0 if that cannot be known.
func (p *pass) deceased(l lock) int {
	if o, ok := l.last(); ok {
		here := uint64(o.Namespace) == p.spaces.own&(1<<32-1)
		if here && proc.Judge(o.TID, l.prev, l.next) == proc.Alive {
			return 0 // it has left its name there, and somebody after it died before he had
		}
		return o.PID
	}
	if l.owner < robust.NotRecoverable {
		return int(l.owner)
	}
	return 0
}

// adviseOrphan says who could take an orphan over.
func (p *pass) adviseOrphan(it *Item) {
	it.Verdict = "orphan of a dead process whose name is not known"
	if it.Dead != 0 {
		it.Verdict = fmt.Sprintf("orphan of dead %d", it.Dead)
	}
	if it.State == "unmarked" {
		it.Verdict += ", which the kernel has not marked: the next process that waits for it will, within 100ms"
	}
	it.Level = Act
	it.Verdict += waitersText(it.Waiters)
	users := p.usersText()
	if users == "" {
		it.Verdict += "; no process maps it"
		it.Next = "start a program that registers a repair (Mutex.OnOwnerDeath) and locks it; or, if what it guards can go, " + p.restart()
		return
	}
	it.Verdict += "; no process here has a repair, or none has come: it would have been mended by its next Lock"
	it.Next = "one of " + users + " must register a repair (Mutex.OnOwnerDeath) and Lock; or start one that does"
}

// adviseFree: a free mutex has no sleepers for longer than a wake takes.
func (p *pass) adviseFree(it *Item) {
	if len(it.Waiters) == 0 {
		return
	}
	it.Advice = Advice{Act, "free" + waitersText(it.Waiters) + ": a wake was lost, and they do not look",
		"it ends when anybody locks and unlocks it; if they are C programs, that is how they lose wakes when one is killed; if they use this library, please report it"}
	for _, w := range it.Waiters {
		if who := p.person(w.PID); who.halted() {
			what, next := who.release()
			it.Verdict, it.Next = "free, and "+who.String()+", which sleeps on it, "+what, next
		}
	}
}

// restart is how to begin anew with fresh memory.
func (p *pass) restart() string {
	remove := p.source.Remove
	if remove == "" {
		remove = "give up this memory"
	}
	users := p.usersText()
	if users == "" {
		return remove + ", and begin anew"
	}
	return "end its users: " + users + "; then " + remove + ", and start them again"
}

func (p *pass) usersText() string {
	const show = 6
	var names []string
	for _, u := range p.object.Users {
		names = append(names, u.String())
	}
	text := strings.Join(names[:min(len(names), show)], ", ")
	if more := len(names) - show; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}
