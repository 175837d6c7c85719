// Avatars put together from components of several (spec/model.md section 5.7).
#pragma once
#include <torch/types.h>

#include <cstdint>

#include "layeravatar/templates/layered_template.h"

namespace layeravatar::avatar {

/// Which donors were really given; a component without one stays the base's.
struct Donors {
  bool top = false, bottom = false, hair = false, shoes = false;
};

class Composer {
 public:
  explicit Composer(const templates::LayeredTemplate& layers);

  /// The release's rule. samples [5, N, 13] of base, top, bottom, hair and shoes donor -> [N, 13].
  /// A missing donor is a copy of the base.
  [[nodiscard]] torch::Tensor compose_official(const torch::Tensor& samples) const;

  /// The default profile's: body offsets stay with the base, but where a body point lies nearest to a swapped component
  /// they come from that component's donor, so that the skin under a garment fits it (shoes, then top, then bottom
  /// where several meet; hair leaves the body alone). Swapped components bring all their attributes. Without any donor
  /// this is exactly the base, as it is with donors equal to the base.
  [[nodiscard]] torch::Tensor compose_default(const torch::Tensor& samples, const Donors& donors) const;

 private:
  std::int64_t count_ = 0;
  torch::Tensor top_, bottom_, hair_, shoes_;             // [n] int64: points of each label
  torch::Tensor under_top_, under_bottom_, under_shoes_;  // body points that are nearest to some point of the component
  torch::Tensor free_;                                    // body points outside hands and offset mask
};

}  // namespace layeravatar::avatar
