// The thread pool: the only source of parallelism in the library.
//
//   parallel_for(n_chunks, body)   calls body(chunk, slot) once for every chunk in [0, n_chunks)
//
// Chunks are handed out in order from one counter; slot in [0, workers) numbers the thread, for
// scratch memory. What a chunk computes may not depend on the slot, so results do not depend on
// the number of workers; reductions are summed by the caller in chunk order.
//
// Workers start at the first parallel region, spin about 30 microseconds for the next one and then
// park; they are woken off the caller's processor. A worker that wakes late finds the region closed
// and is not waited for. A region opened inside a region, or while another thread runs one, runs
// serially on its own thread. The first exception cancels the remaining chunks and is rethrown
// once; chunks that other threads are in end at their next poll_interrupt(). A child after fork()
// starts with a fresh pool; a chunk of the calling thread that forks gets std::runtime_error out of
// the region in the child. The calling thread polls for interrupts (Ctrl-C) between chunks.
//
// Scratch for n slots: take n = planned_workers(n_chunks, workers) and pass n on as `workers`; the
// library's setting may change between the two calls.
#pragma once

#include <cstddef>
#include <type_traits>

namespace kexue {

inline constexpr int kMaxWorkers = 1024;

// The library's setting, at least 1. set_workers throws std::invalid_argument
// outside 1..kMaxWorkers.
int get_workers();
void set_workers(int workers);

// The number of threads a region of n_chunks would use; workers = 0 means the library's setting.
int planned_workers(std::ptrdiff_t n_chunks, int workers = 0);

// Called about every 50 ms on the thread that opened a region or called poll_interrupt(); may
// throw to abandon the work. Installed by the bindings. poll_interrupt() also throws, on any
// thread, in a chunk whose region has failed.
void set_interrupt_hook(void (*hook)());
void poll_interrupt();

namespace detail {
using ChunkFunction = void (*)(void* context, std::ptrdiff_t chunk, int slot);
void run_chunks(std::ptrdiff_t n_chunks, ChunkFunction function, void* context, int workers);
}  // namespace detail

template <class Body>
void parallel_for(std::ptrdiff_t n_chunks, Body&& body, int workers = 0) {
  using Function = std::remove_reference_t<Body>;
  detail::run_chunks(
      n_chunks,
      [](void* context, std::ptrdiff_t chunk, int slot) {
        (*static_cast<Function*>(context))(chunk, slot);
      },
      const_cast<void*>(static_cast<const void*>(&body)), workers);
}

}  // namespace kexue
