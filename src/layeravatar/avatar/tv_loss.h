// Total variation of the attribute map (spec/model.md section 8.2).
#pragma once
#include <torch/types.h>

namespace layeravatar::avatar {

/// map [S, 13, h, 3 h]: mean over scenes, three planes, 13 channels and texels of the squared forward differences,
/// channels weighted 1 (opacity), 2 (offset), 0 (rgb), 0 (scale), 2 (rotation) before; none across the planes' seams.
torch::Tensor tv_loss(const torch::Tensor& map);

/// Of any planes [S, C, h, w] and any power p >= 1, the release's option: the mean of (dx^2 + dy^2)^(p / 2) over the values, where dx and dy
/// are the forward differences, zero behind the last column and row.
torch::Tensor total_variation(const torch::Tensor& planes, double power);

}  // namespace layeravatar::avatar
