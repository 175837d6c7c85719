// All image terms of the reconstruction loss of one view in one pass, value and gradient (spec/model.md section 8).
#pragma once
#include <cstdint>

namespace layeravatar::train {

/// What each term's sum over pixels and channels is multiplied with: weight times kappa over the number of elements.
struct ImageTermScales {
  float full = 0, part = 0;                                     // pixel_loss: full image; five masked components
  float part_alpha = 0, body_alpha = 0, body_silhouette = 0;    // seg_loss: its three means
  float inner = 0, skin = 0, entropy = 0;                       // seg_inner_loss, reg_rgb, reg_opacity
};

/// Sums in the order of the log: pixel_loss, seg_loss, seg_inner_loss, reg_rgb, reg_opacity (scaled), then the plain
/// squared error of the full image over pixels and channels.
inline constexpr int kImageTerms = 6;

/// P pixels, planar. Components in the order body, top, hair, shoes, bottom. Gradients are overwritten.
struct ReconstructionLossArgs {
  const float* full;              // [3, P]
  const float* components;        // [5, 3, P]
  const float* component_alphas;  // [5, P]
  const float* inner_alpha;       // [P]
  const float* target;            // [3, P] in [0, 1] on white
  const std::uint8_t* labels;     // [P] 0..5
  const float* skin;              // [3]
  std::int64_t pixels;
  ImageTermScales scales;
  float* grad_full;
  float* grad_components;
  float* grad_component_alphas;
  float* grad_inner_alpha;
  double* terms;                  // [kImageTerms]
};

/// Multi-threaded; the result does not depend on the number of threads.
void reconstruction_loss_cpu(const ReconstructionLossArgs& args);

}  // namespace layeravatar::train
