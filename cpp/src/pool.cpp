#include "kexue/core/pool.hpp"

#include <atomic>
#include <chrono>
#include <cstdint>
#include <exception>
#include <mutex>
#include <stdexcept>
#include <system_error>
#include <thread>
#include <utility>

#if !defined(_WIN32)
#include <pthread.h>
#include <signal.h>
#endif
#if defined(__linux__)
#include <sched.h>
#endif

namespace kexue {
namespace {

using Clock = std::chrono::steady_clock;
constexpr auto kSpinTime = std::chrono::microseconds(30);
constexpr auto kPollInterval = std::chrono::milliseconds(50);
constexpr std::size_t kCacheLine = 64;

void relax() {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#else
  std::this_thread::yield();
#endif
}

// Spins while done() is false, at most kSpinTime; returns the last answer.
template <class Predicate>
bool spin_until(Predicate done) {
  const auto deadline = Clock::now() + kSpinTime;
  do {
    for (int i = 0; i < 32; ++i) {
      if (done()) return true;
      relax();
    }
  } while (Clock::now() < deadline);
  return done();
}

thread_local bool inside_region = false;

std::atomic<void (*)()> interrupt_hook{nullptr};
thread_local Clock::time_point last_poll{};

struct Region {
  std::ptrdiff_t n_chunks = 0;
  detail::ChunkFunction function = nullptr;
  void* context = nullptr;
  alignas(kCacheLine) std::atomic<std::ptrdiff_t> next{0};
  std::atomic<bool> failed{false};
  std::exception_ptr error;

  // Takes chunks until none is left or one has failed.
  void work(int slot, bool polls) {
    inside_region = true;
    while (!failed.load(std::memory_order_relaxed)) {
      const std::ptrdiff_t chunk = next.fetch_add(1, std::memory_order_relaxed);
      if (chunk >= n_chunks) break;
      try {
        if (polls) poll_interrupt();
        function(context, chunk, slot);
      } catch (...) {
        if (!failed.exchange(true)) error = std::current_exception();
      }
    }
    inside_region = false;
  }
};

#if !defined(_WIN32)
// Signals go to the threads of the embedding program while this lives: a new thread inherits the
// mask. Faults stay deliverable, and so does the profiler's clock.
class SignalsBlocked {
 public:
  SignalsBlocked() {
    sigset_t blocked;
    sigfillset(&blocked);
    for (const int signal : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP, SIGPROF}) {
      sigdelset(&blocked, signal);
    }
    pthread_sigmask(SIG_SETMASK, &blocked, &before_);
  }
  ~SignalsBlocked() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  SignalsBlocked(const SignalsBlocked&) = delete;
  SignalsBlocked& operator=(const SignalsBlocked&) = delete;

 private:
  sigset_t before_;
};
#endif

#if defined(__linux__)
// Keeps the workers off the core of the thread that is about to wake them. A scheduler that packs
// threads wakes them there, behind the waker, and moves them milliseconds later (two cores, after a
// pause: regions below 4 ms took as long as on one core; now 1.7 times as fast). What others have
// made of the workers' affinity since is respected.
class Places {
 public:
  void add(pthread_t thread) {
    if (n_ < kMost) thread_[n_] = thread;
    ++n_;
  }

  void leave_core_to_caller(int workers) {
    const int here = sched_getcpu();
    if (n_ == 0 || here < 0 || here >= CPU_SETSIZE || (here == free_ && n_ == n_placed_)) return;
    cpu_set_t found, caller;
    CPU_ZERO(&found);
    CPU_ZERO(&caller);
    if (pthread_getaffinity_np(thread_[0], sizeof found, &found) != 0) return;
    if (sched_getaffinity(0, sizeof caller, &caller) != 0) return;
    const bool mine = free_ >= 0 && CPU_EQUAL(&found, &set_) && CPU_EQUAL(&caller, &caller_);
    if (!mine) all_ = found;
    caller_ = caller;
    const bool enough = n_ <= kMost && CPU_COUNT(&all_) >= workers;
    if (!enough && free_ < 0) return;
    set_ = all_;
    if (enough) CPU_CLR(here, &set_);
    n_placed_ = n_ <= kMost ? n_ : kMost;
    for (int i = 0; i < n_placed_; ++i) pthread_setaffinity_np(thread_[i], sizeof set_, &set_);
    free_ = enough ? here : -1;
  }

