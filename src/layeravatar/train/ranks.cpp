#include "layeravatar/train/ranks.h"

#include <fmt/format.h>
#include <torch/nn/module.h>

#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <map>
#include <utility>

#include "layeravatar/core/error.h"

namespace layeravatar::train {
namespace {

constexpr int kPort = 29500;
constexpr std::chrono::minutes kPatience{5};  // for the others to come
constexpr std::chrono::hours kSlowest{2};      // for another to end what it does alone, such as fitting its codes anew; a process that dies is noticed at once
constexpr std::int64_t kFirstBucket = 1 << 18, kBucket = 25 << 18;  // numbers: 1 and 25 MiB

std::string first_line(const std::string& text) { return text.substr(0, text.find('\n')); }

class GlooRanks : public Ranks {
 public:
  explicit GlooRanks(const RankEnvironment& e) : rank_(e.rank), size_(e.size) {
    c10d::TCPStoreOptions options;
    options.port = static_cast<std::uint16_t>(e.port);
    options.isServer = e.rank == 0 && !e.agent_store;
    options.numWorkers = static_cast<std::size_t>(e.size);
    options.waitWorkers = !e.agent_store;
    options.timeout = kPatience;
    try {
      c10::intrusive_ptr<c10d::Store> store = c10::make_intrusive<c10d::TCPStore>(e.address, options);
      store = c10::make_intrusive<c10d::PrefixStore>("layeravatar/" + e.attempt, store);
      auto gloo = c10d::ProcessGroupGloo::Options::create(kSlowest);
      const auto network = environment_variable("GLOO_SOCKET_IFNAME");
      const bool here = e.address == "127.0.0.1" || e.address == "localhost";
      gloo->devices.push_back(network ? c10d::ProcessGroupGloo::createDeviceForInterface(*network)
                              : here  ? c10d::ProcessGroupGloo::createDeviceForHostname(e.address)
                                      : c10d::ProcessGroupGloo::createDefaultDevice());
      group_ = c10::make_intrusive<c10d::ProcessGroupGloo>(store, e.rank, e.size, gloo);
    } catch (const std::exception& error) {
      throw Error(ErrorKind::kPeer, fmt::format("rank {} of {}: cannot meet the others at {}:{}: {}", e.rank, e.size, e.address, e.port, first_line(error.what())));
    }
  }

  [[nodiscard]] int rank() const override { return rank_; }
  [[nodiscard]] int size() const override { return size_; }

  void expect_gradients(torch::nn::Module& module) override {
    auto& gradients = gradients_[&module];
    if (!gradients) gradients = std::make_unique<Gradients>(*this, module);
    gradients->expect();
  }
  void average_gradients(torch::nn::Module& module) override { gradients_.at(&module)->finish(); }

  void average(const std::vector<torch::Tensor>& values) override {
    for (torch::Tensor value : values) {
      std::vector<torch::Tensor> one{value};
      group_->allreduce(one)->wait();
      value.div_(size_);
    }
  }

  void broadcast(const std::vector<torch::Tensor>& values) override {
    for (const torch::Tensor& value : values) {
      std::vector<torch::Tensor> one{value};
      group_->broadcast(one)->wait();
    }
  }

  [[nodiscard]] std::vector<torch::Tensor> gather(const torch::Tensor& value) override {
    std::vector<torch::Tensor> own{value.contiguous()};
    std::vector<std::vector<torch::Tensor>> all(1);
    for (int r = 0; r < size_; ++r) all[0].push_back(torch::empty_like(own[0]));
    group_->allgather(all, own)->wait();
    return all[0];
  }

  [[nodiscard]] bool any(bool value) override {
    std::vector<torch::Tensor> one{torch::full({1}, value ? 1.0 : 0.0)};
    group_->allreduce(one)->wait();
    return one[0].item<float>() > 0;
  }

  void wait() override { group_->barrier()->wait(); }

  [[nodiscard]] bool lost_peer(const std::exception& error) const override {
    const std::string what = error.what();
    for (const char* sign : {"gloo", "Gloo", "closed by peer", "Connection reset", "imed out"})
      if (what.find(sign) != std::string::npos) return true;
    return false;
  }

