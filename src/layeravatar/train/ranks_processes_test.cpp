// Training in two processes, against two ranks that are threads and add their numbers up in the plainest way.
#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <torch/csrc/distributed/c10d/TCPStore.hpp>

#include <condition_variable>
#include <csignal>
#include <thread>

#include "layeravatar/io/safetensors.h"
#include "layeravatar/tensor/convert.h"
#include "layeravatar/train/process_for_test.h"

namespace layeravatar::train {
namespace {

constexpr int kRanks = 2;

// What two threads share.
struct Meeting {
  std::mutex guard;
  std::condition_variable changed;
  int here = 0, round = 0;
  const std::vector<torch::Tensor>* shown[kRanks] = {};

  void wait() {
    std::unique_lock lock(guard);
    const int mine = round;
    if (++here == kRanks) {
      here = 0;
      ++round;
      changed.notify_all();
    } else {
      changed.wait(lock, [&] { return round != mine; });
    }
  }
};

class ThreadRanks : public Ranks {
 public:
  ThreadRanks(Meeting& meeting, int rank) : meeting_(meeting), rank_(rank) {}
  [[nodiscard]] int rank() const override { return rank_; }
  [[nodiscard]] int size() const override { return kRanks; }
  void average_gradients(torch::nn::Module& module) override {
    std::vector<torch::Tensor> gradients;
    for (const torch::Tensor& p : module.parameters()) gradients.push_back(p.grad());
    average(gradients);
  }
  void average(const std::vector<torch::Tensor>& values) override {
    const auto sums = together(values, [&](std::size_t i) { return (*meeting_.shown[0])[i] + (*meeting_.shown[1])[i]; });
    for (std::size_t i = 0; i < values.size(); ++i) torch::Tensor(values[i]).copy_(sums[i] / kRanks);
    meeting_.wait();
  }
  void broadcast(const std::vector<torch::Tensor>& values) override {
    const auto firsts = together(values, [&](std::size_t i) { return (*meeting_.shown[0])[i].clone(); });
    for (std::size_t i = 0; i < values.size(); ++i) torch::Tensor(values[i]).copy_(firsts[i]);
    meeting_.wait();
  }
  [[nodiscard]] std::vector<torch::Tensor> gather(const torch::Tensor& value) override {
    std::vector<torch::Tensor> out;
    together({value}, [&](std::size_t) {
      for (const auto* shown : meeting_.shown) out.push_back((*shown)[0].clone());
      return torch::Tensor();
    });
    meeting_.wait();
    return out;
  }
  [[nodiscard]] bool any(bool value) override {
    const auto all = gather(torch::full({1}, value ? 1.0 : 0.0));
    return all[0].item<float>() + all[1].item<float>() > 0;
  }
  void wait() override { meeting_.wait(); }

 private:
  // Nobody's values change before all have looked.
  template <class Look>
  std::vector<torch::Tensor> together(const std::vector<torch::Tensor>& values, const Look& look) {
    const torch::NoGradGuard no_grad;
    meeting_.shown[rank_] = &values;
    meeting_.wait();
    std::vector<torch::Tensor> out;
    for (std::size_t i = 0; i < values.size(); ++i) out.push_back(look(i));
    meeting_.wait();
    return out;
  }
  Meeting& meeting_;
  int rank_;
};

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
  static TrainConfig config(std::int64_t iterations) {
    TrainConfig c = small_config(iterations);
    c.unet_prior_rank = 3;
    c.unet_mix_parts = true;
    c.unet_flat_weights = true;
    c.stages = {Stage{}, Stage{}};
    c.stages[0].diffusion = false;
    c.stages[1].from = 2;
    c.stages[1].refit_steps = 4;
    c.stages[1].fit_prior = true;
    return c;
  }
  void train(const std::string& name, std::int64_t iterations, const std::shared_ptr<Ranks>& ranks) {
    RunOptions options;
    options.folder = folder / name;
    options.resume = true;
    options.ranks = ranks;
    Trainer(config(iterations), body, layers, std::make_shared<RandomScenes>(5), options).run();
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
