// Training people drawn from their planes in views that training never saw.
#pragma once
#include <string>
#include <vector>

#include "layeravatar/data/dataset.h"
#include "layeravatar/eval/metrics.h"
#include "layeravatar/produce/studio.h"

namespace layeravatar::eval {

struct Reconstruction {
  double psnr = 0;       // inside the person's box, mask + 4 px; mean over pictures
  double ssim = 0;
  double head_psnr = 0;  // inside the head's box
  double mean_avatar_psnr = 0;  // of the mean planes in the person's box
  Overlap parts;
  int pictures = 0;
};

/// planes[i] are scene i's, after the activation, or undefined where they are not known; `views` index the scenes' views.
/// Every `stride`-th scene is drawn; the mean avatar is that of all known planes.
Reconstruction evaluate_reconstruction(const produce::Studio& studio, const data::Dataset& dataset, const std::vector<torch::Tensor>& planes,
                                       const std::vector<std::int64_t>& views, int stride = 1);

/// Target, picture, labels of both and the five components for the first scenes with known planes, one row each.
io::Image reconstruction_sheet(const produce::Studio& studio, const data::Dataset& dataset, const std::vector<torch::Tensor>& planes,
                               std::int64_t view, int scenes);

}  // namespace layeravatar::eval
