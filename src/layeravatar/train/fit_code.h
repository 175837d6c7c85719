// Codes of people from pictures, all networks frozen.
#pragma once
#include <torch/types.h>

#include <atomic>
#include <functional>
#include <memory>
#include <vector>

#include "layeravatar/avatar/decoder.h"
#include "layeravatar/avatar/plane_activation.h"
#include "layeravatar/diffusion/mixture_prior.h"
#include "layeravatar/train/reconstruct.h"

namespace layeravatar::train {

/// What is known of a code before a picture is seen: mean + slope sum_k c_k components_k with c_k ~ N(0, 1), and N(0, deviation^2)
/// in each frequency of block_cosine, all independent.
struct CodePrior {
  torch::Tensor mean;       // [12, h, 3h]
  torch::Tensor deviation;  // [12, 8, 8] of each channel and frequency
  std::shared_ptr<const diffusion::MixturePrior> components;  // null without
  double slope = 0;         // of codes over planes
};
/// A prior of planes, of all classes as one, as one of codes; a broad one around zero when it is null or not fitted.
CodePrior code_prior(std::shared_ptr<const diffusion::MixturePrior> prior, const avatar::PlaneActivation& activation, std::int64_t planes_height);

struct FitOptions {
  int steps = 300;
  double components_alone = 0.3;  // share of the steps, the first, that move the prior's components alone
  double step_size = 0.3;         // Adam on components and frequencies in units of their deviation; falls to a thirtieth
  double prior_weight = 4e-8;     // the loss grows by half of this times the squared distance to the mean in such units
  Stage stage;                    // weights of the losses
  /// A further gradient [12, h, 3h] at a code, of a loss beside the pictures' (step); empty: none.
  std::function<torch::Tensor(const torch::Tensor& code, int step)> beside;
  std::function<void(int step, const torch::Tensor& code)> observe;  // before each step and after the last; may be empty
};

/// The code [12, h, 3h] of one person from pictures, all networks frozen, two views a step, or the one of a batch of one. The prior's components go first, so
/// that what no picture shows follows what is seen, and equal looks get equal codes, where Adam on each texel alone leaves
/// differences that no diffusion model can learn. `views(k)` gives the k-th batch of views; every view of a batch is
/// used once before the next is asked for. Throws Error(kDiverged) at the first non-finite gradient.
torch::Tensor fit_code(const Scaffold& scaffold, avatar::Decoder& decoder, const avatar::PlaneActivation& activation,
                       const CodePrior& prior, const std::function<SceneBatch(int)>& views, const FitOptions& options);

/// fit_code for scenes 0..count - 1, one thread each and as many at once as there are threads; `load(i, k)` gives scene i's k-th
/// batch and is called from all of them, `fitted(n)` from one at a time after n scenes. Empty when `stop` was set before the end.
/// An error of one ends the others after the scene they are at, and is thrown.
std::vector<torch::Tensor> fit_codes(const Scaffold& scaffold, avatar::Decoder& decoder, const avatar::PlaneActivation& activation,
                                     const CodePrior& prior, std::int64_t count, const std::function<SceneBatch(std::int64_t, int)>& load,
                                     const FitOptions& options, const std::function<void(std::int64_t)>& fitted, const std::atomic<bool>* stop);

}  // namespace layeravatar::train
