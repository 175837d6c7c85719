#include "layeravatar/eval/jitter.h"

#include <fmt/format.h>
#include <torch/torch.h>

#include <algorithm>

#include "layeravatar/core/error.h"

namespace layeravatar::eval {
namespace {

double mean_length_mm(const torch::Tensor& before, const torch::Tensor& now, const torch::Tensor& after) {
  constexpr double kMillimetres = 1000;
  return kMillimetres * (after - 2 * now + before).norm(2, 1).mean().item<double>();
}

}  // namespace

Jitter evaluate_jitter(const produce::Studio& studio, const avatar::GaussianAttributes& attributes, const std::array<float, 10>& betas,
                       const std::vector<body::PoseParams>& motion) {
  constexpr std::size_t kFewest = 3;
  if (motion.size() < kFewest) throw Error(ErrorKind::kConfig, fmt::format("jitter: the motion has {} frames, needs {}", motion.size(), kFewest));
  const torch::NoGradGuard no_grad;
  const torch::Tensor nothing = torch::zeros_like(attributes.offset);
  std::array<torch::Tensor, kFewest> surface, apart;  // the last frames, oldest first
  Jitter out;
  for (std::size_t t = 0; t < motion.size(); ++t) {
    body::PoseParams params = motion[t];
    params.betas = betas;
    const auto prepared = studio.deformer->prepare(params);
    std::rotate(surface.begin(), surface.begin() + 1, surface.end());
    std::rotate(apart.begin(), apart.begin() + 1, apart.end());
    surface[2] = studio.deformer->posed_points(nothing, *prepared).means.to(torch::kFloat64);
    apart[2] = studio.deformer->posed_points(attributes.offset, *prepared).means.to(torch::kFloat64) - surface[2];
    if (t < 2) continue;
    out.own += mean_length_mm(apart[0], apart[1], apart[2]);
    out.body += mean_length_mm(surface[0], surface[1], surface[2]);
    out.frames += 1;
  }
  return out;
}

}  // namespace layeravatar::eval
