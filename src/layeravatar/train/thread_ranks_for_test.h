// Two ranks that are threads and add their numbers up in the plainest way.
#pragma once
#include <torch/torch.h>

#include <condition_variable>
#include <mutex>
#include <vector>

#include "layeravatar/train/ranks.h"

namespace layeravatar::train {

inline constexpr int kRanks = 2;

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

}  // namespace layeravatar::train
