// Training people drawn from their planes in views that training never saw.
#pragma once
#include <array>
#include <functional>
#include <string>
#include <vector>

#include "layeravatar/data/scene_files.h"
#include "layeravatar/eval/metrics.h"
#include "layeravatar/produce/studio.h"

namespace layeravatar::eval {

/// Sums over pictures, to be added up over scenes.
struct Reconstruction {
  double pictures = 0, heads = 0;                       // heads: pictures in which the head shows
  double psnr = 0, ssim = 0, ssim_uniform = 0;          // of the whole picture
  double psnr_box = 0, ssim_box = 0, ssim_uniform_box = 0;  // inside the person's box, mask + 4 px
  double psnr_head = 0;                                 // inside the head's box
  double psnr_mean_avatar = 0;                          // of the mean planes in the person's box
  double silhouette_both = 0, silhouette_any = 0;       // pixels that both and that any of picture and target cover
  Overlap parts;

  void add(const Reconstruction& other);
  /// The sums in a fixed order, and back.
  [[nodiscard]] std::vector<double> numbers() const;
  static Reconstruction of_numbers(const std::vector<double>& numbers);
};

/// `planes` are the scene's own, after the activation, `mean` those of the mean avatar; `views` index the scene's. Views without a person are left out.
Reconstruction compare_scene(const produce::Studio& studio, const data::Scene& scene, const torch::Tensor& planes, const torch::Tensor& mean,
                             const std::vector<std::int64_t>& views);

/// Two images [3, H, W] in [0, 1] to a distance.
using ImageDistance = std::function<double(const torch::Tensor&, const torch::Tensor&)>;
/// The sum of such a distance between pictures and targets, and their number, of the same views.
std::array<double, 2> distance_of_scene(const produce::Studio& studio, const data::Scene& scene, const torch::Tensor& planes, const std::vector<std::int64_t>& views,
                                        const ImageDistance& distance);

/// A view as an image [3, size, size] in [0, 1], on white, of the data's size.
torch::Tensor image_of(const data::SceneView& view);

/// Target, picture, labels of both and the five components, one row for each scene.
io::Image reconstruction_row(const produce::Studio& studio, const data::Scene& scene, const torch::Tensor& planes, std::int64_t view);

}  // namespace layeravatar::eval
