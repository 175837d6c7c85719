// Runs that are killed, that find no room on the disk and that may not write.
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdio>
#include <functional>
#include <random>
#include <thread>

#include "layeravatar/core/atomic_file.h"
#include "layeravatar/train/process_for_test.h"

namespace layeravatar::train {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

constexpr int kKills = 50, kIterations = 130;

class CrashRun : public ProcessTest {
 protected:
  // A process that trains to `iterations`, from what is in the folder; it ends with the error's code.
  pid_t start(const std::string& name, std::int64_t iterations, const std::function<void()>& first = {}) {
    return start_process([&, name, iterations, first] {
      if (first) first();
      TrainConfig config = small_config(iterations);
      config.checkpoint_every = 1;
      RunOptions options;
      options.folder = folder / name;
      options.resume = true;
      Trainer(config, body, layers, std::make_shared<RandomScenes>(), options).run();
    });
  }
  void expect_same_end(const std::string& one, const std::string& other) const {
    for (const char* file : {"state.safetensors", "codes.safetensors", "manifest.json"})
      EXPECT_TRUE(read_file(newest_checkpoint(folder / one) / file) == read_file(newest_checkpoint(folder / other) / file)) << file;
  }
};

TEST_F(CrashRun, FiftyKillsAndTheSameEnd) {
  const auto begin = Clock::now();
  ASSERT_EQ(end_of(start("whole", 1)), 0);
  const double opening = std::chrono::duration<double>(Clock::now() - begin).count();
  const auto before = Clock::now();
  ASSERT_EQ(end_of(start("whole", kIterations)), 0);
  const double iteration = (std::chrono::duration<double>(Clock::now() - before).count() - opening) / kIterations;
  std::mt19937 engine(5);
  int killed = 0;
  std::int64_t reached = 0, kills_with_progress = 0;
  while (killed < kKills) {
    const pid_t child = start("killed", kIterations);
    const double within = static_cast<double>(engine() >> 8) * 0x1p-24;
    // Some die while they open, most in one of the first iterations or while they write it.
    std::this_thread::sleep_for(std::chrono::duration<double>(killed % 5 == 0 ? opening * within : opening + 2.5 * iteration * within));
    ::kill(child, SIGKILL);
    const int end = end_of(child);
    if (end == 0) {  // quicker than it was measured: it had come to the end, and the kills go on in a new run
      expect_same_end("whole", "killed");
      fs::remove_all(folder / "killed");
      reached = 0;
      continue;
    }
    ASSERT_EQ(end, -SIGKILL);
    ++killed;
    const fs::path newest = newest_checkpoint(folder / "killed");
    const std::int64_t now = newest.empty() ? 0 : std::stoll(newest.filename().string().substr(5));
    EXPECT_GE(now, reached) << "a checkpoint was lost";
    if (now > reached) ++kills_with_progress;
    reached = now;
  }
  ASSERT_EQ(end_of(start("killed", kIterations)), 0);
  expect_same_end("whole", "killed");
  for (const auto& entry : fs::directory_iterator(folder / "killed" / "checkpoints")) EXPECT_EQ(entry.path().extension(), "") << entry.path();
  RecordProperty("kills_with_progress", static_cast<int>(kills_with_progress));
  std::printf("%d kills, %d of them after new checkpoints, up to iteration %d\n", killed, static_cast<int>(kills_with_progress), static_cast<int>(reached));
}

// A full disk, as far as a process can have its own: no file may grow beyond a limit.
TEST_F(CrashRun, WithoutRoomTheOldCheckpointStays) {
  ASSERT_EQ(end_of(start("run", 2)), 0);
  const std::string before = read_file(newest_checkpoint(folder / "run") / "state.safetensors");
  const auto limit = [&] {
    std::signal(SIGXFSZ, SIG_IGN);
    const rlimit bytes{before.size() / 2, before.size() / 2};
    ::setrlimit(RLIMIT_FSIZE, &bytes);
  };
  EXPECT_EQ(end_of(start("run", 4, limit)), static_cast<int>(ErrorKind::kOutput));
  EXPECT_EQ(newest_checkpoint(folder / "run").filename(), "iter_00000002");
  EXPECT_TRUE(read_file(newest_checkpoint(folder / "run") / "state.safetensors") == before);
  for (const auto& entry : fs::directory_iterator(folder / "run" / "checkpoints")) EXPECT_EQ(entry.path().extension(), "") << entry.path();
  ASSERT_EQ(end_of(start("run", 4)), 0);
  ASSERT_EQ(end_of(start("whole", 4)), 0);
  expect_same_end("whole", "run");
}

TEST_F(CrashRun, AReadOnlyFolderEndsTheRun) {
  ASSERT_EQ(end_of(start("run", 2)), 0);
  const std::string before = read_file(newest_checkpoint(folder / "run") / "state.safetensors");
  for (const auto& entry : fs::recursive_directory_iterator(folder / "run"))
    if (entry.is_directory()) fs::permissions(entry.path(), fs::perms(0555));
  fs::permissions(folder / "run", fs::perms(0555));
  const auto nobody = [] {
    constexpr uid_t kNobody = 65534;
    if (::geteuid() == 0 && ::seteuid(kNobody) != 0) ::_exit(100);
  };
  EXPECT_EQ(end_of(start("run", 4, nobody)), static_cast<int>(ErrorKind::kOutput));
  EXPECT_TRUE(read_file(newest_checkpoint(folder / "run") / "state.safetensors") == before);
  for (const auto& entry : fs::recursive_directory_iterator(folder / "run"))
    if (entry.is_directory()) fs::permissions(entry.path(), fs::perms(0755));
  fs::permissions(folder / "run", fs::perms(0755));
}

}  // namespace
}  // namespace layeravatar::train
