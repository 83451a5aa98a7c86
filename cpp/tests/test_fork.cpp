// The pool across fork(). A program of its own: the thread sanitizer does not follow forks of
// programs with threads.
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstddef>
#include <stdexcept>
#include <thread>
#include <vector>

#include "check.hpp"
#include "kexue/core/pool.hpp"

namespace {

using kexue::parallel_for;

std::ptrdiff_t sum_of_squares(int workers) {
  std::vector<std::ptrdiff_t> squares(500);
  parallel_for(
      500,
      [&](std::ptrdiff_t chunk, int) { squares[static_cast<std::size_t>(chunk)] = chunk * chunk; },
      workers);
  std::ptrdiff_t sum = 0;
  for (const std::ptrdiff_t square : squares) sum += square;
  return sum;
}
constexpr std::ptrdiff_t kSum = 499 * 500 * 999 / 6;

// Two chunks that wait for each other: the child must have threads of its own.
void meet() {
  std::atomic<int> arrived{0};
  parallel_for(
      2,
      [&](std::ptrdiff_t, int) {
        ++arrived;
        while (arrived.load() < 2) std::this_thread::yield();
      },
      2);
}

// Whether the child ends well. A hang ends by the alarm, which the child cannot miss.
template <class Child>
bool child_succeeds(Child child) {
  const pid_t pid = fork();
  CHECK(pid >= 0);
  if (pid == 0) {
    alarm(20);
    _exit(child() ? 0 : 1);
  }
  int status = 0;
  CHECK(waitpid(pid, &status, 0) == pid);
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

bool works() {
  meet();
  return sum_of_squares(4) == kSum;
}

void between_regions() {
  CHECK(works());
  for (int child = 0; child < 20; ++child) CHECK(child_succeeds(works));
  CHECK(works());
}

void a_child_of_a_child() {
  CHECK(child_succeeds([] { return works() && child_succeeds(works) && works(); }));
}

void while_another_thread_runs_regions() {
  std::atomic<bool> stop{false};
  std::thread other([&] {
    while (!stop.load()) CHECK(sum_of_squares(4) == kSum);
  });
  for (int child = 0; child < 50; ++child) CHECK(child_succeeds(works));
  stop.store(true);
  other.join();
}

// In the child the region ends with an error, for its workers are gone; the parent does not notice.
void inside_a_region() {
  for (int round = 0; round < 10; ++round) {
    const std::thread::id caller = std::this_thread::get_id();
    const pid_t parent = getpid();
    std::atomic<pid_t> child{0};
    bool thrown = false;
    std::atomic<int> finished{0};
    try {
      parallel_for(
          64,
          [&](std::ptrdiff_t, int) {
            if (std::this_thread::get_id() == caller && child.load() == 0 && getpid() == parent) {
              const pid_t pid = fork();
              if (pid == 0) alarm(20);
              child.store(pid);
            }
            ++finished;
          },
          4);
    } catch (const std::runtime_error&) {
      thrown = true;
    }
    if (getpid() != parent) _exit(thrown && works() ? 0 : 1);
    CHECK(!thrown && finished.load() == 64);
    if (child.load() == 0) continue;  // the workers were faster than the calling thread
    int status = 0;
    CHECK(waitpid(child.load(), &status, 0) == child.load());
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
  }
}

}  // namespace

int main() {
  return run_tests({{"between regions", between_regions},
                    {"a child of a child", a_child_of_a_child},
                    {"while another thread runs regions", while_another_thread_runs_regions},
                    {"inside a region", inside_a_region}});
}
