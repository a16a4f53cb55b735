/* The C side of the example. */
#include "peer.h"

/* repair is what to do when the last holder died: here one number cannot be half changed. */
static int held(struct shared *s, int err)
{
	return err == EOWNERDEAD ? ilk_mutex_repaired(&s->mu) : err;
}

int main(int argc, char **argv)
{
	struct ilk_segment seg;
	struct shared *s;
	struct price p = {7, 1234};
	if (argc != 2 || ilk_open(&seg, argv[1], sizeof *s, LAYOUT, 0) != 0) {
		fprintf(stderr, "c: cannot open the segment: %s\n", argc == 2 ? seg.why : "no name");
		return 1;
	}
	s = (struct shared *)seg.value;
	for (int i = 0; i < EACH; i++) {
		if (held(s, ilk_mutex_lock(&s->mu, NULL)) != 0)
			return 1;
		s->count++;
		ilk_mutex_unlock(&s->mu);
	}
	ilk_seqlock_store(&s->price.lock, &p, sizeof p, NULL);

	if (held(s, ilk_mutex_lock(&s->mu, NULL)) != 0)
		return 1;
	sem_post(&s->go_turn);
	while (s->count != ENOUGH) /* Wait may return without a signal */
		if (held(s, ilk_cond_wait(&s->changed, &s->mu, NULL)) != 0)
			return 1;
	printf("c: Go has set the count to %llu; now I die with the mutex\n", (unsigned long long)s->count);
	fflush(stdout);
	return raise(SIGKILL);
}