 private:
  // Gradients of a module in buckets, last parameters first, as the backward pass makes them: a full one goes on its way at once, all in the same order.
  class Gradients {
   public:
    Gradients(GlooRanks& ranks, torch::nn::Module& module) : ranks_(ranks) {
      std::vector<torch::Tensor> parameters = module.parameters();
      std::reverse(parameters.begin(), parameters.end());
      for (const torch::Tensor& parameter : parameters) {
        if (buckets_.empty() || buckets_.back().numbers + parameter.numel() > (buckets_.size() == 1 ? kFirstBucket : kBucket)) buckets_.emplace_back();
        Bucket& bucket = buckets_.back();
        const std::size_t at = buckets_.size() - 1;
        const std::int64_t begin = bucket.numbers;
        bucket.parameters.push_back(parameter);
        bucket.numbers += parameter.numel();
        parameter.register_hook([this, at, begin](const torch::Tensor& gradient) { arrived(at, begin, gradient); });
      }
      for (Bucket& bucket : buckets_) bucket.flat = torch::empty({bucket.numbers});
    }
    void expect() {
      for (Bucket& bucket : buckets_) bucket.missing = bucket.parameters.size();
      next_ = 0;
      expected_ = true;
    }
    void finish() {
      const torch::NoGradGuard no_grad;
      LAV_CHECK(next_ == buckets_.size(), "a parameter without a gradient");
      expected_ = false;
      for (Bucket& bucket : buckets_) {
        bucket.sent->wait();
        bucket.flat.div_(ranks_.size_);
        std::int64_t begin = 0;
        for (const torch::Tensor& parameter : bucket.parameters) {
          parameter.grad().copy_(bucket.flat.slice(0, begin, begin + parameter.numel()).view_as(parameter));
          begin += parameter.numel();
        }
      }
    }

   private:
    struct Bucket {
      std::vector<torch::Tensor> parameters;
      std::int64_t numbers = 0;
      torch::Tensor flat;
      std::size_t missing = 0;
      c10::intrusive_ptr<c10d::Work> sent;
    };
    void arrived(std::size_t at, std::int64_t begin, const torch::Tensor& gradient) {
      if (!expected_) return;
      const torch::NoGradGuard no_grad;
      buckets_[at].flat.slice(0, begin, begin + gradient.numel()).copy_(gradient.flatten());
      --buckets_[at].missing;
      for (; next_ < buckets_.size() && buckets_[next_].missing == 0; ++next_) {
        std::vector<torch::Tensor> one{buckets_[next_].flat};
        buckets_[next_].sent = ranks_.group_->allreduce(one);
      }
    }
    GlooRanks& ranks_;
    std::vector<Bucket> buckets_;
    std::size_t next_ = 0;
    bool expected_ = false;
  };

  int rank_, size_;
  c10::intrusive_ptr<c10d::ProcessGroup> group_;
  std::map<const torch::nn::Module*, std::unique_ptr<Gradients>> gradients_;
};

}  // namespace

std::optional<std::string> environment_variable(const std::string& name) {
  const char* const value = std::getenv(name.c_str());
  if (value == nullptr || *value == '\0') return std::nullopt;
  return value;
}

RankEnvironment rank_environment(const std::function<std::optional<std::string>(const std::string&)>& variable) {
  const auto number = [&](const std::string& name) -> std::optional<int> {
    const auto text = variable(name);
    if (!text) return std::nullopt;
    int out = 0;
    const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), out);
    if (error != std::errc() || end != text->data() + text->size()) throw Error(ErrorKind::kConfig, fmt::format("{} = {}, expected a number", name, *text));
    return out;
  };
  struct Names {
    const char *rank, *size, *local;
  };
  constexpr Names kLaunchers[] = {{"RANK", "WORLD_SIZE", "LOCAL_RANK"},
                                  {"OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK"},
                                  {"SLURM_PROCID", "SLURM_NTASKS", "SLURM_LOCALID"}};
  RankEnvironment out;
  for (const Names& names : kLaunchers) {
    const auto size = number(names.size), rank = number(names.rank);
    if (!size || (!rank && std::string(names.rank) != "RANK")) continue;  // a shell inside a Slurm allocation has a size and no rank
    if (!rank) throw Error(ErrorKind::kConfig, fmt::format("{} = {} without {}", names.size, *size, names.rank));
    if (*size < 1 || *rank < 0 || *rank >= *size) throw Error(ErrorKind::kConfig, fmt::format("{} = {}, must be in 0..{}", names.rank, *rank, *size - 1));
    out.rank = *rank;
    out.size = *size;
    out.local_rank = number(names.local).value_or(0);
    break;
  }
  if (out.size == 1) return out;
  const auto address = variable("MASTER_ADDR"), slurm = variable("SLURM_LAUNCH_NODE_IPADDR");
  if (!address && !slurm) throw Error(ErrorKind::kConfig, fmt::format("{} processes without MASTER_ADDR, the address of rank 0", out.size));
  out.address = address ? *address : *slurm;
  out.port = number("MASTER_PORT").value_or(kPort);
  if (out.port < 1 || out.port > 65535) throw Error(ErrorKind::kConfig, fmt::format("MASTER_PORT = {}, must be in 1..65535", out.port));
  out.agent_store = variable("TORCHELASTIC_USE_AGENT_STORE") == "True";
  out.attempt = variable("TORCHELASTIC_RESTART_COUNT").value_or("0");
  return out;
}

std::shared_ptr<Ranks> connect_ranks(const RankEnvironment& environment) {
  if (environment.size == 1) return std::make_shared<Ranks>();
  return std::make_shared<GlooRanks>(environment);
}

Shard shard_of(std::int64_t scenes, int rank, int size) {
  const auto bound = [&](int r) { return std::llrint(static_cast<double>(r) * static_cast<double>(scenes) / size); };
  return {bound(rank), bound(rank + 1)};
}

}  // namespace layeravatar::train
