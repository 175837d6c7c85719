// Training in two processes, against two ranks that are threads and add their numbers up in the plainest way.
#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <torch/csrc/distributed/c10d/TCPStore.hpp>

#include <csignal>
#include <thread>

#include "layeravatar/io/safetensors.h"
#include "layeravatar/tensor/convert.h"
#include "layeravatar/train/process_for_test.h"
#include "layeravatar/train/thread_ranks_for_test.h"

namespace layeravatar::train {
namespace {

int free_port() {
  const int handle = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in at{};
  at.sin_family = AF_INET;
  at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof at;
  ::bind(handle, reinterpret_cast<sockaddr*>(&at), size);
  ::getsockname(handle, reinterpret_cast<sockaddr*>(&at), &size);
  ::close(handle);
  return ntohs(at.sin_port);
}

class RanksRun : public ProcessTest {
 protected:
  // What the default profile does, small: a prior, parts of several people, codes fitted anew when the diffusion model joins.
  TrainConfig config(std::int64_t iterations) const {
    TrainConfig c = small_config(iterations);
    c.unet_prior_rank = 3;
    c.unet_mix_parts = true;
    c.unet_flat_weights = true;
    c.sync_batchnorm = shared_batch;
    c.stages = {Stage{}, Stage{}};
    c.stages[0].diffusion = false;
    c.stages[1].from = 2;
    c.stages[1].refit_steps = 4;
    c.stages[1].fit_prior = true;
    return c;
  }
  bool shared_batch = false;  // --sync-batchnorm
  void train(const std::string& name, std::int64_t iterations, const std::shared_ptr<Ranks>& ranks) {
    RunOptions options;
    options.folder = folder / name;
    options.resume = true;
    options.ranks = ranks;
    Trainer trainer(config(iterations), body, layers, std::make_shared<RandomScenes>(5), options);
    if (shared_batch) {
      StepTimes times;
      trainer.step(times);
      const auto means = ranks->gather(trainer.learned().decoder->named_buffers()["base_bn.running_mean"]);
      LAV_CHECK(torch::equal(means[0], means[1]), "the running statistics of the two ranks differ");
    }
    trainer.run();
  }
  // By the variables of torchrun, the store at rank 0 or in an agent.
  pid_t start(const std::string& name, std::int64_t iterations, int rank, int port, bool agent = false) {
    return start_process([&, name, iterations, rank, port, agent] {
      for (const auto& [variable, value] : {std::pair<const char*, std::string>{"RANK", std::to_string(rank)}, {"WORLD_SIZE", std::to_string(kRanks)}, {"MASTER_ADDR", "127.0.0.1"},
                                            {"MASTER_PORT", std::to_string(port)}, {"TORCHELASTIC_USE_AGENT_STORE", agent ? "True" : "False"}})
        ::setenv(variable, value.c_str(), 1);
      train(name, iterations, connect_ranks(rank_environment(environment_variable)));
    });
  }
  void expect_close(const std::string& one, const std::string& other) const {
    const auto files = {"state.safetensors", "codes.safetensors", "codes_1.safetensors"};
    for (const char* file : files) {
      const io::SafeTensors a = io::read_safetensors(newest_checkpoint(folder / one) / file), b = io::read_safetensors(newest_checkpoint(folder / other) / file);
      ASSERT_EQ(a.tensors.size(), b.tensors.size());
      for (const auto& [name, array] : a.tensors) {
        const torch::Tensor x = tensor::to_tensor(array).to(torch::kFloat64), y = tensor::to_tensor(b.tensors.at(name)).to(torch::kFloat64);
        EXPECT_LE((x - y).abs().max().item<double>(), 1e-5 * x.abs().max().item<double>()) << file << " " << name;
      }
    }
  }
};

TEST_F(RanksRun, TwoProcessesTrainAsTwoThreads) {
  const pid_t emulation = start_process([&] {
    Meeting meeting;
    std::thread second([&] { train("threads", 5, std::make_shared<ThreadRanks>(meeting, 1)); });
    train("threads", 5, std::make_shared<ThreadRanks>(meeting, 0));
    second.join();
  });
  ASSERT_EQ(end_of(emulation), 0);
  int port = free_port();
  pid_t ranks[kRanks];
  for (int r = 0; r < kRanks; ++r) ranks[r] = start("processes", 5, r, port);
  for (const pid_t rank : ranks) ASSERT_EQ(end_of(rank), 0);
  for (const char* name : {"threads", "processes"}) ASSERT_EQ(newest_checkpoint(folder / name).filename(), "iter_00000005") << name;
  expect_close("threads", "processes");
  ASSERT_EQ(io::read_safetensors(newest_checkpoint(folder / "processes") / "codes_1.safetensors").tensors.size(), 3U * 4) << "of five scenes two are rank 0's";

  // In two parts, with torchrun's agent, which is this process once it has forked.
  for (const std::int64_t until : {3, 5}) {
    port = free_port();
    for (int r = 0; r < kRanks; ++r) ranks[r] = start("parts", until, r, port, true);
    const pid_t agent = start_process([&] {
      c10d::TCPStoreOptions options;
      options.port = static_cast<std::uint16_t>(port);
      options.isServer = true;
      options.waitWorkers = false;
      const c10d::TCPStore store("127.0.0.1", options);
      for (;;) ::pause();
    });
    for (const pid_t rank : ranks) EXPECT_EQ(end_of(rank), 0);
    ::kill(agent, SIGKILL);
    end_of(agent);
  }
  expect_close("processes", "parts");
}

TEST_F(RanksRun, TwoProcessesShareABatchAsTwoThreads) {
  shared_batch = true;
  const pid_t emulation = start_process([&] {
    Meeting meeting;
    std::thread second([&] { train("threads", 3, std::make_shared<ThreadRanks>(meeting, 1)); });
    train("threads", 3, std::make_shared<ThreadRanks>(meeting, 0));
    second.join();
  });
  ASSERT_EQ(end_of(emulation), 0);
  const int port = free_port();
  pid_t ranks[kRanks];
  for (int r = 0; r < kRanks; ++r) ranks[r] = start("processes", 3, r, port);
  for (const pid_t rank : ranks) ASSERT_EQ(end_of(rank), 0);
  expect_close("threads", "processes");
}

TEST_F(RanksRun, ALostProcessEndsTheOthers) {
  int port = free_port();
  pid_t ranks[kRanks];
  constexpr int kMany = 1000000;
  for (int r = 0; r < kRanks; ++r) ranks[r] = start("run", kMany, r, port);
  while (newest_checkpoint(folder / "run").empty()) {
    ASSERT_EQ(::waitpid(ranks[0], nullptr, WNOHANG), 0);
    ::usleep(10000);
  }
  ::kill(ranks[1], SIGKILL);
  EXPECT_EQ(end_of(ranks[0]), static_cast<int>(ErrorKind::kPeer));
  EXPECT_EQ(end_of(ranks[1]), -SIGKILL);
  const auto found = read_newest_checkpoint(folder / "run", {});
  ASSERT_TRUE(found);
  port = free_port();
  for (int r = 0; r < kRanks; ++r) ranks[r] = start("run", found->iteration + 1, r, port);
  for (const pid_t rank : ranks) EXPECT_EQ(end_of(rank), 0);
}

}  // namespace
}  // namespace layeravatar::train
