#include "layeravatar/produce/opening.h"

#include <omp.h>

#include <utility>

#include "layeravatar/core/error.h"

namespace layeravatar::produce {
namespace {

std::shared_ptr<diffusion::PackedUNet> denoiser_of(const avatar::OpenedPack& pack, const std::string& precision) {
  const auto kept = std::make_shared<const io::ArrayMap>(*pack.denoiser);
  diffusion::NamedWeights weights;
  for (const auto& [name, array] : *kept)
    if (array.dtype == io::DType::kF32) weights[name] = {array.at<float>().data(), array.shape};
  const avatar::PackConfig& c = pack.config;
  return std::make_shared<diffusion::PackedUNet>(weights, kept, diffusion::PackedUNet::Sizes{c.planes_height, 3 * c.planes_height, avatar::kPlaneChannels, c.unet_heads,
                                                                                            c.unet_prior_rank > 0, precision_of(c, precision) == diffusion::Precision::kBfloat16});
}

}  // namespace

diffusion::Precision precision_of(const avatar::PackConfig& config, const std::string& name) {
  return diffusion::precision_named(name == "auto" && config.profile == "official" ? "fp32" : name);
}

Opening::Opening(std::filesystem::path pack_file, std::string precision) : pack_file_(std::move(pack_file)) {
  std::promise<Result> promise;
  result_ = promise.get_future();
  work_ = std::async(std::launch::async, [file = pack_file_, precision = std::move(precision), promise = std::move(promise)]() mutable {
    omp_set_num_threads(1);  // of this thread's loops: the others load
    std::shared_ptr<diffusion::PackedUNet> unet;
    try {
      avatar::OpenedPack pack = avatar::open_pack(file);
      pack.denoiser = avatar::wide_denoiser(pack.content);
      pack.parts = avatar::read_template_and_body(pack);
      pack.parts->volume = body::canonical_volume(pack.parts->body);
      if (pack.config.profile != "official")
        pack.parts->tables = std::make_shared<const avatar::NeighbourTables>(avatar::neighbour_tables(pack.parts->layers));
      if (!pack.denoiser->empty()) unet = denoiser_of(pack, precision);
      promise.set_value({std::move(pack), unet});
    } catch (...) {
      promise.set_exception(std::current_exception());
      return;
    }
    if (unet != nullptr) unet->pack();
  });
}

Opening::~Opening() = default;

std::optional<Opening::Result> Opening::take() {
  if (!result_.valid()) return std::nullopt;
  try {
    return result_.get();
  } catch (...) {  // a library of its own may have thrown it, with types of its own
    return std::nullopt;
  }
}

}  // namespace layeravatar::produce
