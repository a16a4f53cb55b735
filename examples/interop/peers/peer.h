/* What the Go program calls Shared, in C and C++. */
#include "interlock.h"
#include <semaphore.h>
#include <signal.h>

struct price {
	uint64_t number, cents;
};

struct shared {
	struct ilk_mutex mu;
	struct ilk_cond changed;
	uint64_t count;
	struct {
		struct ilk_seqlock lock;
		struct price v;
	} price;
	sem_t go_turn, peer_turn;
};

/* As Go describes it; the type's own name does not matter. */
#define LAYOUT                                                                                                         \
	"Shared 208 {Mu mutex.Mutex@0 40; Changed condvar.Cond@40 16; Count uint64@56 8; "                            \
	"Price seqlock.Seqlock[main.Price]@64 80; GoTurn semaphore.Semaphore@144 32; "                                 \
	"PeerTurn semaphore.Semaphore@176 32}"

#define EACH 100000
#define ENOUGH 1000000
