// What Boost.Interprocess lays into shared memory, for the tests of docs/interop.md. It
// maps descriptor 3 and does as told, a line each.
#include <boost/date_time/posix_time/posix_time_types.hpp>
#include <boost/interprocess/shared_memory_object.hpp>
#include <boost/interprocess/mapped_region.hpp>
#include <boost/interprocess/sync/interprocess_mutex.hpp>
#include <boost/interprocess/sync/interprocess_semaphore.hpp>
#include <boost/interprocess/sync/named_semaphore.hpp>
#include <iostream>
#include <memory>
#include <new>
#include <string>
#include <sys/mman.h>

namespace ip = boost::interprocess;

int main()
{
	char *mem = static_cast<char *>(mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, 3, 0));
	auto *mutex = reinterpret_cast<ip::interprocess_mutex *>(mem);
	auto *semaphore = reinterpret_cast<ip::interprocess_semaphore *>(mem + 64);
	std::unique_ptr<ip::named_semaphore> named;
	std::string order, name;
	while (std::cin >> order) {
		if (order == "sizes")
			std::cout << sizeof(*mutex) << " " << sizeof(*semaphore) << std::endl;
		else if (order == "make-mutex")
			std::cout << (new (mutex) ip::interprocess_mutex ? "ok" : "") << std::endl;
		else if (order == "make-semaphore")
			std::cout << (new (semaphore) ip::interprocess_semaphore(2) ? "ok" : "") << std::endl;
		else if (order == "try")
			std::cout << (semaphore->try_wait() ? "yes" : "no") << std::endl;
		else if (order == "wait")
			semaphore->wait(), std::cout << "ok" << std::endl;
		else if (order == "post")
			semaphore->post(), std::cout << "ok" << std::endl;
		else if (order == "named" && std::cin >> name)
			named.reset(new ip::named_semaphore(ip::open_only, name.c_str())), std::cout << (named->try_wait() ? "yes" : "no") << std::endl;
		else if (order == "map" && std::cin >> name) {
			ip::shared_memory_object object(ip::open_only, name.c_str(), ip::read_write);
			ip::mapped_region region(object, ip::read_write);
			std::cout << static_cast<char *>(region.get_address()) << std::endl;
		}
	}
}
