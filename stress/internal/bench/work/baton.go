package work

// A Lock is what a Baton is made of.
type Lock interface {
	Lock() error
	Unlock() error
}

// A Baton is a Link of three locks and nothing else: each side always holds one
// and waits for the next in the round; letting go of the oldest is the message.
type Baton struct {
	locks  [3]Lock
	oldest int // of those held
	next   int
}

// NewBaton takes the locks that a side holds in the beginning: side 0, which begins,
// 1 and 2, to wait for 0; side 1 has 0 and will wait for 1. Side 1 comes first.
func NewBaton(side int, locks [3]Lock) (*Baton, error) {
	held := [][]int{{1, 2}, {0}}[side]
	for _, i := range held {
		if err := locks[i].Lock(); err != nil {
			return nil, err
		}
	}
	return &Baton{locks, held[0], side}, nil
}

// Send lets the other side go on. The locks carry no number.
func (b *Baton) Send(uint64) error {
	err := b.locks[b.oldest].Unlock()
	b.oldest = (b.oldest + 1) % 3
	return err
}

// Recv waits until the other side has let go.
func (b *Baton) Recv() (uint64, error) {
	err := b.locks[b.next].Lock()
	b.next = (b.next + 1) % 3
	return 0, err
}
