// Runs in processes of their own, made by fork: the test itself keeps to one thread from the start.
#pragma once
#include <omp.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>

#include "layeravatar/testing/folder.h"
#include "layeravatar/train/small_run_for_test.h"

namespace layeravatar::train {

class ProcessTest : public testing::FolderTest, protected SmallBody {
 protected:
  static void SetUpTestSuite() {
    omp_set_num_threads(1);
    torch::set_num_threads(1);
  }
  /// It ends with 0 or with the error's code.
  template <class Work>
  static pid_t start_process(const Work& work) {
    std::fflush(nullptr);
    const pid_t child = ::fork();
    if (child != 0) return child;
    try {
      work();
      ::_exit(0);
    } catch (const Error& e) {
      std::fprintf(stderr, "%s\n", e.what());
      ::_exit(e.exit_code());
    } catch (const std::exception& e) {
      std::fprintf(stderr, "%s\n", e.what());
      ::_exit(101);
    }
  }
  /// Its code, or the signal's number below zero.
  static int end_of(pid_t child) {
    int status = 0;
    ::waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
  }
};

}  // namespace layeravatar::train
