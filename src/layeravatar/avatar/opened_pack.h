// A model pack as a file: where reading one begins. No LibTorch: a program may do it while it still loads LibTorch.
#pragma once
#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "layeravatar/avatar/neighbour_tables.h"
#include "layeravatar/avatar/pack_config.h"
#include "layeravatar/body/body_model.h"
#include "layeravatar/body/weight_volume.h"
#include "layeravatar/core/mapped_file.h"
#include "layeravatar/io/safetensors.h"
#include "layeravatar/templates/layered_template.h"

namespace layeravatar::avatar {

inline constexpr const char* kPackFormat = "layeravatar-pack-1";
inline constexpr const char* kDenoiserPrefix = "diffusion_ema.denoising.";  // of its tensors' names

struct TemplateAndBody {
  templates::LayeredTemplate layers;
  body::BodyModel body;                      // prepared
  // Where somebody has asked for them: body::canonical_volume of the body, and tables of the template.
  std::optional<body::WeightVolume> volume;
  std::shared_ptr<const NeighbourTables> tables;
};

struct OpenedPack {
  std::string file;  // its name in messages
  std::shared_ptr<const MappedFile> mapped;
  io::SafeTensors content;  // looks into it
  PackConfig config;
  // What the functions below give, where somebody has asked for it.
  std::optional<io::ArrayMap> denoiser;
  std::optional<TemplateAndBody> parts;
};

/// Throws Error(kInput), one line with the file's name: not a safetensors file, not a pack, a setting.
OpenedPack open_pack(const std::filesystem::path& path);

/// The denoiser's tensors, names without the prefix: those in float16 become float32, in large pages that they share; others stay as they are.
io::ArrayMap wide_denoiser(const io::SafeTensors& content);

/// Those whose names begin so, named without it.
io::ArrayMap tensors_below(const io::ArrayMap& tensors, const std::string& prefix);

/// Without volume and tables. Throws Error(kInput), one line with file and name: a tensor missing or of a wrong size, an index out of range, non-finite numbers,
/// a template or body that does not fit together.
TemplateAndBody read_template_and_body(const OpenedPack& pack);

}  // namespace layeravatar::avatar
