//! The Rust side of the example: no crates, glibc's own functions on the same bytes.
use std::ffi::{c_char, c_int, c_void, CString};
use std::ptr::{addr_of_mut, null_mut, read_volatile, write_volatile};

const HEADER: usize = 2048; // what shm.Share puts before the struct
const EACH: u64 = 100_000;
const ENOUGH: u64 = 1_000_000;
const EOWNERDEAD: c_int = 130;

#[repr(C, align(8))]
struct Mutex([u8; 40]); // a robust, process-shared pthread_mutex_t, by Go's Init

#[repr(C, align(8))]
struct Semaphore([u8; 32]); // a process-shared sem_t

#[repr(C)]
struct Shared {
    mu: Mutex,
    changed: [u32; 4],
    count: u64,
    price: [u64; 10],
    go_turn: Semaphore,
    peer_turn: Semaphore,
}

extern "C" {
    fn open(path: *const c_char, flags: c_int, ...) -> c_int;
    fn mmap(addr: *mut c_void, n: usize, prot: c_int, flags: c_int, fd: c_int, off: i64) -> *mut c_void;
    fn pthread_mutex_lock(m: *mut Mutex) -> c_int;
    fn pthread_mutex_unlock(m: *mut Mutex) -> c_int;
    fn pthread_mutex_consistent(m: *mut Mutex) -> c_int;
    fn sem_post(s: *mut Semaphore) -> c_int;
    fn sem_wait(s: *mut Semaphore) -> c_int;
    fn raise(signal: c_int) -> c_int;
}

/// Maps the segment, and checks the least of its header: magic, version, state, size.
fn attach(name: &str) -> Result<*mut Shared, String> {
    let path = format!("/dev/shm/{}", name.trim_start_matches('/'));
    let c_path = CString::new(path.clone()).map_err(|e| e.to_string())?;
    let n = HEADER + std::mem::size_of::<Shared>();
    let map = unsafe {
        let fd = open(c_path.as_ptr(), 0o2000002); // O_RDWR | O_CLOEXEC
        mmap(null_mut(), n, 3, 1, fd, 0) // PROT_READ | PROT_WRITE, MAP_SHARED
    };
    if map as isize == -1 {
        return Err(format!("{path}: {}", std::io::Error::last_os_error()));
    }
    let header = unsafe { std::slice::from_raw_parts(map as *const u8, 32) };
    let word = |at: usize| u32::from_ne_bytes(header[at..at + 4].try_into().unwrap());
    let size = u64::from_ne_bytes(header[24..32].try_into().unwrap()) as usize;
    if &header[..8] != b"ILOCKSHM" || word(8) != 2 || word(12) != 1 || size != std::mem::size_of::<Shared>() {
        return Err(format!("{path} is another segment"));
    }
    Ok(unsafe { map.add(HEADER) } as *mut Shared)
}

fn lock(m: *mut Mutex) {
    match unsafe { pthread_mutex_lock(m) } {
        0 => {}
        EOWNERDEAD => assert_eq!(unsafe { pthread_mutex_consistent(m) }, 0), // one number cannot be half changed
        err => panic!("pthread_mutex_lock: {}", std::io::Error::from_raw_os_error(err)),
    }
}

fn main() -> Result<(), String> {
    let s = attach(&std::env::args().nth(1).ok_or("no name")?)?;
    unsafe {
        let mu = addr_of_mut!((*s).mu);
        let count = addr_of_mut!((*s).count);
        for _ in 0..EACH {
            lock(mu);
            write_volatile(count, read_volatile(count) + 1);
            pthread_mutex_unlock(mu);
        }
        sem_post(addr_of_mut!((*s).go_turn));
        while sem_wait(addr_of_mut!((*s).peer_turn)) != 0 {} // EINTR: again
        lock(mu);
        let n = read_volatile(count);
        assert_eq!(n, ENOUGH);
        println!("rust: Go has set the count to {n}; now I die with the mutex");
        raise(9);
    }
    Ok(())
}