 private:
  static constexpr int kMost = 15;  // more take longer to place than to find a core
  pthread_t thread_[kMost]{};
  int n_ = 0, n_placed_ = 0, free_ = -1;
  cpu_set_t all_{}, set_{}, caller_{};
};
#else
struct Places {
  template <class Handle>
  void add(Handle) {}
  void leave_core_to_caller(int) {}
};
#endif

// The gate holds all that a worker needs to decide, so that one compare-and-swap decides rightly
// even for a worker that read it in an earlier region:
//   bit 0: open; bits 1-11: workers that joined; bits 12 up: workers that may join.
// A worker may touch the region only after it has joined through an open gate; closing the gate
// fixes the number of workers to wait for.
class Pool {
 public:
  void run(std::ptrdiff_t n_chunks, detail::ChunkFunction function, void* context, int workers) {
    start_threads(workers - 1);
    region_.n_chunks = n_chunks;
    region_.function = function;
    region_.context = context;
    region_.next.store(0, std::memory_order_relaxed);
    region_.failed.store(false, std::memory_order_relaxed);
    region_.error = nullptr;
    finished_.store(0, std::memory_order_relaxed);
    gate_.store(static_cast<std::uint32_t>(workers - 1) << kLimitShift | kOpen,
                std::memory_order_release);
    places_.leave_core_to_caller(workers);
    epoch_.fetch_add(1);
    epoch_.notify_all();

    region_.work(0, true);

    if (abandoned_) throw std::runtime_error("the process was forked inside a parallel region");
    const std::uint32_t joined = joined_of(gate_.exchange(0, std::memory_order_acq_rel));
    const auto all_finished = [&] { return finished_.load(std::memory_order_acquire) == joined; };
    while (!spin_until(all_finished)) {
      const std::uint32_t seen = finished_.load(std::memory_order_acquire);
      if (seen != joined) finished_.wait(seen, std::memory_order_acquire);
    }
    if (region_.error) std::rethrow_exception(std::exchange(region_.error, nullptr));
  }

  // In the child of a fork() by a chunk of the calling thread: the workers, and the chunks they
  // had taken, are gone.
  void abandon() {
    abandoned_ = true;
    region_.failed.store(true);
  }

  std::mutex busy;

 private:
  static constexpr std::uint32_t kOpen = 1;
  static constexpr std::uint32_t kOneJoined = 2;
  static constexpr int kLimitShift = 12;
  static_assert(kMaxWorkers < 1 << (kLimitShift - 1));

  static std::uint32_t joined_of(std::uint32_t gate) {
    return (gate & ((1U << kLimitShift) - 1)) / kOneJoined;
  }

  void start_threads(int wanted) {
    if (n_threads_ >= wanted) return;
#if !defined(_WIN32)
    const SignalsBlocked blocked;
#endif
    while (n_threads_ < wanted) {
      try {
        std::thread thread([this] { serve(); });
        places_.add(thread.native_handle());
        thread.detach();
      } catch (const std::system_error&) {
        break;  // the region runs with the threads there are
      }
      ++n_threads_;
    }
  }

