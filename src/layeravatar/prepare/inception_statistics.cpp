#include "layeravatar/prepare/inception_statistics.h"

#include <fmt/format.h>
#include <torch/torch.h>

#include <algorithm>

#include "layeravatar/core/atomic_file.h"
#include "layeravatar/core/error.h"
#include "layeravatar/io/npy.h"
#include "layeravatar/io/pickle_write.h"
#include "layeravatar/io/png.h"
#include "layeravatar/nn/inception.h"
#include "layeravatar/tensor/convert.h"

namespace layeravatar::prepare {

namespace fs = std::filesystem;

std::vector<fs::path> training_pictures(const fs::path& folder) {
  std::vector<fs::path> out;
  std::error_code error;
  for (const auto& scene : fs::directory_iterator(folder, error)) {
    if (scene.path().extension() == ".partial" || !fs::is_directory(scene.path() / "rgb")) continue;
    for (const auto& entry : fs::directory_iterator(scene.path() / "rgb"))
      if (entry.path().extension() == ".png") out.push_back(entry.path());
  }
  if (error) throw Error(ErrorKind::kInput, folder.string() + ": cannot open: " + error.message());
  if (out.empty()) throw Error(ErrorKind::kInput, folder.string() + ": no scenes with pictures in rgb/");
  std::sort(out.begin(), out.end());
  return out;
}

InceptionStatistics inception_statistics(nn::ScriptNetwork& network, std::span<const fs::path> pictures, int batch,
                                         const std::function<void(std::size_t, std::size_t)>& progress) {
  if (batch < 1) throw Error(ErrorKind::kConfig, fmt::format("batch = {}, must be > 0", batch));
  if (pictures.size() < 2) throw Error(ErrorKind::kInput, fmt::format("expected two pictures or more, found {}", pictures.size()));
  std::vector<torch::Tensor> parts;
  for (std::size_t first = 0; first < pictures.size(); first += static_cast<std::size_t>(batch)) {
    const std::size_t count = std::min(static_cast<std::size_t>(batch), pictures.size() - first);
    std::vector<torch::Tensor> input;
    for (std::size_t i = 0; i < count; ++i) {
      const fs::path& file = pictures[first + i];
      const io::Image picture = io::read_png(file);
      if (picture.channels < 3) throw Error(ErrorKind::kInput, fmt::format("{}: expected 3 or 4 channels, found {}", file.string(), picture.channels));
      const auto bytes = torch::from_blob(const_cast<std::uint8_t*>(picture.pixels.data()), {picture.height, picture.width, picture.channels}, torch::kUInt8);
      input.push_back(bytes.slice(2, 0, 3).permute({2, 0, 1}).clone());  // the picture goes out of scope
      if (!input[i].sizes().equals(input[0].sizes()))
        throw Error(ErrorKind::kInput, fmt::format("{}: expected {}x{}, found {}x{}", file.string(), input[0].size(2), input[0].size(1), picture.width, picture.height));
    }
    parts.push_back(nn::inception_features(network, torch::stack(input)));
    if (parts.back().size(1) != parts[0].size(1))
      throw Error(ErrorKind::kInput, fmt::format("{}: expected {} features, found {}", network.file, parts[0].size(1), parts.back().size(1)));
    if (progress) progress(first + count, pictures.size());
  }
  InceptionStatistics out;
  out.features = torch::cat(parts);
  const auto exact = out.features.to(torch::kFloat64);
  out.mean = exact.mean(0);
  const auto centred = exact - out.mean;
  out.covariance = centred.t().matmul(centred) / static_cast<double>(exact.size(0) - 1);
  return out;
}

void write_statistics_pickle(const fs::path& file, const InceptionStatistics& s) {
  write_file(file, io::format_pickle({{"feats_np", tensor::to_array(s.features)},
                                      {"mean", tensor::to_array(s.mean.to(torch::kFloat32))},
                                      {"cov", tensor::to_array(s.covariance)},
                                      {"size", s.features.size(0)},
                                      {"name", std::string(".pkl")}}));
}

void write_statistics_npz(const fs::path& file, const InceptionStatistics& s) {
  const std::int64_t size = s.features.size(0);
  io::write_npz(file, {{"mean", tensor::to_array(s.mean)},
                       {"covariance", tensor::to_array(s.covariance)},
                       {"size", io::make_array<std::int64_t>({}, std::span(&size, 1))}});
}

}  // namespace layeravatar::prepare
