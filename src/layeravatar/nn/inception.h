// Features of pictures for the distances between sets of them.
#pragma once
#include "layeravatar/nn/torch_script.h"

namespace layeravatar::nn {

/// Features [B, D] float32, on the host, of pictures [B, 3, H, W] uint8 RGB by StyleGAN's inception-2015-12-05.pt or alike, which resizes them by
/// itself; `forward` is called with return_features=true where it has such an argument. Throws Error(kInput) naming the network: it fails, its output
/// is not [B, D] or not finite.
torch::Tensor inception_features(ScriptNetwork& network, const torch::Tensor& pictures);

}  // namespace layeravatar::nn
