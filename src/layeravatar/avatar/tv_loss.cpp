#include "layeravatar/avatar/tv_loss.h"

#include <torch/torch.h>

#include "layeravatar/core/error.h"
#include "layeravatar/tensor/convert.h"

namespace layeravatar::avatar {

torch::Tensor tv_loss(const torch::Tensor& map) {
  tensor::expect_shape(map, {-1, 13, -1, -1}, "attribute map");
  const std::int64_t s = map.size(0), h = map.size(2), w = map.size(3) / 3;
  LAV_CHECK(map.size(3) == 3 * w, "attribute map: expected three planes side by side");
  // Only the weighted channels: opacity 1 (weight 1), offset and rotation (weight 2, squared 4).
  const torch::Tensor used = torch::cat({map.slice(1, 0, 1), map.slice(1, 1, 4) * 2.0, map.slice(1, 10, 13) * 2.0}, 1);
  const torch::Tensor planes = used.reshape({s, 7, h, 3, w});
  const torch::Tensor dy = planes.slice(2, 1) - planes.slice(2, 0, h - 1);
  const torch::Tensor dx = planes.slice(4, 1) - planes.slice(4, 0, w - 1);
  return (dy.square().sum() + dx.square().sum()) / static_cast<double>(s * 39 * h * w);
}

}  // namespace layeravatar::avatar
