// timed RUNS NAME COMMAND...: runs a command in silence so many times and prints the median of its wall time and of its processor time, and its peak memory, in one line.
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <vector>

namespace {

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const std::size_t half = values.size() / 2;
  return values.size() % 2 != 0 ? values[half] : (values[half - 1] + values[half]) / 2;
}

}  // namespace

int main(int argc, char** argv) {
  const int runs = argc < 4 ? 0 : std::atoi(argv[1]);
  if (runs < 1) return std::fprintf(stderr, "usage: timed RUNS NAME COMMAND...\n"), 2;
  std::vector<double> walls, processor;
  long memory = 0;
  for (int i = 0; i < runs; ++i) {
    const auto begin = std::chrono::steady_clock::now();
    const pid_t child = ::fork();
    if (child == 0) {
      if (std::freopen("/dev/null", "w", stdout) == nullptr) ::_exit(127);
      ::execvp(argv[3], argv + 3);
      std::perror(argv[3]);
      ::_exit(127);
    }
    int status = 0;
    rusage used{};
    if (child < 0 || ::wait4(child, &status, 0, &used) != child) return std::perror("timed"), 1;
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) return std::fprintf(stderr, "timed: %s failed\n", argv[2]), 1;
    walls.push_back(std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());
    const auto seconds = [](const timeval& t) { return static_cast<double>(t.tv_sec) + 1e-6 * static_cast<double>(t.tv_usec); };
    processor.push_back(seconds(used.ru_utime) + seconds(used.ru_stime));
    memory = std::max(memory, used.ru_maxrss / 1024);
  }
  const auto [least, most] = std::minmax_element(walls.begin(), walls.end());
  std::printf("%-64s %8.2f s (%d: %.2f to %.2f)  %8.2f s processor  %6ld MiB\n", argv[2], median(walls), runs, *least, *most, median(processor), memory);
  return 0;
}
