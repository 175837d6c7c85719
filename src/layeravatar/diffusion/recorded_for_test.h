// The recorded values of this library and the network that made them; test programs only.
#pragma once
#include <gtest/gtest.h>
#include <torch/torch.h>

#include <memory>
#include <string>
#include <vector>

#include "layeravatar/diffusion/unet.h"
#include "layeravatar/io/npy.h"
#include "layeravatar/tensor/convert.h"
#include "layeravatar/testing/deterministic_values.h"

namespace layeravatar::diffusion {

using testing::Kind;

class Golden {
 public:
  explicit Golden(const std::string& name) : arrays_(io::read_npz(std::string(LAV_GOLDEN_DIR "/diffusion/") + name)) {}
  torch::Tensor operator()(const std::string& name) const { return tensor::to_tensor(arrays_.at(name)); }

 private:
  io::ArrayMap arrays_;
};

inline torch::Tensor named(const std::string& name, std::vector<std::int64_t> shape, Kind kind) {
  std::int64_t n = 1;
  for (const auto s : shape) n *= s;
  return tensor::from_floats(testing::deterministic(name, static_cast<std::size_t>(n), kind), shape);
}

inline std::shared_ptr<UNet> recorded_unet() {
  UNetConfig config;
  config.image_size = {32, 96};
  config.base_channels = 64;
  auto unet = std::make_shared<UNet>(config);
  const torch::NoGradGuard no_grad;
  for (const auto& p : unet->named_parameters())
    p.value().copy_(tensor::from_floats(testing::deterministic_weights("unet." + p.key(), p.value().sizes().vec()),
                                        p.value().sizes()));
  return unet;
}

/// Largest difference relative to the largest wanted value.
inline double worst(const torch::Tensor& got, const torch::Tensor& want) {
  EXPECT_EQ(got.sizes(), want.sizes());
  return (got - want).abs().max().item<double>() / want.abs().max().item<double>();
}

}  // namespace layeravatar::diffusion
