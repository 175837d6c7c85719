// The launcher. Loading LibTorch takes 0.4 s on one core: meanwhile the others open the pack of a command that samples.
#include <dlfcn.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "layeravatar/app/program.h"
#include "layeravatar/core/error.h"
#include "layeravatar/core/heap.h"

namespace {

using Words = std::vector<std::string_view>;

// Value of a flag, its last one as the parser has it; `otherwise` where it is not given.
std::string value_of(const Words& words, std::string_view flag, std::string otherwise) {
  for (std::size_t i = 0; i < words.size(); ++i) {
    if (words[i] == flag && i + 1 < words.size()) otherwise = words[i + 1];
    if (words[i].starts_with(flag) && words[i].substr(flag.size()).starts_with('=')) otherwise = words[i].substr(flag.size() + 1);
  }
  return otherwise;
}

// What the command line will open for sampling; null where it does not say so plainly. The parser has the last word: it takes this or leaves it.
std::shared_ptr<layeravatar::produce::Opening> begin(const Words& words) try {
  const auto given = [&](std::string_view flag) { return std::any_of(words.begin(), words.end(), [&](std::string_view w) { return w.starts_with(flag); }); };
  std::string_view command;
  for (std::size_t i = 0; i < words.size() && command.empty(); ++i) {
    if (!words[i].starts_with('-')) command = words[i];
    else if (words[i] == "--threads" || words[i] == "--device") ++i;
  }
  if ((command != "generate" && command != "viz") || given("--config") || given("--set") || given("--help") || given("-h")) return nullptr;
  const char* variable = std::getenv("OMP_NUM_THREADS");
  if (value_of(words, "--threads", variable != nullptr ? variable : "") == "1") return nullptr;
  std::filesystem::path model = value_of(words, "--model", "");
  if (model.empty()) model = layeravatar::app::shipped_model();
  std::error_code ignored;
  if (!std::filesystem::is_regular_file(model, ignored)) return nullptr;
  return std::make_shared<layeravatar::produce::Opening>(model, value_of(words, "--precision", "auto"));
} catch (const std::exception&) {  // a folder that is closed to us, no more threads: the program will say so
  return nullptr;
}

// What LibTorch needs and nothing here calls (cmake/dependencies.cmake). On its own each library looks for its symbols in what itself needs, not in all that LibTorch brings.
void load_first() {
  std::string_view left = LAV_LOADED_FIRST;
  while (!left.empty()) {
    const std::string name(left.substr(0, left.find(':')));
    dlopen(name.c_str(), RTLD_LAZY | RTLD_LOCAL);  // one that is not there is missed later, by LibTorch
    left.remove_prefix(std::min(left.size(), name.size() + 1));
  }
}

}  // namespace

int main(int argc, char** argv) {
  layeravatar::keep_heap();
  const std::shared_ptr<layeravatar::produce::Opening> begun = begin({argv + 1, argv + argc});
  load_first();
  std::error_code no_proc;  // then the loader looks where it usually does
  const std::filesystem::path folder = std::filesystem::read_symlink("/proc/self/exe", no_proc).parent_path();
  void* const library = dlopen((folder / "liblayeravatar.so").c_str(), RTLD_LAZY | RTLD_LOCAL);
  const auto program = library != nullptr ? reinterpret_cast<decltype(&layeravatar_program)>(dlsym(library, "layeravatar_program")) : nullptr;
  if (program == nullptr) {
    std::fprintf(stderr, "layeravatar: error: %s; expected liblayeravatar.so beside the program\n", dlerror());
    return static_cast<int>(layeravatar::ErrorKind::kInternal);
  }
  return program(argc, argv, &begun);
}
