// A person's planes from a few pictures: guided sampling, then optimisation of the code with the pack's priors (spec/model.md
// sections 4.5 and 12.6).
#pragma once
#include <torch/types.h>

#include <atomic>
#include <cstdint>
#include <functional>
#include <string>

#include "layeravatar/produce/studio.h"
#include "layeravatar/train/reconstruct.h"

namespace layeravatar::train {

/// What a fit's losses weigh with a pack of this profile.
Stage fitting_stage(const std::string& profile);

struct FitViewsOptions {
  bool labelled = true;         // the pictures' labels are components; false: 1 in the silhouette, which alone counts
  bool prior = true;            // false: per texel from the mean, nothing else known
  int guided_steps = 0;         // of DDIM; 0, or a pack without denoiser: from fit_start, or the mean without a prior (docs/fit-and-edit.md)
  double guidance = 4;          // gain of a guided step over what moves planes by a tenth of their deviation
  int steps = 150;              // of the optimisation
  double prior_weight = 1e-5;   // of the distance to the start, as FitOptions: few pictures say less than a training person's
  double denoiser_weight = 0;   // of the distance to what the denoiser makes of the noised planes
  std::uint64_t seed = 0;
  const std::atomic<bool>* stop = nullptr;
  /// Planes before each step of the two parts, and after the last.
  std::function<void(bool guided, int step, const torch::Tensor& planes)> observe;
};

/// Planes [12, h, 3h] of the person in `scene`, all networks of the studio frozen and in evaluation mode; with a prior, the skin settled under the clothes at last, after what
/// `observe` sees. Throws Error(kDiverged) at the first
/// gradient that is not finite. Undefined when `stop` was set before the end.
torch::Tensor fit_views(const produce::Studio& studio, const Scaffold& scaffold, const SceneBatch& scene, const FitViewsOptions& options);

/// The planes that the pack takes for the mean of all people: its mixture prior's, or zero.
torch::Tensor mean_planes(const produce::Studio& studio);

}  // namespace layeravatar::train
