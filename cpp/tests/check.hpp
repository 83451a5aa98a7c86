// What the C++ tests need of a test framework: CHECK and a runner that names what failed.
#pragma once

#include <cstdio>
#include <cstdlib>
#include <exception>

#define CHECK(condition)                                                          \
  do {                                                                            \
    if (!(condition)) {                                                           \
      std::fprintf(stderr, "%s:%d: CHECK(%s)\n", __FILE__, __LINE__, #condition); \
      std::abort();                                                               \
    }                                                                             \
  } while (false)

#define CHECK_THROWS(Exception, statement) \
  do {                                     \
    bool thrown = false;                   \
    try {                                  \
      statement;                           \
    } catch (const Exception&) {           \
      thrown = true;                       \
    }                                      \
    CHECK(thrown);                         \
  } while (false)

struct Test {
  const char* name;
  void (*run)();
};

template <std::size_t n>
int run_tests(const Test (&tests)[n]) {
  for (const Test& test : tests) {
    std::printf("%s\n", test.name);
    std::fflush(stdout);
    try {
      test.run();
    } catch (const std::exception& error) {
      std::fprintf(stderr, "%s: %s\n", test.name, error.what());
      return 1;
    }
  }
  return 0;
}
