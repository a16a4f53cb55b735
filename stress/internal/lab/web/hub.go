package web

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"time"

	"interlock/stress/internal/lab"
)

// A hub is the lab, and the pages that look at it. All see the same.
type hub struct {
	options Options
	left    func() // is called when no page has been open for a while

	acting sync.Mutex // one order at a time

	mu      sync.Mutex
	lab     *lab.Lab
	failed  string
	clients map[chan []byte]bool
	seq     int    // how often there was something new to tell
	last    []byte // what they were told last
	leaving *time.Timer
}

func newHub(o Options, left func()) *hub {
	return &hub{options: o, left: left, clients: map[chan []byte]bool{}}
}

func (h *hub) close() {
	h.acting.Lock()
	defer h.acting.Unlock()
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.leaving != nil {
		h.leaving.Stop()
	}
	if h.lab != nil {
		h.lab.Close()
	}
}

// A message is what a page is told.
type message struct {
	lab.State
	Seq     int     `json:"seq"`
	Omitted int     `json:"omitted"` // rows before the first
	Orders  []order `json:"orders"`
	Honest  string  `json:"honest"`
	Failed  string  `json:"failed,omitempty"`
}

// An order is one of all orders of three steps each.
type order struct {
	Schedule string `json:"schedule"`
	N        uint64 `json:"n"` // what the counter must be then
}

var orders = func() (all []order) {
	for _, s := range lab.Orders(3) {
		all = append(all, order{s, lab.Outcome(s)})
	}
	return all
}()

// enter adds a page. With the first one the processes start.
func (h *hub) enter() (chan []byte, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.lab == nil {
		l, err := lab.New(h.options.Program, h.options.Engine)
		if err != nil {
			return nil, err
		}
		h.lab = l
	}
	if h.leaving != nil {
		h.leaving.Stop()
	}
	c := make(chan []byte, 1)
	h.clients[c] = true
	h.last = nil // it knows nothing yet
	return c, nil
}

func (h *hub) leave(c chan []byte) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.clients, c)
	if len(h.clients) == 0 {
		h.leaving = time.AfterFunc(grace, func() {
			h.mu.Lock()
			alone := len(h.clients) == 0
			h.mu.Unlock()
			if alone {
				h.left()
			}
		})
	}
}

// push tells the pages how things are, if that has changed, and returns it.
func (h *hub) push() []byte {
	h.mu.Lock()
	defer h.mu.Unlock()
	m := message{State: h.lab.State(), Seq: h.seq, Orders: orders, Honest: lab.Honest, Failed: h.failed}
	const most = 100
	if n := len(m.Rows) - most; n > 0 {
		m.Rows, m.Omitted = m.Rows[n:], n
	}
	text, err := json.Marshal(m)
	if err != nil || bytes.Equal(text, h.last) {
		return h.last
	}
	h.seq++
	m.Seq = h.seq
	text, _ = json.Marshal(m) // it could be a moment ago
	h.last = text
	for c := range h.clients {
		select {
		case <-c: // it has not been sent, and is out of date
		default:
		}
		c <- text
	}
	return text
}

// events sends a page how things are, whenever that changes.
func (h *hub) events(w http.ResponseWriter, r *http.Request) {
	c, err := h.enter()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	defer h.leave(c)
	w.Header().Set("Content-Type", "text/event-stream")
	flush := http.NewResponseController(w)
	// What a process does by itself, to wake up, nobody reports. And to a page that has
	// been closed something must be sent to find that out.
	look, alive := time.NewTicker(200*time.Millisecond), time.NewTicker(time.Second)
	defer look.Stop()
	defer alive.Stop()
	h.push()
	for {
		var err error
		select {
		case <-r.Context().Done():
			return
		case text := <-c:
			_, err = fmt.Fprintf(w, "data: %s\n\n", text)
		case <-alive.C:
			_, err = fmt.Fprint(w, ": \n\n")
		case <-look.C:
			h.push()
			continue
		}
		if err != nil || flush.Flush() != nil {
			return
		}
	}
}

// A request is what a page wants.
type request struct {
	Program  string `json:"program"`  // new processes, with this program
	Schedule string `json:"schedule"` // then these steps
	Burst    int    `json:"burst"`    // then so many additions each
}

func (h *hub) do(w http.ResponseWriter, r *http.Request) {
	var q request
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 64<<10)).Decode(&q); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	schedule, err := lab.ParseSchedule(q.Schedule)
	const most = 10_000_000
	if err != nil || q.Burst < 0 || q.Burst > most || q.Program != "" && lab.Find(q.Program) == nil {
		http.Error(w, fmt.Sprintf("%+v: no such thing: %v", q, err), http.StatusBadRequest)
		return
	}
	q.Schedule = schedule
	h.acting.Lock()
	defer h.acting.Unlock()
	h.mu.Lock()
	l := h.lab
	h.mu.Unlock()
	if l == nil {
		http.Error(w, "no page is open", http.StatusConflict)
		return
	}
	err = carryOut(r.Context(), l, q)
	h.mu.Lock()
	h.failed = ""
	if err != nil {
		h.failed = err.Error()
	}
	h.mu.Unlock()
	text := h.push()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(text)
}

func carryOut(ctx context.Context, l *lab.Lab, q request) error {
	if q.Program != "" {
		if err := l.Reset(lab.Find(q.Program)); err != nil {
			return err
		}
	}
	if err := l.Play(q.Schedule, func(lab.Row) {}); err != nil {
		return err
	}
	if q.Burst > 0 {
		return l.Burst(ctx, q.Burst)
	}
	return nil
}