  // The updates that are followed by a notification are sequentially consistent: between "changed,
  // is anyone asleep?" and "asleep, did it change?" one side must see the other.
  [[noreturn]] void serve() {
    std::uint32_t seen = 0;
    for (;;) {
      const auto new_epoch = [&] { return epoch_.load(std::memory_order_acquire) != seen; };
      while (!spin_until(new_epoch)) epoch_.wait(seen, std::memory_order_acquire);
      seen = epoch_.load(std::memory_order_acquire);
      if (const int slot = join(); slot > 0) {
        region_.work(slot, false);
        finished_.fetch_add(1);
        finished_.notify_one();
      }
    }
  }

  // The slot in the open region, or 0 when there is none or it has workers enough.
  int join() {
    std::uint32_t gate = gate_.load(std::memory_order_acquire);
    while ((gate & kOpen) != 0 && joined_of(gate) < gate >> kLimitShift) {
      if (gate_.compare_exchange_weak(gate, gate + kOneJoined, std::memory_order_acq_rel,
                                      std::memory_order_acquire)) {
        return static_cast<int>(joined_of(gate)) + 1;
      }
    }
    return 0;
  }

  Region region_;
  bool abandoned_ = false;
  int n_threads_ = 0;
  Places places_;
  alignas(kCacheLine) std::atomic<std::uint32_t> gate_{0};
  alignas(kCacheLine) std::atomic<std::uint32_t> epoch_{0};
  alignas(kCacheLine) std::atomic<std::uint32_t> finished_{0};
};

// Made when the library is loaded, so that no fork() can fall into its making; never destroyed:
// its detached threads may outlive static destructors.
Pool* pool = [] {
#if !defined(_WIN32)
  // Threads do not survive fork(): the child gets a pool that has none yet.
  pthread_atfork(nullptr, nullptr, [] {
    if (inside_region) pool->abandon();
    pool = new Pool;
    inside_region = false;
  });
#endif
  return new Pool;
}();

const int cores = [] {
  const unsigned found = std::thread::hardware_concurrency();
  return found == 0 ? 1 : static_cast<int>(found < kMaxWorkers ? found : kMaxWorkers);
}();

std::atomic<int> worker_setting{0};

void run_serial(std::ptrdiff_t n_chunks, detail::ChunkFunction function, void* context) {
  for (std::ptrdiff_t chunk = 0; chunk < n_chunks; ++chunk) {
    if (!inside_region) poll_interrupt();
    function(context, chunk, 0);
  }
}

}  // namespace

int get_workers() {
  const int setting = worker_setting.load(std::memory_order_relaxed);
  return setting > 0 ? setting : cores;
}

void set_workers(int workers) {
  if (workers < 1 || workers > kMaxWorkers) {
    throw std::invalid_argument("the number of workers must lie in 1..1024");
  }
  worker_setting.store(workers, std::memory_order_relaxed);
}

int planned_workers(std::ptrdiff_t n_chunks, int workers) {
  if (inside_region) return 1;
  if (workers <= 0) workers = get_workers();
  if (workers > kMaxWorkers) workers = kMaxWorkers;
  return static_cast<int>(n_chunks < workers ? (n_chunks < 1 ? 1 : n_chunks) : workers);
}

void set_interrupt_hook(void (*hook)()) { interrupt_hook.store(hook); }

void poll_interrupt() {
  const auto hook = interrupt_hook.load(std::memory_order_relaxed);
  if (hook == nullptr) return;
  const auto now = Clock::now();
  if (now - last_poll < kPollInterval) return;
  last_poll = now;
  hook();
}

namespace detail {

void run_chunks(std::ptrdiff_t n_chunks, ChunkFunction function, void* context, int workers) {
  workers = planned_workers(n_chunks, workers);
  if (workers <= 1) return run_serial(n_chunks, function, context);
  Pool& shared = *pool;
  // Another thread's region is running: its chunks keep the cores busy, so run here serially.
  std::unique_lock lock(shared.busy, std::try_to_lock);
  if (!lock.owns_lock()) return run_serial(n_chunks, function, context);
  shared.run(n_chunks, function, context, workers);
}

}  // namespace detail
}  // namespace kexue
