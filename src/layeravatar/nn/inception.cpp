#include "layeravatar/nn/inception.h"

#include <fmt/format.h>

#include "layeravatar/core/error.h"
#include "layeravatar/io/array.h"

namespace layeravatar::nn {

torch::Tensor inception_features(ScriptNetwork& network, const torch::Tensor& pictures) {
  LAV_CHECK(pictures.dim() == 4 && pictures.size(1) == 3 && pictures.scalar_type() == torch::kUInt8, "pictures are [B, 3, H, W] uint8");
  torch::jit::Kwargs named;
  if (network.module.get_method("forward").function().getSchema().argumentIndexWithName("return_features")) named["return_features"] = true;
  const auto features = run_script(network, {pictures.to(network.device)}, named).to(torch::kCPU, torch::kFloat32).contiguous();
  if (features.dim() != 2 || features.size(0) != pictures.size(0))
    throw Error(ErrorKind::kInput, fmt::format("{}: expected features [{}, D], found {}", network.file, pictures.size(0), io::shape_text(features.sizes().vec())));
  if (!torch::isfinite(features).all().item<bool>()) throw Error(ErrorKind::kInput, network.file + ": features are not finite");
  return features;
}

}  // namespace layeravatar::nn
