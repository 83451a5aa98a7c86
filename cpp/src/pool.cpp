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
// A sleeper comes 30 us late. Where regions follow one another with some serial work in between,
// few fall asleep (interp_decomp, 4000 x 4000 in single precision: 12.4 ms; 13.2 ms with 30 us).
constexpr auto kSpinTime = std::chrono::microseconds(100);
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

std::atomic<void (*)()> interrupt_hook{nullptr};
thread_local Clock::time_point last_poll{};

// What poll_interrupt() throws in the chunks of a region that has failed; it ends with the region.
struct Cancelled : std::exception {};

struct Region {
  std::ptrdiff_t n_chunks = 0;
  detail::ChunkFunction function = nullptr;
  void* context = nullptr;
  alignas(kCacheLine) std::atomic<std::ptrdiff_t> next{0};
  std::atomic<bool> failed{false};
  std::exception_ptr error;

  // Takes chunks until none is left or one has failed.
  void work(int slot, bool polls);
};

// The region that the thread works for.
thread_local const Region* current_region = nullptr;

void Region::work(int slot, bool polls) {
  current_region = this;
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
  current_region = nullptr;
}

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

// The sleep of a worker, who is woken off the caller's processor: where few processors share a
// cache, Linux stops looking for an idle one and may queue the worker behind the thread that woke
// it. After a nap of 5 ms or more it then started 3.7 ms late, steered 0.1 ms (two processors,
// Linux 6.18); steering takes 4 us. The worker takes its processors back as soon as it runs.
class Sleep {
 public:
#if defined(__linux__)
  // By the worker.
  void begin() { state_.store(kAsleep); }
  void end() {
    int state = kAsleep;
    while (!state_.compare_exchange_weak(state, kAwake)) {
      if (state != kBusy) continue;
      std::this_thread::yield();
      state = kSteered;
    }
    if (state == kSteered) pthread_setaffinity_np(pthread_self(), sizeof(allowed_), &allowed_);
  }
  // By the caller, before it wakes the worker; threads of the pool never end.
  void steer(std::thread::native_handle_type worker) {
    int state = state_.load();
    if (state == kAwake || !state_.compare_exchange_strong(state, kBusy)) return;
    const bool known =
        state == kSteered || pthread_getaffinity_np(worker, sizeof(allowed_), &allowed_) == 0;
    const int here = sched_getcpu();
    if (known && here >= 0 && here < CPU_SETSIZE) {
      cpu_set_t others = allowed_;
      CPU_CLR(static_cast<std::size_t>(here), &others);
      if (CPU_COUNT(&others) > 0 && pthread_setaffinity_np(worker, sizeof(others), &others) == 0) {
        state = kSteered;
      }
    }
    state_.store(state);
  }

 private:
  // Busy: the caller is at it. Steered: `allowed_` is to be restored.
  enum State : int { kAwake, kAsleep, kBusy, kSteered };
  std::atomic<int> state_{kAwake};
  cpu_set_t allowed_{};
#else
  void begin() {}
  void end() {}
  void steer(std::thread::native_handle_type) {}
#endif
};

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
    for (int i = 0; i < n_threads_ && n_threads_ <= kSteered; ++i) {
      sleeps_[i].steer(handles_[i]);
    }
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
  // Where there are more, the system finds them processors, and steering all would take too long.
  static constexpr int kSteered = 8;
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
        const int i = n_threads_;
        std::thread worker([this, i] { serve(i < kSteered ? &sleeps_[i] : nullptr); });
        if (i < kSteered) handles_[i] = worker.native_handle();
        worker.detach();
      } catch (const std::system_error&) {
        break;  // the region runs with the threads there are
      }
      ++n_threads_;
    }
  }

  // The updates that are followed by a notification are sequentially consistent: between "changed,
  // is anyone asleep?" and "asleep, did it change?" one side must see the other.
  [[noreturn]] void serve(Sleep* sleep) {
    std::uint32_t seen = 0;
    for (;;) {
      const auto new_epoch = [&] { return epoch_.load(std::memory_order_acquire) != seen; };
      while (!spin_until(new_epoch)) {
        if (sleep != nullptr) sleep->begin();
        epoch_.wait(seen, std::memory_order_acquire);
        if (sleep != nullptr) sleep->end();
      }
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
  Sleep sleeps_[kSteered];
  std::thread::native_handle_type handles_[kSteered] = {};
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
    if (current_region != nullptr) pool->abandon();
    pool = new Pool;
    current_region = nullptr;
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
    if (current_region == nullptr) poll_interrupt();
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
  if (current_region != nullptr) return 1;
  if (workers <= 0) workers = get_workers();
  if (workers > kMaxWorkers) workers = kMaxWorkers;
  return static_cast<int>(n_chunks < workers ? (n_chunks < 1 ? 1 : n_chunks) : workers);
}

void set_interrupt_hook(void (*hook)()) { interrupt_hook.store(hook); }

void poll_interrupt() {
  if (current_region != nullptr && current_region->failed.load(std::memory_order_relaxed)) {
    throw Cancelled{};
  }
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
