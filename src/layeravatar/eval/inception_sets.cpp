#include "layeravatar/eval/inception_sets.h"

#include <torch/torch.h>

#include "layeravatar/core/error.h"
#include "layeravatar/io/pickle.h"
#include "layeravatar/produce/pixels.h"
#include "layeravatar/produce/release_files.h"
#include "layeravatar/tensor/convert.h"

namespace layeravatar::eval {
namespace {

torch::Tensor planar(const io::Image& picture) {
  const auto bytes = torch::from_blob(const_cast<std::uint8_t*>(picture.pixels.data()), {picture.height, picture.width, picture.channels}, torch::kUInt8);
  return bytes.slice(2, 0, 3).permute({2, 0, 1}).clone(at::MemoryFormat::Contiguous);
}

}  // namespace

torch::Tensor byte_picture(const torch::Tensor& image) { return planar(produce::picture(image)); }

torch::Tensor panel_strip(const splat::RenderOutputs& outputs) { return planar(produce::release_panels(outputs)); }

RealStatistics read_statistics_pickle(const std::filesystem::path& file) {
  const io::PickleValue dict = io::read_pickle(file);
  const std::string name = file.string();
  if (!dict.is(io::PickleValue::Kind::kDict)) throw Error(ErrorKind::kInput, name + ": expected a dict of mean, cov and feats_np");
  const auto array = [&](const char* key, const std::vector<std::int64_t>& shape) {
    const io::PickleValue value = dict.find(key);
    if (!value.is(io::PickleValue::Kind::kArray)) throw Error(ErrorKind::kInput, name + ": '" + key + "' is missing");
    io::expect_shape(value.array(), shape, name + ": '" + key + "'");
    return tensor::to_tensor(value.array());
  };
  RealStatistics out;
  out.mean = array("mean", {-1}).to(torch::kFloat64);
  const std::int64_t features = out.mean.size(0);
  out.covariance = array("cov", {features, features}).to(torch::kFloat64);
  if (dict.contains("feats_np")) out.features = array("feats_np", {-1, features}).to(torch::kFloat32).contiguous();
  if (!torch::isfinite(out.mean).all().item<bool>() || !torch::isfinite(out.covariance).all().item<bool>()) throw Error(ErrorKind::kInput, name + ": numbers that are not finite");
  return out;
}

}  // namespace layeravatar::eval
