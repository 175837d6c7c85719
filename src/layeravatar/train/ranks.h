// The processes that train one run together.
#pragma once
#include <torch/types.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace torch::nn {
class Module;
}

namespace layeravatar::train {

/// What a launcher tells a process of its place.
struct RankEnvironment {
  int rank = 0, size = 1, local_rank = 0;
  std::string address;       // of the store by which the processes find each other
  int port = 0;
  bool agent_store = false;  // torchrun's agent holds the store; else rank 0 does
  std::string attempt;       // torchrun's number of restarts
};

/// From RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR, MASTER_PORT and torchrun's TORCHELASTIC_USE_AGENT_STORE; rank, size and local rank else from the variables
/// of Open MPI or Slurm, which also tells the address where MASTER_ADDR does not. A port of 29500 where none is named; one process where there is no size.
/// Throws Error(kConfig) that names the variable: missing, no number, a rank outside 0..size - 1.
RankEnvironment rank_environment(const std::function<std::optional<std::string>(const std::string&)>& variable);
/// A variable of this process.
std::optional<std::string> environment_variable(const std::string& name);

/// Every function that waits for the others is called by all of them in the same order.
class Ranks {
 public:
  virtual ~Ranks() = default;
  [[nodiscard]] virtual int rank() const { return 0; }
  [[nodiscard]] virtual int size() const { return 1; }
  /// Around the one backward pass that makes a module's gradients: after the second they are the mean over ranks.
  virtual void expect_gradients(torch::nn::Module& /*module*/) {}
  virtual void average_gradients(torch::nn::Module& /*module*/) {}
  /// Mean over ranks, in place; float32 or float64.
  virtual void average(const std::vector<torch::Tensor>& /*values*/) {}
  /// Rank 0's values for all, in place.
  virtual void broadcast(const std::vector<torch::Tensor>& /*values*/) {}
  /// The tensors of all ranks by rank; shape and type are the same in all.
  [[nodiscard]] virtual std::vector<torch::Tensor> gather(const torch::Tensor& value) { return {value}; }
  /// Whether it holds in one of them.
  [[nodiscard]] virtual bool any(bool value) { return value; }
  virtual void wait() {}
  /// Whether this error says that another process is gone.
  [[nodiscard]] virtual bool lost_peer(const std::exception& /*error*/) const { return false; }
};

/// On LibTorch's c10d with Gloo: gradients go round in buckets while the backward pass is still running. Throws Error(kPeer) when the others do not come within
/// five minutes; a process that is lost later shows as an exception of which lost_peer is true.
std::shared_ptr<Ranks> connect_ranks(const RankEnvironment& environment);

/// Which of `scenes` belong to a rank: round(r n / size) to round((r + 1) n / size) (spec/model.md section 9.3).
struct Shard {
  std::int64_t begin = 0, end = 0;
};
Shard shard_of(std::int64_t scenes, int rank, int size);

}  // namespace layeravatar::train
