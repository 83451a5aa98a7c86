// The thread pool under load; also the program that runs under the thread sanitizer.
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#if defined(__linux__)
#include <sched.h>
#endif

#include "check.hpp"
#include "kexue/core/pool.hpp"

namespace {

using kexue::parallel_for;
using Clock = std::chrono::steady_clock;

// Chunk-dependent work of uneven length; no optimiser foresees the result.
std::uint64_t churn(std::ptrdiff_t chunk) {
  std::uint64_t state = static_cast<std::uint64_t>(chunk) + 1;
  for (std::ptrdiff_t i = 0; i < chunk % 97; ++i) state = state * 6364136223846793005U + 1442695U;
  return state;
}

void sleep_briefly() { std::this_thread::sleep_for(std::chrono::milliseconds(1)); }

// Every chunk once, every slot in range and owned by one thread at a time.
void check_region(std::ptrdiff_t n_chunks, int workers) {
  const int slots = kexue::planned_workers(n_chunks, workers);
  std::vector<std::uint64_t> results(static_cast<std::size_t>(n_chunks), 0);
  std::vector<int> visits(static_cast<std::size_t>(n_chunks), 0);
  std::vector<int> occupied(static_cast<std::size_t>(slots), 0);
  parallel_for(
      n_chunks,
      [&](std::ptrdiff_t chunk, int slot) {
        CHECK(slot >= 0 && slot < slots);
        // Not atomic on purpose: two threads in one slot are a race for the sanitizer to find.
        CHECK(occupied[static_cast<std::size_t>(slot)]++ == 0);
        results[static_cast<std::size_t>(chunk)] = churn(chunk);
        ++visits[static_cast<std::size_t>(chunk)];
        --occupied[static_cast<std::size_t>(slot)];
      },
      slots);
  for (std::ptrdiff_t chunk = 0; chunk < n_chunks; ++chunk) {
    CHECK(visits[static_cast<std::size_t>(chunk)] == 1);
    CHECK(results[static_cast<std::size_t>(chunk)] == churn(chunk));
  }
}

void sizes_and_workers() {
  for (const int workers : {1, 2, 3, 8, 33}) {
    for (const std::ptrdiff_t n_chunks : {0, 1, 2, 3, 7, 64, 1000}) check_region(n_chunks, workers);
  }
}

void tiny_regions() {
  constexpr int kRegions = 100000;
  std::vector<std::ptrdiff_t> sums(3, 0);
  for (int region = 0; region < kRegions; ++region) {
    parallel_for(
        3, [&](std::ptrdiff_t chunk, int) { sums[static_cast<std::size_t>(chunk)] += chunk + 1; },
        3);
  }
  for (std::ptrdiff_t chunk = 0; chunk < 3; ++chunk) {
    CHECK(sums[static_cast<std::size_t>(chunk)] == kRegions * (chunk + 1));
  }
}

// The number of workers changes at every region: a worker that looked at a wide region and wakes in
// a narrow one must not enter it with a slot that it does not have.
void alternating_widths() {
  for (int region = 0; region < 5000; ++region) {
    const int workers = region % 2 == 0 ? 16 : 2 + region % 4 / 2;
    std::atomic<int> highest{0};
    parallel_for(
        32,
        [&](std::ptrdiff_t, int slot) {
          int seen = highest.load();
          while (slot > seen && !highest.compare_exchange_weak(seen, slot)) {
          }
          std::this_thread::yield();
        },
        workers);
    CHECK(highest.load() < workers);
  }
}

// Regions with pauses between them, so that workers park and must be woken.
void parked_workers() {
  for (int region = 0; region < 200; ++region) {
    sleep_briefly();
    check_region(40, 4);
  }
}

// How a worker is woken does not show: every chunk may run on all processors of the program.
void processors_are_kept() {
#if defined(__linux__)
  cpu_set_t all;
  CHECK(sched_getaffinity(0, sizeof(all), &all) == 0);
  for (int region = 0; region < 200; ++region) {
    if (region % 4 > 0) sleep_briefly();
    parallel_for(
        40,
        [&](std::ptrdiff_t chunk, int) {
          cpu_set_t own;
          CHECK(churn(chunk) > 0 && sched_getaffinity(0, sizeof(own), &own) == 0);
          CHECK(CPU_EQUAL(&all, &own));
        },
        4);
  }
#endif
}

// Workers do join: two chunks that wait for each other need two threads.
void two_threads_meet() {
  std::atomic<int> arrived{0};
  parallel_for(
      2,
      [&](std::ptrdiff_t, int) {
        ++arrived;
        while (arrived.load() < 2) std::this_thread::yield();
      },
      2);
  CHECK(arrived.load() == 2);
}

void many_callers() {
  std::atomic<bool> stop{false};
  std::thread setter([&] {
    for (int workers = 1; !stop.load(); workers = workers % 9 + 1) {
      kexue::set_workers(workers);
      std::this_thread::yield();
    }
  });
  std::vector<std::thread> callers;
  for (int caller = 0; caller < 6; ++caller) {
    callers.emplace_back([caller] {
      for (int round = 0; round < 300; ++round) check_region(1 + (round * 7 + caller) % 90, 0);
    });
  }
  for (std::thread& caller : callers) caller.join();
  stop.store(true);
  setter.join();
  kexue::set_workers(4);
}

void nested_regions_are_serial() {
  std::atomic<int> inner{0};
  parallel_for(
      20,
      [&](std::ptrdiff_t, int) {
        CHECK(kexue::planned_workers(100, 8) == 1);
        const std::thread::id outer = std::this_thread::get_id();
        parallel_for(
            10,
            [&](std::ptrdiff_t, int slot) {
              CHECK(slot == 0);
              CHECK(std::this_thread::get_id() == outer);
              ++inner;
            },
            8);
      },
      4);
  CHECK(inner.load() == 200);
  CHECK(kexue::planned_workers(100, 8) == 8);
}

void exceptions_cancel_and_arrive_once() {
  for (const int workers : {1, 2, 8}) {
    for (const std::ptrdiff_t thrower : {0, 1, 17, 499}) {
      std::atomic<std::ptrdiff_t> finished{0};
      std::string caught;
      try {
        parallel_for(
            500,
            [&](std::ptrdiff_t chunk, int) {
              if (chunk >= thrower) throw std::invalid_argument("chunk " + std::to_string(chunk));
              ++finished;
            },
            workers);
      } catch (const std::invalid_argument& error) {
        caught = error.what();
      }
      CHECK(caught.rfind("chunk ", 0) == 0);
      CHECK(finished.load() <= thrower);
      check_region(50, workers);
    }
  }
}

// Chunks end early where they poll: one fails once all are under way, the others wait for it.
void chunks_under_way_hear_of_a_failure() {
  std::atomic<int> under_way{0};
  std::atomic<bool> deaf{false};
  const auto deadline = Clock::now() + std::chrono::seconds(30);
  const auto chunk = [&](std::ptrdiff_t index, int) {
    ++under_way;
    while (under_way < 3 && Clock::now() < deadline) sleep_briefly();
    if (index == 1) throw std::runtime_error("failed");
    while (Clock::now() < deadline) {
      kexue::poll_interrupt();
      sleep_briefly();
    }
    deaf = true;
  };
  CHECK_THROWS(std::runtime_error, parallel_for(3, chunk, 3));
  CHECK(under_way == 3);
  CHECK(!deaf);
}

void an_exception_inside_a_nested_region_passes_through() {
  CHECK_THROWS(std::out_of_range, parallel_for(
                                      8,
                                      [](std::ptrdiff_t outer, int) {
                                        parallel_for(8, [outer](std::ptrdiff_t inner, int) {
                                          if (outer * inner == 12) throw std::out_of_range("12");
                                        });
                                      },
                                      4));
  check_region(50, 4);
}

std::atomic<bool> interrupt{false};
void throw_if_interrupted() {
  if (interrupt.load()) throw std::runtime_error("interrupted");
}

// 60 s of chunks, cancelled from the hook after a few.
void interrupts_end_a_region() {
  kexue::set_interrupt_hook(throw_if_interrupted);
  for (const int workers : {1, 4}) {
    interrupt.store(false);
    std::atomic<std::ptrdiff_t> finished{0};
    CHECK_THROWS(std::runtime_error, parallel_for(
                                         60000,
                                         [&](std::ptrdiff_t, int) {
                                           sleep_briefly();
                                           if (++finished == 20) interrupt.store(true);
                                         },
                                         workers));
    CHECK(finished.load() < 6000);
  }
  interrupt.store(false);
  check_region(50, 4);
  kexue::set_interrupt_hook(nullptr);
}

void settings() {
  CHECK_THROWS(std::invalid_argument, kexue::set_workers(0));
  CHECK_THROWS(std::invalid_argument, kexue::set_workers(kexue::kMaxWorkers + 1));
  kexue::set_workers(5);
  CHECK(kexue::get_workers() == 5);
  CHECK(kexue::planned_workers(3) == 3);
  CHECK(kexue::planned_workers(100) == 5);
  CHECK(kexue::planned_workers(0) == 1);
  CHECK(kexue::planned_workers(100, 7) == 7);
  CHECK(kexue::planned_workers(1 << 20, 1 << 20) == kexue::kMaxWorkers);
}

}  // namespace

int main() {
  return run_tests({{"settings", settings},
                    {"sizes and workers", sizes_and_workers},
                    {"two threads meet", two_threads_meet},
                    {"tiny regions", tiny_regions},
                    {"alternating widths", alternating_widths},
                    {"parked workers", parked_workers},
                    {"processors are kept", processors_are_kept},
                    {"many callers", many_callers},
                    {"nested regions are serial", nested_regions_are_serial},
                    {"exceptions cancel and arrive once", exceptions_cancel_and_arrive_once},
                    {"chunks under way hear of a failure", chunks_under_way_hear_of_a_failure},
                    {"an exception inside a nested region passes through",
                     an_exception_inside_a_nested_region_passes_through},
                    {"interrupts end a region", interrupts_end_a_region}});
}
