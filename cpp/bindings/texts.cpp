// Without pybind11: this is compiled with the optimiser.
#include <Python.h>

#include <cstddef>

#include "kexue/core/text_view.hpp"

namespace kexue::bindings {

bool view_text(PyObject* text, TextView& view);
std::ptrdiff_t view_texts(const void* items, std::ptrdiff_t begin, std::ptrdiff_t end,
                          TextView* views);

bool view_text(PyObject* text, TextView& view) {
  if (PyBytes_Check(text)) {
    view = {PyBytes_AS_STRING(text), PyBytes_GET_SIZE(text), Storage::kBytes};
    return true;
  }
  if (!PyUnicode_Check(text)) return false;
  const int width = static_cast<int>(PyUnicode_KIND(text));
  const Storage wide = width == 2 ? Storage::kUcs2 : Storage::kUcs4;
  const Storage narrow = PyUnicode_IS_ASCII(text) ? Storage::kAscii : Storage::kLatin1;
  view = {PyUnicode_DATA(text), PyUnicode_GET_LENGTH(text), width == 1 ? narrow : wide};
  return true;
}

std::ptrdiff_t view_texts(const void* items, std::ptrdiff_t begin, std::ptrdiff_t end,
                          TextView* views) {
  PyObject* const* const objects = static_cast<PyObject* const*>(items);
  for (std::ptrdiff_t i = begin; i < end; ++i) {
#if defined(__GNUC__)
    constexpr std::ptrdiff_t kAhead = 16;  // the objects lie scattered in memory
    if (i + kAhead < end) __builtin_prefetch(objects[i + kAhead]);
#endif
    if (!view_text(objects[i], views[i - begin])) return i;
  }
  return end;
}

}  // namespace kexue::bindings
