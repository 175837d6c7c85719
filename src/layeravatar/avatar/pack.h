// A model pack: one .safetensors file with everything that makes avatars (spec/product.md section 1).
#pragma once
#include <torch/types.h>

#include <array>
#include <filesystem>
#include <future>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "layeravatar/avatar/opened_pack.h"
#include "layeravatar/avatar/pack_config.h"
#include "layeravatar/avatar/plane_activation.h"
#include "layeravatar/body/body_model.h"
#include "layeravatar/templates/layered_template.h"

namespace layeravatar::avatar {

using Tensors = std::map<std::string, torch::Tensor>;

/// Betas from planes: pooled to 4 x 12 cells, then linear.
struct BetasRegression {
  torch::Tensor weight;  // [10, 576]; undefined: betas are zero
  torch::Tensor bias;    // [10]

  /// planes [12, h, 3h] after the activation.
  [[nodiscard]] std::array<float, 10> predict(const torch::Tensor& planes) const;
  /// Ridge regression; planes_of gives scene i. betas [n, 10].
  static BetasRegression fit(const std::vector<torch::Tensor>& planes, const torch::Tensor& betas, double ridge);
};

struct ModelPack {
  PackConfig config;
  templates::LayeredTemplate layers;
  body::BodyModel body;      // prepared
  std::optional<body::WeightVolume> volume;       // of the body, where it is built already
  std::shared_ptr<const NeighbourTables> tables;  // of the template, where they are made already
  Tensors decoder, unet;     // averaged weights, float32
  BetasRegression betas;
  PlaneActivation activation;  // statistics of the codes behind the planes; fresh in a pack that lacks them
  std::shared_future<std::string> hash = std::async(std::launch::deferred, [] { return std::string(); }).share();  // SHA-1 of the file, hex; empty before it is written
};

/// kSmall: the denoiser, bases, skinning weights and frames as float16; weights and joint regressor by their non-zero
/// entries; expression directions left out where they are zero; integers in the smallest type that holds them.
/// kExact: float32 and dense weights instead, so that what is read is what was written, bit for bit.
enum class Storage { kSmall, kExact };

/// Throws Error(kOutput) when the file cannot be written, Error(kInternal) for a number that float16 cannot hold and for
/// numbers that are not finite.
void write_pack(const std::filesystem::path& path, const ModelPack& pack, Storage storage = Storage::kSmall);
/// Takes both storages; rows of 16-bit skinning weights are brought back to sum 1. Throws Error(kInput), one line with file and name: not a pack, a
/// setting, a tensor missing, unknown or of a wrong size, an index out of range, non-finite numbers, a template or body
/// that does not fit together.
ModelPack read_pack(const std::filesystem::path& path);
ModelPack read_pack(OpenedPack opened);

}  // namespace layeravatar::avatar
