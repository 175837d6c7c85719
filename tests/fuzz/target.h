// What every fuzz target is made of.
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstdio>
#include <string_view>

#include "layeravatar/core/error.h"

namespace layeravatar::fuzz {

/// Ends the program, so that the input counts as a finding. On in every build.
inline void require(bool good, const char* what) {
  if (good) return;
  std::fprintf(stderr, "finding: %s\n", what);
  std::abort();
}

/// A reader of hostile bytes may return or throw an Error of kind `allowed`; any other exception ends the program.
template <class Read>
void survives(Read&& read, ErrorKind allowed = ErrorKind::kInput) {
  try {
    read();
  } catch (const Error& e) {
    if (e.kind() != allowed) std::fprintf(stderr, "finding: an error of kind %d: %s\n", e.exit_code(), e.what());
    if (e.kind() != allowed) std::abort();
    const std::string_view message(e.what());
    require(!message.empty() && message.find_first_of("\n\r\x1b") == message.npos, "a message that is not one line");
  }
}

}  // namespace layeravatar::fuzz

/// Defines the function that libFuzzer and corpus_main.cpp call, with the input as `bytes`.
#define LAV_FUZZ_TARGET(bytes)                                                          \
  static void fuzz_one(std::string_view bytes);                                         \
  extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);    \
  int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {              \
    fuzz_one({reinterpret_cast<const char*>(data), size});                              \
    return 0;                                                                           \
  }                                                                                     \
  static void fuzz_one(std::string_view bytes)
