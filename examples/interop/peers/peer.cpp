// The C++ side of the example: the same header, and a Lock that std::unique_lock takes.
#include "peer.h"
#include <cstdio>
#include <mutex>
#include <system_error>

// Lockable: std::unique_lock, std::scoped_lock and std::lock_guard work on it.
class Mutex {
public:
	explicit Mutex(ilk_mutex &m) : m(m) {}
	void lock()
	{
		int err = ilk_mutex_lock(&m, nullptr);
		if (err == EOWNERDEAD)
			err = ilk_mutex_repaired(&m); // one number cannot be half changed
		if (err != 0)
			throw std::system_error(err, std::generic_category());
	}
	void unlock() { ilk_mutex_unlock(&m); }

private:
	ilk_mutex &m;
};

int main(int argc, char **argv)
{
	ilk_segment seg;
	if (argc != 2 || ilk_open(&seg, argv[1], sizeof(shared), LAYOUT, 0) != 0) {
		std::fprintf(stderr, "c++: cannot open the segment: %s\n", argc == 2 ? seg.why : "no name");
		return 1;
	}
	auto *s = static_cast<shared *>(seg.value);
	Mutex mutex(s->mu);
	for (int i = 0; i < EACH; i++) {
		std::lock_guard<Mutex> guard(mutex);
		s->count++;
	}
	price p{7, 1234};
	ilk_seqlock_store(&s->price.lock, &p, sizeof p, nullptr);

	std::unique_lock<Mutex> guard(mutex);
	sem_post(&s->go_turn);
	while (s->count != ENOUGH)
		if (ilk_cond_wait(&s->changed, &s->mu, nullptr) == EOWNERDEAD)
			ilk_mutex_repaired(&s->mu);
	std::printf("c++: Go has set the count to %llu; now I die with the mutex\n", static_cast<unsigned long long>(s->count));
	std::fflush(stdout);
	return raise(SIGKILL);
}
