#include "layeravatar/train/fit_start.h"

#include <torch/torch.h>

#include <algorithm>
#include <array>
#include <limits>
#include <vector>

#include "layeravatar/train/people_attributes.h"

namespace layeravatar::train {
namespace {

using diffusion::MixturePrior;

io::Attributes colours_of(const SceneBatch& scene) {
  io::Attributes out;
  for (std::size_t label = 1; label <= io::kColourAttributes.size(); ++label) {
    const torch::Tensor own = scene.images.permute({0, 2, 3, 1}).index({scene.labels == static_cast<int>(label)});  // [n, 3]
    if (own.size(0) == 0) continue;
    const torch::Tensor mean = own.to(torch::kFloat64).mean(0);
    out[io::kColourAttributes.at(label - 1)] = std::array{mean[0].item<double>(), mean[1].item<double>(), mean[2].item<double>()};
  }
  return out;
}

}  // namespace

torch::Tensor fit_start(const produce::Studio& studio, const Scaffold& scaffold, const SceneBatch& scene, const Stage& stage, bool labelled) {
  constexpr int kMostViews = 4;
  constexpr std::array<std::int64_t, 4> kOrder = {0, 1, 4, 3};  // body with hair, top, bottom, shoes
  const auto prior = studio.unet->prior();
  const bool coloured = labelled && !studio.config.attributes.empty();
  const diffusion::Classes classes = coloured ? prior->given(condition_of(studio.config.attributes, colours_of(scene))) : prior->classes();
  const torch::Tensor some = prior->classes().weight > 0;
  const auto pictures = static_cast<int>(scene.cameras.size()), looked_at = std::min(pictures, kMostViews);
  std::vector<int> views;
  for (int v = 0; v < looked_at; ++v) views.push_back(v * pictures / looked_at);
  const double kappa = kappa_of(0, scene.labels);
  StepTimes times;
  std::array<std::int64_t, MixturePrior::kParts> chosen{};
  for (std::size_t p = 0; p < chosen.size(); ++p) chosen[p] = classes.weight[static_cast<std::int64_t>(p)].argmax().item<std::int64_t>();
  const auto planes = [&] {
    std::vector<torch::Tensor> y;
    for (std::size_t p = 0; p < chosen.size(); ++p) y.push_back(classes.centre[static_cast<std::int64_t>(p)][chosen[p]]);
    return prior->at(torch::stack(y));
  };
  for (const std::int64_t p : kOrder) {
    std::int64_t& own = chosen.at(static_cast<std::size_t>(p));
    std::int64_t best = own;
    double least = std::numeric_limits<double>::infinity();
    for (own = 0; own < MixturePrior::kClasses; ++own) {
      if (!some[p][own].item<bool>()) continue;
      const double loss = reconstruct_planes(scaffold, *studio.decoder, planes().unsqueeze(0), {scene}, stage, kappa, views, times).terms.at("loss_decoder");
      if (loss < least) least = loss, best = own;
    }
    own = best;
  }
  return planes();
}

}  // namespace layeravatar::train
